#include "securespace/connect.h"

#include <unistd.h>

#include <string_view>

#include "common/base/status.h"
#include "securespace/remote.h"

namespace nark::securespace {

absl::StatusOr<Connection> Connect(const std::string& where, WhenLocked when_locked, Clock& clock,
                                   Random& random, InsecureSessions insecure) {
  constexpr std::string_view kScheme = "unix:";
  Connection connection;
  if (where.rfind(kScheme, 0) == 0) {
    ASSIGN_OR_RETURN(connection.remote, ConnectSecureSpace(where.substr(kScheme.size())));
    return connection;
  }
  absl::StatusOr<std::unique_ptr<Folder>> folder = Folder::Open(where, clock, random, insecure);
  if (folder.ok()) {
    connection.folder = *std::move(folder);
    return connection;
  }
  // Whoever holds the lock without serving, like `install`, will be done soon: the
  // lock's own message is the better one.
  if (!absl::IsUnavailable(folder.status()) || when_locked == WhenLocked::kFail ||
      ::access(SocketPath(where).c_str(), F_OK) != 0) {
    return folder.status();
  }
  absl::StatusOr<std::unique_ptr<SecureSpace>> remote = ConnectSecureSpace(SocketPath(where));
  // Nobody has it: the socket was left behind, and it is the TPM that is away.
  if (!remote.ok()) return folder.status();
  connection.remote = *std::move(remote);
  return connection;
}

}  // namespace nark::securespace
