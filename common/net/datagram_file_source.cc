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
    struct stat info {};
    if (::fstat(reader_.fd(), &info) != 0) return FileError(errno, "cannot look at", path_);
    // A writer may leave it open and write no more.
    pipe_ = S_ISFIFO(info.st_mode);
    if (pipe_ && ::fcntl(reader_.fd(), F_SETFL, O_NONBLOCK) != 0) {
      return FileError(errno, "cannot set up", path_);
    }
    if (S_ISREG(info.st_mode)) file_bytes_ = static_cast<uint64_t>(info.st_size);
    return counts() ? GoToStart() : absl::OkStatus();
  }

  absl::StatusOr<size_t> Receive(size_t most, absl::FunctionRef<void(ByteView)> consume) override {
    const uint64_t enough = reader_.passed_bytes() + kMostBytesACall;
    size_t count = 0;
    auto step = RecordReader::Step::kPassed;
    while (count < most && reader_.passed_bytes() < enough &&
           step != RecordReader::Step::kNothingYet && step != RecordReader::Step::kEnd) {
      ParsedRecord record;
      ASSIGN_OR_RETURN(step, reader_.Next(record));
      if (step != RecordReader::Step::kRecord) continue;
      ended_ = record.kind == RecordKind::kIndexEnd;
      if (record.kind != RecordKind::kDatagram || !MayTake(record.content)) continue;
      consume(record.content);
      ++count;
    }
    waits_ = pipe_ && step == RecordReader::Step::kNothingYet;
    exhausted_ = exhausted_ || step == RecordReader::Step::kEnd;
    if (exhausted_) Tell();
    return count;
  }

  int descriptor() const override { return pipe_ ? reader_.fd() : -1; }
  bool more() const override { return !exhausted_ && !waits_; }
  bool exhausted() const override { return exhausted_; }

  bool in_order() const override { return reader_.damaged_places() == 0; }
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
    if (!file_bytes_ || (!range_.from_adu && !range_.from_time_us)) return absl::OkStatus();
    const std::optional<uint64_t> start = LookUpStart(reader_.fd(), *file_bytes_, range_);
    return start && *start > reader_.offset() ? reader_.SeekTo(*start) : absl::OkStatus();
  }

  // Leaves out by ids alone, which cost only the datagram that they stand in. What time an
  // ADU has, only its header knows once it has verified.
  bool MayTake(ByteView datagram) const {
    if (!counts() || datagram.size() < kPrefixBytes) return true;
    const uint64_t id = LoadBig64(&datagram[16]);
    if (id < range_.from_adu.value_or(0)) return false;
    // A header behind the end tells that its stream has no more to come.
    IndexEntry header;
    return id <= range_.to_adu.value_or(UINT64_MAX) || ReadIndexEntry(datagram, header);
  }

  void Tell() {
    if (!notify_) return;
    const Notify notify = std::exchange(notify_, nullptr);
    if (reader_.damaged_places() != 0) {
      const uint64_t places = reader_.damaged_places();
      notify(absl::StrCat(path_, " is damaged in ", places, places == 1 ? " place; " : " places; ",
                          reader_.skipped_bytes(), " bytes were left out"));
    } else if (!ended_) {
      notify(path_ + " has no index at its end: it was cut off, or is still being written");
    }
  }

  std::string path_;
  RecordReader reader_;
  PlayRange range_;
  Notify notify_;
  bool pipe_ = false;
  std::optional<uint64_t> file_bytes_;  // of a file that can be read in any order
  bool waits_ = false;                  // the pipe was empty at the last look
  bool ended_ = false;                  // the last record seen is the index's end
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
