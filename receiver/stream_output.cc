#include "receiver/stream_output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::receiver {
namespace {

constexpr size_t kCongestedBytes = 8 << 20;

absl::Status Error(const std::string& name, int error) {
  if (error == EPIPE || error == ECONNRESET) {
    return absl::UnavailableError(absl::StrCat("output ", name, ": its reader has gone away"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("output ", name));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Output>> StreamOutput::CreateFile(const std::string& name,
                                                                 const std::string& path) {
  // Not to wait for the reader of a named pipe; no effect on files.
  net::Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644));
  if (file.fd() < 0) {
    if (errno == ENXIO) {
      return absl::UnavailableError(
          absl::StrCat("output ", name, ": nobody reads this pipe; start its reader first"));
    }
    return Error(name, errno);
  }
  struct stat status {};
  if (::fstat(file.fd(), &status) != 0) return Error(name, errno);
  const Kind kind = S_ISFIFO(status.st_mode) ? Kind::kWaitsForUs : Kind::kPlain;
  if (kind == Kind::kPlain && ::fcntl(file.fd(), F_SETFL, 0) != 0) return Error(name, errno);
  return std::unique_ptr<Output>(new StreamOutput(name, std::move(file), kind));
}

absl::StatusOr<std::unique_ptr<Output>> StreamOutput::OnDescriptor(const std::string& name,
                                                                   int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error(name, errno);
  if (S_ISFIFO(status.st_mode)) {
    // A description of our own: O_NONBLOCK on the shared one would surprise
    // whoever has the other end of it, a shell for example.
    const std::string path = absl::StrCat("/proc/self/fd/", fd);
    net::Descriptor own(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    if (own.fd() >= 0) {
      return std::unique_ptr<Output>(new StreamOutput(name, std::move(own), Kind::kWaitsForUs));
    }
  }
  net::Descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (copy.fd() < 0) return Error(name, errno);
  const Kind kind = S_ISSOCK(status.st_mode) ? Kind::kSocket : Kind::kPlain;
  return std::unique_ptr<Output>(new StreamOutput(name, std::move(copy), kind));
}

absl::StatusOr<size_t> StreamOutput::PassOn(ByteView bytes) {
  for (;;) {
    const ssize_t taken =
        kind_ == Kind::kSocket
            ? ::send(descriptor_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
            : ::write(descriptor_.fd(), bytes.data(), bytes.size());
    if (taken >= 0) return static_cast<size_t>(taken);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
    if (errno != EINTR) return Error(name_, errno);
  }
}

absl::Status StreamOutput::Write(ByteView plaintext, Timestamp now) {
  RETURN_IF_ERROR(Service(now));
  if (!drained()) {
    kept_.insert(kept_.end(), plaintext.begin(), plaintext.end());
    return absl::OkStatus();
  }
  while (!plaintext.empty()) {
    ASSIGN_OR_RETURN(const size_t taken, PassOn(plaintext));
    plaintext = plaintext.subspan(taken);
    if (taken == 0) {
      kept_.assign(plaintext.begin(), plaintext.end());
      passed_on_ = 0;
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status StreamOutput::Service(Timestamp) {
  while (!drained()) {
    ASSIGN_OR_RETURN(const size_t taken, PassOn(ByteView(kept_).subspan(passed_on_)));
    if (taken == 0) return absl::OkStatus();
    passed_on_ += taken;
    // Moving the rest down costs what was passed on at most.
    if (passed_on_ >= kept_.size() / 2) {
      kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(passed_on_));
      passed_on_ = 0;
    }
  }
  return absl::OkStatus();
}

void StreamOutput::AddPolls(std::vector<pollfd>& polls) const {
  if (kind_ == Kind::kPlain) return;
  // Even with nothing to write: POLLERR says that the reader has gone.
  polls.push_back({descriptor_.fd(), static_cast<short>(drained() ? 0 : POLLOUT), 0});
}

bool StreamOutput::congested() const { return kept_.size() - passed_on_ > kCongestedBytes; }

}  // namespace nark::receiver
