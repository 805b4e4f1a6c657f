#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "nark/v1/grant.pb.h"
#include "securespace/codec.h"
#include "securespace/core.h"

// The exchanges that wait for their grants: in memory, or kept on the storage where the
// grant is carried on a medium (docs/architecture.md, "Joining without a network").
namespace nark::securespace {
namespace {

constexpr uint8_t kFormat = 1;
constexpr size_t kMaxExchanges = 16;
constexpr size_t kMaxKeptExchanges = 8;
constexpr size_t kKeyBytes = 32;
// Sizes of two strings, two times, a key and a transcript.
constexpr size_t kLeastBytes = 4 + 8 + 4 + kKeyBytes + 8 + sizeof(Digest);

absl::Status NotExchanges() {
  return absl::DataLossError(
      "the secure space's file of exchanges does not parse; it is of another version");
}

void Write(const Exchange& exchange, Writer& to) {
  to.String(AsBytes(Serialise(exchange.session.envelope())));
  to.U64(exchange.verified_at_us);
  to.String(AsBytes(Serialise(exchange.voucher_envelope)));
  to.Raw(exchange.key.raw().Reveal());
  to.U64(exchange.contact_sequence);
  to.Raw(exchange.transcript);
}

absl::StatusOr<Exchange> Read(Reader& from) {
  const ByteView descriptor_bytes = from.String();
  const uint64_t verified_at_us = from.U64();
  const ByteView voucher_bytes = from.String();
  const ByteView key_bytes = from.Raw(kKeyBytes);
  const uint64_t contact_sequence = from.U64();
  const ByteView transcript = from.Raw(sizeof(Digest));
  if (!from.ok()) return NotExchanges();
  v1::SignedEnvelope descriptor, envelope;
  RETURN_IF_ERROR(ParseStrictly(descriptor_bytes, "an exchange's descriptor", descriptor));
  RETURN_IF_ERROR(ParseStrictly(voucher_bytes, "an exchange's voucher", envelope));
  // At the time when they were verified first: certificates may have expired on the way.
  const Timestamp then = FromMicros(verified_at_us);
  ASSIGN_OR_RETURN(VerifiedSession session, VerifiedSession::Verify(descriptor, then));
  ASSIGN_OR_RETURN(VerifiedVoucher voucher, VerifyVoucher(envelope, session, then));
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::FromRaw(SecretBytes::CopyOf(key_bytes)));
  Exchange exchange{
      std::move(session), verified_at_us, std::move(voucher), std::move(envelope), std::move(key),
      contact_sequence,   Digest{}};
  std::copy(transcript.begin(), transcript.end(), exchange.transcript.begin());
  return exchange;
}

}  // namespace

// No stamp holds this file against a rollback counter, and none is needed: an exchange
// brought back yields what its grant would have yielded at once. The grant's id, a later
// contact order, a stop and a FINAL note stand in the session's own file.
absl::Status Emulation::Core::LoadKeptExchanges() {
  absl::StatusOr<std::vector<SecretBytes>> records = kept_journal_.Read();
  if (absl::IsNotFound(records.status())) return absl::OkStatus();
  RETURN_IF_ERROR(records.status());
  Reader from(records->front().Reveal());
  if (records->size() != 1 || from.U8() != kFormat) return NotExchanges();
  for (uint32_t n = from.Count(kLeastBytes); n > 0; --n) {
    ASSIGN_OR_RETURN(Exchange exchange, Read(from));
    const Session* session = FindSession(exchange.session.name());
    if (session == nullptr || !session->state().closed()) kept_.push_back(std::move(exchange));
  }
  return from.done() ? absl::OkStatus() : NotExchanges();
}

absl::Status Emulation::Core::CommitKeptExchanges() {
  Writer writer;
  writer.U8(kFormat);
  writer.U32(static_cast<uint32_t>(kept_.size()));
  for (const Exchange& exchange : kept_) Write(exchange, writer);
  absl::Status status = kept_journal_.Rewrite(writer.bytes());
  return status.ok() ? status : Fail(status);
}

// A kept one is durable before its evidence leaves: the grant may come at any later time.
absl::Status Emulation::Core::Remember(Exchange exchange, v1::ExchangeLife life) {
  const bool kept = life == v1::EXCHANGE_LIFE_KEPT;
  std::list<Exchange>& all = kept ? kept_ : exchanges_;
  all.remove_if(
      [&](const Exchange& other) { return other.session.name() == exchange.session.name(); });
  if (all.size() == (kept ? kMaxKeptExchanges : kMaxExchanges)) all.pop_front();
  all.push_back(std::move(exchange));
  return kept ? CommitKeptExchanges() : absl::OkStatus();
}

Exchange* Emulation::Core::FindExchange(const SessionName& name, const v1::SignedEnvelope& grant) {
  // Only to choose with; OpenGrant believes nothing of it.
  const auto sealed = PayloadOf<v1::SealedGrant>(grant, "the grant");
  Exchange* any = nullptr;
  for (std::list<Exchange>* all : {&exchanges_, &kept_}) {
    for (Exchange& exchange : *all) {
      if (exchange.session.name() != name) continue;
      if (sealed.ok() && Equal(AsBytes(sealed->transcript()), exchange.transcript))
        return &exchange;
      if (any == nullptr) any = &exchange;
    }
  }
  return any;
}

absl::Status Emulation::Core::EndExchange(Exchange& exchange) {
  exchange.answered = true;
  const size_t removed =
      kept_.remove_if([&](const Exchange& other) { return &other == &exchange; });
  return removed == 0 ? absl::OkStatus() : CommitKeptExchanges();
}

}  // namespace nark::securespace
