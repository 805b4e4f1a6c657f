#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_file.h"
#include "common/net/datagram_index.h"
#include "common/net/datagram_record.h"
#include "common/net/datagram_record_reader.h"
#include "common/net/descriptor.h"

namespace nark::net {
namespace {

constexpr size_t kMagicBytes = sizeof kDatagramFileMagic - 1;
constexpr size_t kPrefixBytes = 28;  // of every datagram (docs/wire.md, section 5)
constexpr size_t kMaxStreams = 4096;
// Passed in one call: what a caller may have to wait before it sees a signal.
constexpr uint64_t kMostBytesACall = 8 << 20;

using StreamKey = std::pair<uint64_t, uint32_t>;  // session tag, sender

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

  const PlayRange& range() const { return range_; }
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

class FileSource final : public DatagramSource {
 public:
  FileSource(Descriptor file, std::string path, const PlayRange& range, Notify notify)
      : path_(std::move(path)),
        reader_(std::move(file), path_),
        filter_(range),
        notify_(std::move(notify)) {}

  absl::Status Begin() {
    ASSIGN_OR_RETURN(const bool begins, reader_.TakeBeginning(kDatagramFileMagic));
    if (!begins) {
      return absl::InvalidArgumentError(
          path_ + " holds no datagrams; want a file that nark-sender --output file:PATH wrote");
    }
    struct stat info {};
    if (!filter_.seeks() || ::fstat(reader_.fd(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return absl::OkStatus();
    }
    if (filter_.wants_beginning()) {
      RETURN_IF_ERROR(LookForBeginning());
      RETURN_IF_ERROR(reader_.SeekTo(kMagicBytes));
      exhausted_ = false;
    }
    const std::optional<uint64_t> start =
        LookUpStart(reader_.fd(), static_cast<uint64_t>(info.st_size), filter_.range());
    return start ? reader_.SeekTo(*start) : absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    const uint64_t enough = reader_.passed_bytes() + kMostBytesACall;
    size_t count = 0;
    while (count < most && !exhausted_ && reader_.passed_bytes() < enough) {
      ASSIGN_OR_RETURN(const ByteView datagram, Next());
      if (datagram.empty() || !filter_.Takes(datagram)) continue;
      consume(datagram);
      ++count;
    }
    if (exhausted_) Tell();
    return count;
  }

  int descriptor() const override { return -1; }
  bool more() const override { return !exhausted_; }
  bool exhausted() const override { return exhausted_; }

 private:
  // So that times may be told from it before anything is played.
  absl::Status LookForBeginning() {
    IndexEntry header;
    while (!exhausted_) {
      absl::StatusOr<ByteView> datagram = Next();
      RETURN_IF_ERROR(datagram.status());
      if (!ReadIndexEntry(*datagram, header)) continue;
      filter_.SetBeginning(header.signed_time_us);
      break;
    }
    return absl::OkStatus();
  }

  // One step: a datagram, or nothing where there was none or the file is exhausted.
  absl::StatusOr<ByteView> Next() {
    ParsedRecord record;
    ASSIGN_OR_RETURN(const RecordReader::Step step, reader_.Next(record));
    exhausted_ = step == RecordReader::Step::kEnd;
    if (step != RecordReader::Step::kRecord) return ByteView();
    ended_ = record.kind == RecordKind::kIndexEnd;
    return record.kind == RecordKind::kDatagram ? record.content : ByteView();
  }

  void Tell() {
    if (!notify_) return;
    const Notify notify = std::exchange(notify_, nullptr);
    if (reader_.damaged_places() != 0) {
      notify(absl::StrCat(path_, " is damaged in ", reader_.damaged_places(), " places; ",
                          reader_.skipped_bytes(), " bytes were left out"));
    } else if (!ended_) {
      notify(path_ + " has no index at its end: it was cut off, or is still being written");
    }
  }

  std::string path_;
  RecordReader reader_;
  RangeFilter filter_;
  Notify notify_;
  bool ended_ = false;  // the last record seen is the index's end
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
