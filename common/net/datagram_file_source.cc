#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
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

constexpr size_t kPrefixBytes = 28;  // of every datagram (docs/wire.md, section 5)
// Passed in one call: what a caller may have to wait before it sees a signal.
constexpr uint64_t kMostBytesACall = 8 << 20;

class FileSource final : public Recording {
 public:
  FileSource(Descriptor file, std::string path, const PlayRange& range, Notify notify)
      : path_(std::move(path)),
        reader_(std::move(file), path_),
        range_(range),
        notify_(std::move(notify)) {}

  absl::Status Begin() {
    ASSIGN_OR_RETURN(const bool begins, reader_.TakeBeginning(kDatagramFileMagic));
    if (!begins) {
      return absl::InvalidArgumentError(
          path_ + " holds no datagrams; want a file that nark-sender --output file:PATH wrote");
    }
    return counts() ? GoToStart() : absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    const uint64_t enough = reader_.passed_bytes() + kMostBytesACall;
    size_t count = 0;
    while (count < most && !exhausted_ && reader_.passed_bytes() < enough) {
      ASSIGN_OR_RETURN(const ByteView datagram, Next());
      if (datagram.empty() || !MayTake(datagram)) continue;
      consume(datagram);
      ++count;
    }
    if (exhausted_) Tell();
    return count;
  }

  int descriptor() const override { return -1; }
  bool more() const override { return !exhausted_; }
  bool exhausted() const override { return exhausted_; }

  absl::Status SetBeginning(uint64_t signed_time_us) override {
    if (counts()) return absl::OkStatus();
    range_ = range_.CountedFrom(signed_time_us);
    return GoToStart();
  }

 private:
  // Whether it is known from when times count.
  bool counts() const { return range_.origin == PlayRange::Origin::kEpoch; }

  // Where the index leads to, if that lies ahead: what came before was handed over.
  absl::Status GoToStart() {
    struct stat info {};
    if ((!range_.from_adu && !range_.from_time_us) || ::fstat(reader_.fd(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      return absl::OkStatus();
    }
    const std::optional<uint64_t> start =
        LookUpStart(reader_.fd(), static_cast<uint64_t>(info.st_size), range_);
    return start && *start > reader_.offset() ? reader_.SeekTo(*start) : absl::OkStatus();
  }

  // Leaves out by ids alone, which cost only the datagram that they stand in. What time an
  // ADU has, only its header knows once it has verified.
  bool MayTake(ByteView datagram) const {
    if (!counts() || datagram.size() < kPrefixBytes) return true;
    const uint64_t id = LoadBig64(&datagram[16]);
    return id >= range_.from_adu.value_or(0) && id <= range_.to_adu.value_or(UINT64_MAX);
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
  PlayRange range_;
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
