#ifndef NARK_RECEIVER_REQUEST_H_
#define NARK_RECEIVER_REQUEST_H_

#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// A join without a network (docs/operations.md): what would travel to a key manager and
// back is carried as files. Where a join has the secure space's folder, its socket is used.
struct RequestSettings {
  std::string session_path;
  std::string secure_space;  // DIR or unix:PATH
  std::string voucher_path;
  std::string challenge_path;
  std::string out;
  // Of a secure space that is opened here.
  securespace::InsecureSessions insecure = securespace::InsecureSessions::kRefuse;
};
// Has the secure space answer the challenge and remember that it did, and writes what a
// key manager decides on to `out`. An earlier request of the session is void from then on,
// and left alone where `out` cannot be written.
absl::Status RunRequest(const RequestSettings& settings, Clock& clock, Random& random);

struct InstallSettings {
  std::string grant_path;
  std::string secure_space;  // DIR or unix:PATH
  std::string cache;         // folder for marked blocks
  // Of a secure space that is opened here.
  securespace::InsecureSessions insecure = securespace::InsecureSessions::kRefuse;
};
// Installs the grant that answers the request, once, and keeps the marked block that came
// with it in the cache, for join; that alone where it is done again. Says the grant's id on
// stdout.
absl::Status RunInstall(const InstallSettings& settings, Clock& clock, Random& random);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_REQUEST_H_
