#ifndef NARK_KEYMANAGER_CHECK_H_
#define NARK_KEYMANAGER_CHECK_H_

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "keymanager/replica.h"

namespace nark::keymanager {

// Good: as it should be. Warning: it serves, and somebody should look soon. Bad: it would
// not start, or refuse every join.
enum class Grade { kGood, kWarning, kBad };

struct Finding {
  Grade grade;
  std::string what;  // "pool", "tls", "listen", ...
  std::string text;  // one line
};

// Looks at all that a replica with `options` would use, and starts nothing: files, dates,
// addresses, limits.
std::vector<Finding> CheckReplica(const ReplicaOptions& options, Clock& clock, Random& random);

// One line each; or {"ok":true,"findings":[{"grade","what","text"},...]}.
std::string ShowText(const std::vector<Finding>& findings);
std::string ShowJson(const std::vector<Finding>& findings);

bool AllServes(const std::vector<Finding>& findings);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_CHECK_H_
