#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_file.h"
#include "common/net/datagram_record.h"
#include "common/net/descriptor.h"

namespace nark::net {
namespace {

constexpr size_t kMagicBytes = sizeof kDatagramFileMagic - 1;
constexpr size_t kReadBytes = 1 << 18;
constexpr size_t kPrefixBytes = 28;  // of every datagram (docs/wire.md, section 5)
constexpr size_t kEndContentBytes = 12;
constexpr uint32_t kMaxPages = kMaxIndexEntries / kMaxPageEntries;
constexpr size_t kMaxStreams = 4096;

using StreamKey = std::pair<uint64_t, uint32_t>;  // session tag, sender

absl::Status FileError(int error, std::string_view what, const std::string& path) {
  std::string message = absl::StrCat(Absl(what), " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
}

// Which datagrams are of a range. What it goes by is not verified: it only leaves out.
class RangeFilter {
 public:
  explicit RangeFilter(const PlayRange& range) : range_(range) {}

  // Times from now on count from the epoch.
  void SetBeginning(uint64_t signed_time_us) {
    if (range_.origin == PlayRange::Origin::kEpoch) return;
    range_.origin = PlayRange::Origin::kEpoch;
    for (std::optional<uint64_t>* time : {&range_.from_time_us, &range_.to_time_us}) {
      if (!time->has_value()) continue;
      *time = **time > UINT64_MAX - signed_time_us ? UINT64_MAX : **time + signed_time_us;
    }
  }

  bool Takes(ByteView datagram) {
    if (range_.everything() || datagram.size() < kPrefixBytes) return true;
    IndexEntry header;
    const bool is_header = ReadIndexEntry(datagram, header);
    if (is_header) SetBeginning(header.signed_time_us);
    const uint64_t id = LoadBig64(&datagram[16]);
    if (range_.from_adu && id < *range_.from_adu) return false;
    if (range_.to_adu && id > *range_.to_adu) return false;
    if (!range_.from_time_us && !range_.to_time_us) return true;
    const StreamKey key(LoadBig64(&datagram[4]), LoadBig32(&datagram[12]));
    if (streams_.size() == kMaxStreams && !streams_.contains(key)) return true;
    Edges& edges = streams_[key];
    if (is_header) {
      const uint64_t time = header.signed_time_us;
      if (time >= range_.from_time_us.value_or(0)) edges.first = std::min(edges.first, id);
      if (time > range_.to_time_us.value_or(UINT64_MAX)) edges.end = std::min(edges.end, id);
    }
    return (!range_.from_time_us || id >= edges.first) && id < edges.end;
  }

  // Whether an ADU lies before the range, or begins it.
  bool IsAtOrBefore(const IndexEntry& entry) const {
    if (range_.from_adu) return entry.adu_id <= *range_.from_adu;
    return entry.signed_time_us <= range_.from_time_us.value_or(0);
  }
  bool seeks() const { return range_.from_adu || range_.from_time_us; }
  bool wants_beginning() const { return range_.origin == PlayRange::Origin::kBeginning; }

 private:
  // Ids of one stream, as far as times have shown.
  struct Edges {
    uint64_t first = UINT64_MAX;
    uint64_t end = UINT64_MAX;
  };
  PlayRange range_;
  std::map<StreamKey, Edges> streams_;
};

// Places in a file that can be read in any order.
class IndexReader {
 public:
  IndexReader(int fd, uint64_t size) : fd_(fd), size_(size) {}

  // Where to begin for a range; nothing where the index is missing, damaged or wrong.
  std::optional<uint64_t> Start(const RangeFilter& filter) {
    const size_t end_bytes = kRecordHeadBytes + kEndContentBytes;
    if (size_ < kMagicBytes + end_bytes) return std::nullopt;
    const ByteView end = ContentAt(size_ - end_bytes, RecordKind::kIndexEnd, end_bytes);
    if (end.size() != kEndContentBytes) return std::nullopt;
    uint64_t at = LoadBig64(&end[0]);
    const uint32_t pages = LoadBig32(&end[8]);
    if (pages > kMaxPages) return std::nullopt;
    std::map<StreamKey, IndexEntry> best;
    for (uint32_t page = 0; page < pages; ++page) {
      const ByteView content = ContentAt(at, RecordKind::kIndexPage,
                                         kRecordHeadBytes + kMaxPageEntries * kIndexEntryBytes);
      if (content.empty() || content.size() % kIndexEntryBytes != 0) return std::nullopt;
      at += kRecordHeadBytes + content.size();
      TakePage(content, filter, best);
    }
    std::optional<uint64_t> start;
    for (const auto& [stream, entry] : best) {
      if (!Holds(entry)) return std::nullopt;
      start = std::min(start.value_or(UINT64_MAX), entry.offset);
    }
    return start;
  }

 private:
  // Of each stream the last ADU at or before the range, else the first one of all.
  static void TakePage(ByteView content, const RangeFilter& filter,
                       std::map<StreamKey, IndexEntry>& best) {
    for (size_t i = 0; i < content.size(); i += kIndexEntryBytes) {
      IndexEntry entry;
      entry.tag = LoadBig64(&content[i]);
      entry.sender_id = LoadBig32(&content[i + 8]);
      entry.adu_id = LoadBig64(&content[i + 12]);
      entry.signed_time_us = LoadBig64(&content[i + 20]);
      entry.offset = LoadBig64(&content[i + 28]);
      const auto [known, is_new] = best.try_emplace({entry.tag, entry.sender_id}, entry);
      if (!is_new && filter.IsAtOrBefore(entry)) known->second = entry;
    }
  }

  // Whether that ADU's header stands where the entry says.
  bool Holds(const IndexEntry& entry) {
    const ByteView datagram =
        ContentAt(entry.offset, RecordKind::kDatagram, kRecordHeadBytes + kMaxRecordContent);
    IndexEntry there;
    return ReadIndexEntry(datagram, there) && there.tag == entry.tag &&
           there.sender_id == entry.sender_id && there.adu_id == entry.adu_id &&
           there.signed_time_us == entry.signed_time_us;
  }

  // Of the record there, which has at most `most` bytes; empty where there is none.
  ByteView ContentAt(uint64_t offset, RecordKind kind, size_t most) {
    if (offset >= size_ || offset > INT64_MAX) return {};
    buffer_.resize(most);
    size_t had = 0;
    while (had < most) {
      const ssize_t n = ::pread(fd_, &buffer_[had], most - had, static_cast<off_t>(offset + had));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      had += static_cast<size_t>(n);
    }
    const ParsedRecord parsed = ParseRecord(ByteView(buffer_).first(had));
    const bool fits = parsed.result == ParsedRecord::Result::kRecord && parsed.kind == kind;
    return fits ? parsed.content : ByteView();
  }

  const int fd_;
  const uint64_t size_;
  Bytes buffer_;
};

class FileSource final : public DatagramSource {
 public:
  FileSource(Descriptor file, std::string path, const PlayRange& range, Notify notify)
      : file_(std::move(file)),
        path_(std::move(path)),
        filter_(range),
        notify_(std::move(notify)) {}

  absl::Status Begin() {
    RETURN_IF_ERROR(Need(kMagicBytes));
    if (Unread().size() < kMagicBytes ||
        !Equal(Unread().first(kMagicBytes), AsBytes(kDatagramFileMagic))) {
      return absl::InvalidArgumentError(
          path_ + " holds no datagrams; want a file that nark-sender --output file:PATH wrote");
    }
    begin_ += kMagicBytes;
    struct stat info {};
    if (!filter_.seeks() || ::fstat(file_.fd(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::OkStatus();
    }
    if (filter_.wants_beginning()) {
      RETURN_IF_ERROR(LookForBeginning());
      RETURN_IF_ERROR(SeekTo(kMagicBytes));
    }
    IndexReader index(file_.fd(), static_cast<uint64_t>(info.st_size));
    const std::optional<uint64_t> start = index.Start(filter_);
    return start ? SeekTo(*start) : absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    size_t count = 0;
    while (count < most && !exhausted_) {
      ASSIGN_OR_RETURN(const ByteView datagram, Next());
      if (exhausted_ || !filter_.Takes(datagram)) continue;
      consume(datagram);
      ++count;
    }
    return count;
  }

  int descriptor() const override { return -1; }
  bool exhausted() const override { return exhausted_; }

 private:
  ByteView Unread() const { return ByteView(buffer_).subspan(begin_); }

  // Reads until `bytes` are there, or the file ends.
  absl::Status Need(size_t bytes) {
    while (Unread().size() < bytes) {
      buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(begin_));
      begin_ = 0;
      const size_t had = buffer_.size();
      buffer_.resize(had + kReadBytes);
      const ssize_t n = ::read(file_.fd(), &buffer_[had], kReadBytes);
      const int error = errno;
      buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
      if (n < 0 && error == EINTR) continue;
      if (n < 0) return FileError(error, "cannot read", path_);
      if (n == 0) break;
    }
    return absl::OkStatus();
  }

  absl::Status SeekTo(uint64_t offset) {
    if (::lseek(file_.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) {
      return FileError(errno, "cannot seek in", path_);
    }
    buffer_.clear();
    begin_ = 0;
    exhausted_ = false;
    return absl::OkStatus();
  }

  // So that times may be told from it before anything is played.
  absl::Status LookForBeginning() {
    IndexEntry header;
    while (!exhausted_) {
      absl::StatusOr<ByteView> datagram = Next();
      RETURN_IF_ERROR(datagram.status());
      if (exhausted_ || !ReadIndexEntry(*datagram, header)) continue;
      filter_.SetBeginning(header.signed_time_us);
      break;
    }
    damaged_places_ = skipped_bytes_ = 0;
    in_step_ = true;
    ended_ = false;
    return absl::OkStatus();
  }

  // The next datagram; nothing where the file is exhausted.
  absl::StatusOr<ByteView> Next() {
    for (;;) {
      RETURN_IF_ERROR(Need(kRecordHeadBytes));
      ParsedRecord parsed = ParseRecord(Unread());
      if (parsed.result == ParsedRecord::Result::kNeedsMore) {
        RETURN_IF_ERROR(Need(parsed.bytes));
        parsed = ParseRecord(Unread());
      }
      if (Unread().empty()) {
        Exhaust();
        return ByteView();
      }
      if (parsed.result != ParsedRecord::Result::kRecord) {
        Skip();
        continue;
      }
      in_step_ = true;
      begin_ += parsed.bytes;
      ended_ = parsed.kind == RecordKind::kIndexEnd;
      if (parsed.kind == RecordKind::kDatagram) return parsed.content;
    }
  }

  // To the next mark behind here.
  void Skip() {
    if (in_step_) ++damaged_places_;
    in_step_ = false;
    const size_t step = FindMark(Unread(), 1);
    skipped_bytes_ += step;
    begin_ += step;
  }

  void Exhaust() {
    exhausted_ = true;
    if (!notify_) return;
    if (damaged_places_ != 0) {
      notify_(absl::StrCat(path_, " is damaged in ", damaged_places_, " places; ", skipped_bytes_,
                           " bytes were left out"));
    } else if (!ended_) {
      notify_(path_ + " has no index at its end: it was cut off, or is still being written");
    }
  }

  Descriptor file_;
  std::string path_;
  RangeFilter filter_;
  Notify notify_;
  Bytes buffer_;
  size_t begin_ = 0;  // of what has not been handed over
  bool in_step_ = true;
  bool ended_ = false;  // the last record seen is the index's end
  uint64_t damaged_places_ = 0;
  uint64_t skipped_bytes_ = 0;
  bool exhausted_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DatagramSource>> OpenDatagramFile(const std::string& path,
                                                                 const PlayRange& range,
                                                                 Notify notify) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return FileError(errno, "cannot open", path);
  auto source = std::make_unique<FileSource>(std::move(file), path, range, std::move(notify));
  RETURN_IF_ERROR(source->Begin());
  return std::unique_ptr<DatagramSource>(std::move(source));
}

}  // namespace nark::net
