#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_file.h"
#include "common/net/datagram_record.h"
#include "common/net/descriptor.h"

namespace nark::net {
namespace {

// Entries of the file so far. When there are too many, every second one goes and only
// every second, fourth, ... ADU is taken from then on.
class IndexBuilder {
 public:
  void Add(ByteView datagram, uint64_t offset) {
    IndexEntry entry;
    if (!ReadIndexEntry(datagram, entry)) return;
    const std::pair<uint64_t, uint32_t> stream(entry.tag, entry.sender_id);
    auto known = streams_.find(stream);
    if (known == streams_.end()) {
      if (streams_.size() == kMaxIndexedStreams) return;
      known = streams_.try_emplace(stream).first;
    } else if (entry.adu_id <= known->second.last_id) {
      return;  // a header again
    }
    known->second.last_id = entry.adu_id;
    if (known->second.adus++ % stride_ != 0) return;
    entry.offset = offset;
    entries_.push_back(entry);
    if (entries_.size() == kMaxIndexEntries) Thin();
  }

  const std::vector<IndexEntry>& entries() const { return entries_; }

 private:
  struct Stream {
    uint64_t last_id = 0;
    uint64_t adus = 0;
  };

  // Of each stream by itself, or one of two that alternate would vanish.
  void Thin() {
    std::map<std::pair<uint64_t, uint32_t>, uint64_t> seen;
    size_t kept = 0;
    for (const IndexEntry& entry : entries_) {
      if (seen[{entry.tag, entry.sender_id}]++ % 2 == 0) entries_[kept++] = entry;
    }
    entries_.resize(kept);
    stride_ *= 2;
  }

  std::map<std::pair<uint64_t, uint32_t>, Stream> streams_;
  std::vector<IndexEntry> entries_;
  uint64_t stride_ = 1;
};

class FileSink final : public DatagramSink {
 public:
  FileSink(Descriptor file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  ~FileSink() override {
    if (healthy_) (void)WriteIndex();
  }

  absl::Status Begin() { return WriteAll(AsBytes(kDatagramFileMagic)); }

  absl::Status Send(std::span<const ByteView> datagrams) override {
    pending_.clear();
    for (ByteView datagram : datagrams) {
      if (datagram.empty() || datagram.size() > kMaxRecordContent) {
        return absl::InvalidArgumentError(
            absl::StrCat("a datagram of ", datagram.size(), " bytes"));
      }
    }
    for (ByteView datagram : datagrams) {
      index_.Add(datagram, written_ + pending_.size());
      AppendRecord(RecordKind::kDatagram, datagram, pending_);
    }
    return WriteAll(pending_);
  }

 private:
  absl::Status WriteAll(ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_.fd(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        healthy_ = false;
        return absl::InternalError(
            absl::StrCat("cannot write ", path_, ": ", std::strerror(errno)));
      }
      written_ += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status WriteIndex() {
    const uint64_t begin = written_;
    uint32_t pages = 0;
    const std::vector<IndexEntry>& entries = index_.entries();
    for (size_t first = 0; first < entries.size(); first += kMaxPageEntries, ++pages) {
      const size_t count = std::min(kMaxPageEntries, entries.size() - first);
      Bytes content(count * kIndexEntryBytes);
      for (size_t i = 0; i < count; ++i) {
        const IndexEntry& entry = entries[first + i];
        uint8_t* at = &content[i * kIndexEntryBytes];
        StoreBig64(at, entry.tag);
        StoreBig32(at + 8, entry.sender_id);
        StoreBig64(at + 12, entry.adu_id);
        StoreBig64(at + 20, entry.signed_time_us);
        StoreBig64(at + 28, entry.offset);
      }
      pending_.clear();
      AppendRecord(RecordKind::kIndexPage, content, pending_);
      RETURN_IF_ERROR(WriteAll(pending_));
    }
    Bytes end(12);
    StoreBig64(&end[0], begin);
    StoreBig32(&end[8], pages);
    pending_.clear();
    AppendRecord(RecordKind::kIndexEnd, end, pending_);
    return WriteAll(pending_);
  }

  Descriptor file_;
  std::string path_;
  IndexBuilder index_;
  Bytes pending_;
  uint64_t written_ = 0;
  bool healthy_ = true;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSink>> CreateDatagramFile(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  // A pipe, or a file that was made for this and holds nothing yet.
  if (file.fd() < 0 && errno == EEXIST) {
    file = Descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    struct stat info {};
    if (file.fd() >= 0 && ::fstat(file.fd(), &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size > 0) {
      // Its ADUs come never again.
      return absl::AlreadyExistsError(absl::StrCat(
          path, " is there already and is not replaced; name another, or take it away"));
    }
  }
  if (file.fd() < 0) {
    const int error = errno;
    const std::string message = absl::StrCat("cannot create ", path, ": ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
  }
  auto sink = std::make_unique<FileSink>(std::move(file), path);
  RETURN_IF_ERROR(sink->Begin());
  return std::unique_ptr<DatagramSink>(std::move(sink));
}

}  // namespace nark::net
