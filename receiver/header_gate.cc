#include "receiver/header_gate.h"

#include <utility>

#include "common/crypto/hash.h"

namespace nark::receiver {
namespace {
constexpr size_t kControlBlockTagBytes = 16;
}  // namespace

HeaderGate::HeaderGate(const VerifiedSession& session, uint32_t sub_session,
                       uint32_t bad_headers_per_second)
    : HeaderGate(session, SessionContext(session.name(), sub_session), bad_headers_per_second) {}

HeaderGate::HeaderGate(const VerifiedSession& session, const Digest& context,
                       uint32_t bad_headers_per_second)
    : session_(session),
      session_tag_(SessionTag(context)),
      control_block_bytes_(session.terms().control_block_bytes() + kControlBlockTagBytes),
      has_deadline_(session.terms().timeliness() == v1::TIMELINESS_LIVE),
      verifier_(context),
      bad_headers_(bad_headers_per_second) {
  auto cipher = wire::FindCipher(session.terms().cipher());
  if (cipher.ok()) cipher_ = *cipher;
}

std::optional<Drop> HeaderGate::Judge(const wire::Prefix& prefix, ByteView signed_header,
                                      Timestamp now, wire::ParsedHeader& parsed) {
  const VerifiedSession::Sender* sender = session_.FindSender(prefix.sender_id);
  if (sender == nullptr) return Drop::kSender;
  auto header = wire::ParseSignedHeader(signed_header);
  if (!header.ok()) return Drop::kHeaderMalformed;
  if (!Fits(prefix, header->header)) return Drop::kHeaderMismatch;

  const Digest hash = Sha256(signed_header);
  if (bad_headers_.Known(hash)) return Drop::kHeaderSignature;
  if (!bad_headers_.MayCheck(now)) return Drop::kHeaderRate;
  if (!verifier_.Verify(*header, sender->key).ok()) {
    bad_headers_.OnFailed(hash);
    return Drop::kHeaderSignature;
  }
  parsed = *std::move(header);
  return std::nullopt;
}

bool HeaderGate::Fits(const wire::Prefix& prefix, const wire::Header& header) const {
  return wire::MatchesPrefix(header, prefix) && cipher_ != nullptr &&
         wire::CheckAgainstCipher(header, *cipher_).ok() &&
         header.control_block.size() == control_block_bytes_ &&
         (header.deadline_us != 0) == has_deadline_;
}

}  // namespace nark::receiver
