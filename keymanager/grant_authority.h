#ifndef NARK_KEYMANAGER_GRANT_AUTHORITY_H_
#define NARK_KEYMANAGER_GRANT_AUTHORITY_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/hpke.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/identity.h"
#include "common/object/sealed_session.h"
#include "common/object/session.h"
#include "common/object/signer_cache.h"
#include "common/object/trust.h"
#include "keymanager/bounded_cache.h"
#include "keymanager/challenge.h"
#include "keymanager/grant_maker.h"
#include "keymanager/rate_limit.h"
#include "keymanager/refusal.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {

// What the replicas of a pool share, and the replica's own signing key. Move-only.
struct ReplicaKeys {
  Certificate root;                       // the provider's
  std::vector<HpkePrivateKey> hpke_keys;  // to which sessions are sealed
  ChallengeKeys challenge_keys;
  SigningIdentity signing;  // its Chain() is key manager, pool role
};

// The world. All borrowed, all thread-safe wherever the authority has callers in
// several threads.
struct World {
  Clock& clock;
  Random& random;
  RefusalLog& refusals;
};

// Numbers that no correctness hangs on.
struct Limits {
  std::chrono::seconds challenge_life{60};
  // By which the clocks of a pool's replicas may differ.
  std::chrono::seconds clock_difference{30};
  // Something verified is verified again after this, and whenever the clock runs
  // backwards.
  std::chrono::seconds cache_life{60};
  Rate joins_per_secure_space;
  size_t cached_sessions = 64;
  size_t cached_secure_spaces = 4096;
  size_t cached_answers = 1024;
  size_t cached_families = 8;  // half a MiB each
  size_t rate_buckets = 16384;
};

// A marked block that somebody may have: whose, and of which family.
struct BlockOrder {
  Digest secure_space_id{};
  std::shared_ptr<const audit::Family> family;
};

// The decision of a key manager. Holds no state that it could
// not lose at any moment; any two made from the same keys and lists answer alike.
// No files, no network. Thread-safe.
class GrantAuthority {
 public:
  // Checks that the signing key is certified under the root. UNAUTHENTICATED,
  // INVALID_ARGUMENT.
  static absl::StatusOr<std::unique_ptr<GrantAuthority>> Create(
      std::shared_ptr<const ReplicaKeys> keys, Trust trust, World world, Limits limits = {});

  // Refusals are those of docs/reasons.md.
  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(const v1::GetChallengeRequest& request);
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request);
  // Whether the secure space that asks gets its block: where it would get a grant.
  absl::StatusOr<BlockOrder> AdmitToBlock(const v1::GetMarkedBlockRequest& request);
  // The sealed block (audit/sealed_block.h): derived, so the same whenever and by whichever
  // replica it is made.
  absl::StatusOr<Bytes> MakeBlock(const BlockOrder& order);
  // Both, for those who need not ask in between.
  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request);

  const Digest& provider() const { return keys_->root.public_key().id(); }
  // The earliest next update of its lists; Timestamp::max() where it has none.
  Timestamp lists_next_update() const { return trust_.next_update(); }

  // UNAVAILABLE where every join would be refused now, by this replica or for its signature.
  // Asks the token that holds the pool's challenge key, if one does.
  absl::Status CheckReady() const;
  // Whether a key has to be waited for: one that lies in a token. (A pool's do all, or none.)
  bool keys_wait() const { return keys_->challenge_keys.external(); }

 private:
  // A session of this provider, with its secrets.
  struct Session {
    VerifiedSession verified;
    absl::StatusOr<SessionSecrets> secrets;
    Timestamp verified_at;
  };
  // A secure space whose chain leads to an issuer and is not revoked.
  struct SecureSpace {
    PublicKey attestation_key;
    Digest id{};
    Timestamp verified_at;
  };

  // A request of which everything has been checked.
  struct Attested {
    std::shared_ptr<const Session> session;
    VerifiedVoucher voucher;
    std::shared_ptr<const SecureSpace> secure_space;
    Digest challenge_identity{};
    v1::Evidence evidence;
    Digest evidence_identity{};
    AttestedJoin join() const {
      return {.session = session->verified,
              .voucher = voucher,
              .challenge_identity = challenge_identity,
              .evidence = evidence,
              .evidence_identity = evidence_identity,
              .secure_space_id = secure_space->id};
    }
  };

  GrantAuthority(std::shared_ptr<const ReplicaKeys> keys, Trust trust, World world, Limits limits);

  absl::StatusOr<v1::Challenge> MakeChallenge(const v1::GetChallengeRequest& request);
  absl::StatusOr<v1::IssueGrantResponse> Decide(const v1::IssueGrantRequest& request);
  absl::StatusOr<v1::IssueGrantResponse> DecideAnew(const v1::IssueGrantRequest& request,
                                                    const VerifiedChallenge& challenge,
                                                    Timestamp now);
  absl::StatusOr<BlockOrder> Admit(const v1::IssueGrantRequest& request);
  // What costs nearly nothing: shape, challenge and lists.
  absl::StatusOr<VerifiedChallenge> CheckCheaply(const v1::IssueGrantRequest& request,
                                                 Timestamp now);
  // All the rest.
  absl::StatusOr<Attested> Attest(const v1::IssueGrantRequest& request,
                                  const VerifiedChallenge& challenge, Timestamp now);
  absl::StatusOr<std::shared_ptr<const audit::Family>> FindFamily(const Session& session);
  absl::StatusOr<VerifiedChallenge> CheckChallenge(const v1::Challenge& challenge, Timestamp now);
  absl::StatusOr<std::shared_ptr<const Session>> FindSession(const v1::SignedEnvelope& envelope,
                                                             const SessionName& challenged,
                                                             Timestamp now);
  absl::StatusOr<std::shared_ptr<const SecureSpace>> FindSecureSpace(
      const v1::IssueGrantRequest& request, Timestamp now);
  absl::Status CheckSigningChain(Timestamp now) const;
  absl::Status CheckPurchase(const v1::Voucher& voucher, const Digest& secure_space_id,
                             Timestamp now);
  bool IsFresh(Timestamp verified_at, Timestamp now) const;
  absl::Status Answer(const absl::Status& refused);

  const std::shared_ptr<const ReplicaKeys> keys_;
  const std::vector<Certificate> signing_chain_;
  const Trust trust_;
  const World world_;
  const Limits limits_;
  SignerCache tills_;
  BoundedCache<std::shared_ptr<const Session>> sessions_;
  BoundedCache<std::shared_ptr<const SecureSpace>> secure_spaces_;
  BoundedCache<std::shared_ptr<const audit::Family>> families_;  // by block id
  BoundedCache<std::shared_ptr<const v1::IssueGrantResponse>> answers_;
  RateLimit rate_limit_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_GRANT_AUTHORITY_H_
