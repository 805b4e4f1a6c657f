#include "sender/input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "sender/udp_input.h"

namespace nark::sender {
namespace {

constexpr size_t kReadBytes = 1 << 20;

absl::Status FileError(int error, std::string_view what, const std::string& name) {
  std::string message = absl::StrCat(Absl(what), " ", name, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
}

class FileInput final : public Input {
 public:
  FileInput(net::Descriptor file, std::string name)
      : file_(std::move(file)), name_(std::move(name)), buffer_(kReadBytes) {}

  int descriptor() const override { return file_.fd(); }

  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    ssize_t n = ::read(file_.fd(), buffer_.data(), buffer_.size());
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) return State::kOpen;
      return FileError(errno, "cannot read", name_);
    }
    if (n == 0) return State::kEnded;
    consume(ByteView(buffer_).first(static_cast<size_t>(n)));
    return State::kOpen;
  }

 private:
  net::Descriptor file_;
  std::string name_;
  Bytes buffer_;
};

absl::StatusOr<std::unique_ptr<Input>> OpenFile(const std::string& path) {
  net::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return FileError(errno, "cannot open the input", path);
  struct stat info {};
  if (::fstat(file.fd(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("the input ", path, " is a folder"));
  }
  return std::unique_ptr<Input>(std::make_unique<FileInput>(std::move(file), path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Input>> OpenInput(const std::string& uri, net::Notify notify) {
  if (uri == "-" || uri == "file://con") {
    net::Descriptor copy(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    if (copy.fd() < 0) return FileError(errno, "cannot read", "stdin");
    return std::unique_ptr<Input>(std::make_unique<FileInput>(std::move(copy), "stdin"));
  }
  if (uri.starts_with("udp://")) return OpenUdpInput(uri, std::move(notify));
  std::string_view path = uri;
  if (path.starts_with("file:")) {
    path.remove_prefix(5);
    if (path.starts_with("///")) path.remove_prefix(2);
  } else if (path.find("://") != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot read from ", uri, "; want - (stdin), file:PATH, a path or udp://GROUP:PORT"));
  }
  if (path.empty()) return absl::InvalidArgumentError("the input names no file");
  return OpenFile(std::string(path));
}

}  // namespace nark::sender
