#ifndef NARK_SECURESPACE_CONNECT_H_
#define NARK_SECURESPACE_CONNECT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "securespace/folder.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// A secure space as --secure-space names it.
struct Connection {
  // Set where the folder is open in this process; it then holds the lock.
  std::unique_ptr<Folder> folder;
  // Set where another process has it.
  std::unique_ptr<SecureSpace> remote;

  SecureSpace& space() { return folder != nullptr ? folder->space() : *remote; }
};

// What to do where another process has the folder open.
enum class WhenLocked { kFail, kUseItsSocket };

// `where` is "unix:PATH" or a folder. `insecure` is for a folder that is opened here; whoever
// has it open already has decided.
absl::StatusOr<Connection> Connect(const std::string& where, WhenLocked when_locked, Clock& clock,
                                   Random& random,
                                   InsecureSessions insecure = InsecureSessions::kRefuse);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_CONNECT_H_
