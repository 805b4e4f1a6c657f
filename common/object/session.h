#ifndef NARK_COMMON_OBJECT_SESSION_H_
#define NARK_COMMON_OBJECT_SESSION_H_

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/session.pb.h"
#include "nark/v1/voucher.pb.h"

namespace nark {

// The pair that names a session: what everything is keyed by.
struct SessionName {
  Digest provider{};                     // SHA-256 of the provider root's SPKI
  std::array<uint8_t, 16> session_id{};  // random

  static absl::StatusOr<SessionName> FromProto(const v1::SessionRef& ref);
  v1::SessionRef ToProto() const;
  std::string ToString() const;  // "<first 8 hex of provider>/<session id hex>"
  friend auto operator<=>(const SessionName&, const SessionName&) = default;
};

// LabelledHash("nark session context v1", provider, session id, u32 sub-session):
// bound into keys and header signatures.
Digest SessionContext(const SessionName& session, uint32_t sub_session);
// The first 8 bytes of the context, as a number: on every datagram.
uint64_t SessionTag(const Digest& session_context);

// A descriptor that has been verified whole under its own provider root: its
// signature, its terms' signature, every field's shape, every sender
// certificate. Immutable; thread-safe.
class VerifiedSession {
 public:
  // Verifies at time `now`. The message says what is wrong. UNAUTHENTICATED for
  // signatures and chains, INVALID_ARGUMENT for shapes.
  static absl::StatusOr<VerifiedSession> Verify(const v1::SignedEnvelope& descriptor,
                                                Timestamp now);

  // The same for who settles what was sold: its certificates are judged at the
  // descriptor's issue time, if that is before `now`.
  static absl::StatusOr<VerifiedSession> VerifyIssued(const v1::SignedEnvelope& descriptor,
                                                      Timestamp now);

  // The name that a descriptor claims, unverified: for refusing early and cheaply
  // what cannot be meant. Costs no signature.
  static absl::StatusOr<SessionName> ClaimedName(const v1::SignedEnvelope& descriptor);

  const SessionName& name() const { return name_; }
  const Certificate& root() const { return *root_; }
  const v1::Terms& terms() const { return terms_; }
  const Digest& terms_identity() const { return terms_identity_; }
  const v1::SessionDescriptor& descriptor() const { return descriptor_; }
  const Digest& descriptor_identity() const { return descriptor_identity_; }
  const v1::SignedEnvelope& envelope() const { return envelope_; }

  // A sender that may send; nullptr where the id is none.
  struct Sender {
    PublicKey key;
    bool may_control;
  };
  const Sender* FindSender(uint32_t sender_id) const;
  // Whether the provider has revoked the key manager that signs with the key of this id.
  bool RevokesKeyManager(const Digest& key_id) const;

  // Of all who may send, ascending.
  std::vector<uint32_t> sender_ids() const;

 private:
  VerifiedSession() = default;
  absl::Status VerifySenders(Timestamp now);
  absl::StatusOr<std::pair<uint32_t, Sender>> VerifySender(const v1::SenderCertificate& certificate,
                                                           Timestamp now) const;

  SessionName name_;
  std::optional<Certificate> root_;
  v1::Terms terms_;
  Digest terms_identity_{};
  v1::SessionDescriptor descriptor_;
  Digest descriptor_identity_{};
  v1::SignedEnvelope envelope_;
  std::map<uint32_t, Sender> senders_;
};

// A voucher that has been verified for a session: signed by the till of the
// session's root, for this session and these terms, with a sane policy.
struct VerifiedVoucher {
  v1::Voucher voucher;
  Digest identity{};
};
absl::StatusOr<VerifiedVoucher> VerifyVoucher(const v1::SignedEnvelope& envelope,
                                              const VerifiedSession& session, Timestamp now);

// How many key managers a descriptor, and so a pool, may name as revoked.
inline constexpr int kMaxRevokedKeyManagers = 1024;

// Shapes that many places check.
absl::Status CheckTerms(const v1::Terms& terms);
absl::Status CheckPolicy(const v1::Policy& policy, const v1::Terms& terms);

// Whether the terms demand, in this sub-session, the digest of an ADU before the next key.
bool DemandsDigest(const v1::Terms& terms, uint32_t sub_session);

// What a policy that fits the terms buys: its streams as (sub-session, sender), sorted.
using Streams = std::vector<std::pair<uint32_t, uint32_t>>;
Streams StreamsOf(const v1::Policy& policy, const v1::Terms& terms);
// How many ADUs that is: the range of every stream, a count being one of each sender.
// OUT_OF_RANGE from 2^62 on, so that sums do not overflow.
absl::StatusOr<uint64_t> AdusBought(const v1::Policy& policy, const Streams& streams);

// SHA-256 transcript of a grant: LabelledHash("nark transcript v1", descriptor,
// challenge, evidence and voucher identities).
Digest GrantTranscript(const Digest& descriptor_identity, const Digest& challenge_identity,
                       const Digest& evidence_identity, const Digest& voucher_identity);
// LabelledHash("nark grant id v1", voucher identity, secure-space id).
Digest GrantId(const Digest& voucher_identity, const Digest& secure_space_id);
// HPKE info of the sealed session: LabelledEncoding("nark sealed session v1",
// provider, session id, terms identity).
Bytes SealedSessionInfo(const SessionName& session, const Digest& terms_identity);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_SESSION_H_
