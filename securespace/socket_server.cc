#include "securespace/socket_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/server.h"
#include "securespace/service.h"
#include "securespace/socket_path.h"

namespace nark::securespace {
namespace {

constexpr std::chrono::milliseconds kDrain{1000};

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// gRPC removes whatever socket is in its way; one that is served stays.
absl::Status CheckFree(const std::string& name, const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", name, ": there is a file of that name; remove it"));
  }
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open a socket for ", name));
  sockaddr_un address = AddressOf(path);
  bool served = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  if (!served) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", name, ": another process serves it; stop that one"));
}

class GrpcSocketServer final : public SocketServer {
 public:
  GrpcSocketServer(SecureSpace& space, ShortSocketPath path)
      : service_(space), path_(std::move(path)) {}
  ~GrpcSocketServer() override {
    if (server_ == nullptr) return;
    server_->Drain(kDrain);
    ::unlink(path_.path().c_str());
  }

  absl::Status Listen(const std::string& name) {
    RETURN_IF_ERROR(CheckFree(name, path_.path()));
    rpc::ServerOptions options;
    options.listen = "unix:" + path_.path();
    options.max_message_bytes = kMaxSocketMessageBytes;
    absl::StatusOr<std::unique_ptr<rpc::Server>> server =
        rpc::Server::Start(std::move(options), {&service_});
    if (!server.ok()) {
      return absl::UnavailableError(absl::StrCat(
          "cannot listen on ", name, "; check that its folder exists and may be written to"));
    }
    server_ = *std::move(server);
    return absl::OkStatus();
  }

 private:
  SecureSpaceService service_;
  ShortSocketPath path_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SocketServer>> SocketServer::Start(SecureSpace& space,
                                                                  const std::string& socket_path) {
  ASSIGN_OR_RETURN(ShortSocketPath path, ShortSocketPath::For(socket_path));
  auto server = std::make_unique<GrpcSocketServer>(space, std::move(path));
  RETURN_IF_ERROR(server->Listen(socket_path));
  return server;
}

}  // namespace nark::securespace
