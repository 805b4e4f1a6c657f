#ifndef NARK_KEYMANAGER_OFFLINE_H_
#define NARK_KEYMANAGER_OFFLINE_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "keymanager/replica_files.h"

namespace nark::keymanager {

// The longest that a challenge on a medium may live.
inline constexpr std::chrono::hours kLongestChallengeLife{24 * 366};

// The two steps of a join (docs/wire.md, "Joining") with files for messages. Nothing
// listens and nothing is kept: any replica of the pool takes either step.
struct OfflineChallengeSettings {
  std::string pool;           // folder
  KeyStore* token = nullptr;  // as in ReplicaFiles
  std::string session_path;
  std::string secure_space;  // id, 64 hexadecimal digits
  std::chrono::microseconds expires = std::chrono::hours(24 * 30);
  std::string out;
};
// Writes a challenge for one session and one secure space. Errors name what is at fault.
absl::Status RunOfflineChallenge(const OfflineChallengeSettings& settings, Clock& clock,
                                 Random& random);

struct OfflineGrantSettings {
  ReplicaFiles files;
  std::string request_path;
  std::string out;
};
// Decides on a request as GrantAuthority::IssueGrant does and writes the grant. A refusal
// keeps its reason and says the cause besides: whoever calls this is the key manager.
absl::Status RunOfflineGrant(const OfflineGrantSettings& settings, Clock& clock, Random& random);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_OFFLINE_H_
