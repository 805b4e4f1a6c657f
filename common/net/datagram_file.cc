#include "common/net/datagram_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"

namespace nark::net {
namespace {

constexpr size_t kMagicBytes = sizeof kDatagramFileMagic - 1;
constexpr size_t kLengthBytes = 4;
constexpr size_t kMaxDatagram = 65507;
constexpr size_t kReadBytes = 1 << 18;

absl::Status FileError(int error, std::string_view what, const std::string& path) {
  std::string message = absl::StrCat(Absl(what), " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
}

class FileSink final : public DatagramSink {
 public:
  FileSink(Descriptor file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  absl::Status Send(std::span<const ByteView> datagrams) override {
    pending_.clear();
    for (ByteView datagram : datagrams) {
      if (datagram.empty() || datagram.size() > kMaxDatagram) {
        return absl::InvalidArgumentError(
            absl::StrCat("a datagram of ", datagram.size(), " bytes"));
      }
      size_t at = pending_.size();
      pending_.resize(at + kLengthBytes);
      StoreBig32(&pending_[at], static_cast<uint32_t>(datagram.size()));
      pending_.insert(pending_.end(), datagram.begin(), datagram.end());
    }
    return WriteAll(pending_);
  }

  absl::Status WriteAll(ByteView bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::write(file_.fd(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "cannot write", path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

 private:
  Descriptor file_;
  std::string path_;
  Bytes pending_;
};

class FileSource final : public DatagramSource {
 public:
  FileSource(Descriptor file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  absl::Status ReadMagic() {
    RETURN_IF_ERROR(Need(kMagicBytes));
    if (!Equal(Unread().first(std::min(kMagicBytes, Unread().size())),
               AsBytes(kDatagramFileMagic))) {
      return absl::InvalidArgumentError(
          path_ + " holds no datagrams; want a file that nark-sender --output file:PATH wrote");
    }
    begin_ += kMagicBytes;
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    size_t count = 0;
    for (; count < most && !exhausted_; ++count) {
      ASSIGN_OR_RETURN(ByteView datagram, Next());
      if (exhausted_) break;
      consume(datagram);
    }
    return count;
  }

  int descriptor() const override { return -1; }
  bool exhausted() const override { return exhausted_; }

 private:
  ByteView Unread() const { return ByteView(buffer_).subspan(begin_); }

  absl::Status Broken() {
    exhausted_ = true;
    return absl::DataLossError(path_ + " is cut off or damaged");
  }

  // Reads until `bytes` are there, or the file ends.
  absl::Status Need(size_t bytes) {
    while (Unread().size() < bytes) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(begin_));
      begin_ = 0;
      size_t had = buffer_.size();
      buffer_.resize(had + kReadBytes);
      ssize_t n = ::read(file_.fd(), &buffer_[had], kReadBytes);
      int error = errno;
      buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
      if (n < 0 && error == EINTR) continue;
      if (n < 0) return FileError(error, "cannot read", path_);
      if (n == 0) break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ByteView> Next() {
    RETURN_IF_ERROR(Need(kLengthBytes));
    if (Unread().empty()) {
      exhausted_ = true;
      return ByteView();
    }
    if (Unread().size() < kLengthBytes) return Broken();
    size_t length = LoadBig32(Unread().data());
    if (length == 0 || length > kMaxDatagram) return Broken();
    RETURN_IF_ERROR(Need(kLengthBytes + length));
    if (Unread().size() < kLengthBytes + length) return Broken();
    ByteView datagram = Unread().subspan(kLengthBytes, length);
    begin_ += kLengthBytes + length;
    return datagram;
  }

  Descriptor file_;
  std::string path_;
  Bytes buffer_;
  size_t begin_ = 0;  // of what has not been handed over
  bool exhausted_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSink>> CreateDatagramFile(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.fd() < 0) return FileError(errno, "cannot create", path);
  auto sink = std::make_unique<FileSink>(std::move(file), path);
  RETURN_IF_ERROR(sink->WriteAll(AsBytes(kDatagramFileMagic)));
  return std::unique_ptr<DatagramSink>(std::move(sink));
}

absl::StatusOr<std::unique_ptr<DatagramSource>> OpenDatagramFile(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return FileError(errno, "cannot open", path);
  auto source = std::make_unique<FileSource>(std::move(file), path);
  RETURN_IF_ERROR(source->ReadMagic());
  return std::unique_ptr<DatagramSource>(std::move(source));
}

}  // namespace nark::net
