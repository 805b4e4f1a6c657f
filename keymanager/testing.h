#ifndef NARK_KEYMANAGER_TESTING_H_
#define NARK_KEYMANAGER_TESTING_H_

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/hpke.h"
#include "common/object/testing.h"
#include "keymanager/grant_authority.h"
#include "keymanager/refusal.h"
#include "nark/v1/grant.pb.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {

// Remembers the last refusal and counts all. Thread-safe.
class RecordedRefusals final : public RefusalLog {
 public:
  void OnRefusal(Cause cause, std::string_view detail) override;
  std::optional<Cause> last() const;
  std::string last_detail() const;
  int count(Cause cause) const;
  void Clear();

 private:
  mutable absl::Mutex mutex_;
  std::optional<Cause> last_ ABSL_GUARDED_BY(mutex_);
  std::string detail_ ABSL_GUARDED_BY(mutex_);
  std::array<int, kCauses> counts_ ABSL_GUARDED_BY(mutex_){};
};

// What a replica of the provider's pool holds; each has a signing key of its own.
// May be changed before it is shared.
std::unique_ptr<ReplicaKeys> KeysOf(TestProvider& provider);

// Trust in the provider's issuer, with no lists.
Trust TrustOf(const TestProvider& provider);

// A replica of the provider's pool. Ends the program where it can not be made.
std::unique_ptr<GrantAuthority> MakeAuthority(TestProvider& provider, World world,
                                              Limits limits = {});

// One exchange as a receiver host and its secure space see it.
struct Exchange {
  HpkePrivateKey evidence_key;
  v1::Evidence evidence;  // as it was signed
  v1::IssueGrantRequest request;
};

// What is to be asked for.
struct Purchase {
  const v1::SignedEnvelope& descriptor;
  const v1::SignedEnvelope& voucher;
  const TestSecureSpace& secure_space;
};

v1::GetChallengeRequest ChallengeRequest(const VerifiedSession& session,
                                         const TestSecureSpace& secure_space);

// Answers a challenge. `edit` may change the evidence before it is signed.
Exchange Attest(const Purchase& purchase, const v1::Challenge& challenge, Random& random,
                const std::function<void(v1::Evidence&)>& edit = {});

// Verifies and opens an answer as a secure space does: chain and signature under
// the provider's root, transcript, HPKE.
absl::StatusOr<v1::Grant> OpenGrant(const Exchange& exchange, const v1::IssueGrantResponse& answer,
                                    const Certificate& root, Timestamp now);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_TESTING_H_
