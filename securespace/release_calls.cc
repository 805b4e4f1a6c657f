#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/fec/coder.h"
#include "common/wire/fragment.h"
#include "securespace/release.h"

// ReleaseKeys and OpenAdus.
namespace nark::securespace {
namespace {

// Adds the hashes of the parity, made again from the source: it is not at hand here.
void AddParityHashes(const wire::Header& header, ByteView ciphertext, fec::Coder& coder,
                     std::vector<wire::FragmentHash>& hashes) {
  const size_t fragment_bytes = header.fragment_bytes;
  Bytes source(header.source_fragments * fragment_bytes);
  std::copy(ciphertext.begin(), ciphertext.end(), source.begin());
  Bytes parity(header.parity_fragments * fragment_bytes);
  coder.Encode(fec::Spread(header.source_fragments, header.parity_fragments), fragment_bytes,
               source, parity);
  for (size_t at = 0; at < parity.size(); at += fragment_bytes) {
    hashes.push_back(wire::HashFragment(ByteView(parity).subspan(at, fragment_bytes)));
  }
}

// Whether the fragments of `ciphertext` hash to what the verified header says.
bool IsIntact(const wire::Header& header, ByteView ciphertext, fec::Coder& coder) {
  if (ciphertext.size() != header.ciphertext_bytes) return false;
  uint32_t sources = wire::SourceFragments(header.ciphertext_bytes, header.fragment_bytes);
  if (sources != header.source_fragments) return false;
  std::vector<wire::FragmentHash> hashes;
  for (uint32_t index = 0; index < sources; ++index) {
    hashes.push_back(
        wire::HashFragment(wire::SourceFragment(ciphertext, header.fragment_bytes, index)));
  }
  if (wire::LevelSizes(sources + header.parity_fragments, header.fragment_bytes).size() == 1) {
    return header.hashes.size() >= hashes.size() &&
           std::equal(hashes.begin(), hashes.end(), header.hashes.begin());
  }
  // Pages mix hashes of source and parity.
  if (header.parity_fragments > 0) AddParityHashes(header, ciphertext, coder, hashes);
  return wire::BuildHashPages(std::move(hashes), header.fragment_bytes).root == header.hashes;
}

absl::Status CheckDigests(const std::vector<DigestClaim>& digests) {
  if (digests.size() <= kMaxDigests) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a list holds at most ", kMaxDigests, " digests"));
}

}  // namespace

absl::StatusOr<std::vector<KeyDecision>> Emulation::Core::ReleaseKeys(
    const ReleaseRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  if (request.headers.size() > kMaxReleaseHeaders) {
    return absl::InvalidArgumentError(
        absl::StrCat("a list holds at most ", kMaxReleaseHeaders, " headers"));
  }
  RETURN_IF_ERROR(CheckDigests(request.digests));
  Session* session = FindSession(request.session);
  if (session != nullptr) RETURN_IF_ERROR(CheckPermitted(session->tools()));
  ReleaseList list(session, request.sub_session, v1::RELEASE_MODE_KEY, id_, *control_cipher_);
  std::vector<KeyDecision> decisions;
  decisions.reserve(request.headers.size());
  for (const DigestClaim& claim : request.digests) list.TakeDigest(claim);
  for (ByteView header : request.headers) {
    absl::StatusOr<KeyDecision> decision = ReleaseOne(list, header);
    if (!decision.ok()) return Fail(decision.status());
    decisions.push_back(*std::move(decision));
  }
  // Durable before release: after a crash an ADU may be billed without having been
  // decrypted, never decrypted without being billed.
  if (!list.record().empty()) RETURN_IF_ERROR(Commit(*session, list.record()));
  return decisions;
}

absl::StatusOr<KeyDecision> Emulation::Core::ReleaseOne(ReleaseList& list, ByteView header) {
  ReleaseList::Candidate candidate;
  KeyDecision decision;
  ASSIGN_OR_RETURN(decision.refusal, list.Decide(header, candidate));
  if (decision.refusal != v1::REFUSAL_REASON_UNSPECIFIED) return decision;
  ASSIGN_OR_RETURN(decision.data_key, list.DataKey(candidate));
  list.MarkReleased(candidate);
  return decision;
}

absl::StatusOr<std::vector<OpenDecision>> Emulation::Core::OpenAdus(const OpenRequest& request) {
  RETURN_IF_ERROR(CheckUsable());
  if (request.adus.size() > kMaxOpenAdus) {
    return absl::InvalidArgumentError(absl::StrCat("a list holds at most ", kMaxOpenAdus, " ADUs"));
  }
  RETURN_IF_ERROR(CheckDigests(request.digests));
  Session* session = FindSession(request.session);
  if (session != nullptr) {
    RETURN_IF_ERROR(CheckPermitted(session->tools()));
    const bool opens = session->verified().terms().release_mode() == v1::RELEASE_MODE_PLAINTEXT;
    if (opens && session->WantsBlock()) {
      return Refusal(absl::StatusCode::kFailedPrecondition, "NO_MARKED_BLOCK",
                     "the session has an audit trail, and the marked block was not opened yet");
    }
  }
  ReleaseList list(session, request.sub_session, v1::RELEASE_MODE_PLAINTEXT, id_, *control_cipher_);
  for (const DigestClaim& claim : request.digests) list.TakeDigest(claim);
  std::vector<OpenDecision> decisions;
  for (const SealedAdu& adu : request.adus) {
    absl::StatusOr<OpenDecision> decision = OpenOne(list, session, adu);
    if (!decision.ok()) return Fail(decision.status());
    decisions.push_back(*std::move(decision));
  }
  if (!list.record().empty()) RETURN_IF_ERROR(Commit(*session, list.record()));
  return decisions;
}

absl::StatusOr<OpenDecision> Emulation::Core::OpenOne(ReleaseList& list, Session* session,
                                                      const SealedAdu& adu) {
  ReleaseList::Candidate candidate;
  OpenDecision decision;
  ASSIGN_OR_RETURN(decision.refusal, list.Decide(adu.header, candidate));
  if (decision.refusal != v1::REFUSAL_REASON_UNSPECIFIED) return decision;
  const wire::Header& header = candidate.parsed.header;
  ASSIGN_OR_RETURN(SecretBytes key, list.DataKey(candidate));
  ASSIGN_OR_RETURN(wire::AduCipher * cipher, session->Cipher());
  decision.plaintext.resize(header.plaintext_bytes);
  // What is damaged, or was sealed wrongly, is not billed.
  if (!IsIntact(header, adu.ciphertext, session->coder()) ||
      !cipher->Open(key, header.clear_map, adu.ciphertext, decision.plaintext).ok()) {
    decision.plaintext.clear();
    decision.refusal = list.Refuse(v1::REFUSAL_REASON_CIPHERTEXT);
    return decision;
  }
  list.MarkReleased(candidate);
  return decision;
}

}  // namespace nark::securespace
