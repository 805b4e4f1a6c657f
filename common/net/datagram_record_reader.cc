#include "common/net/datagram_record_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::net {

absl::Status FileError(int error, std::string_view what, const std::string& path) {
  std::string message = absl::StrCat(Absl(what), " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
}

absl::StatusOr<bool> RecordReader::TakeBeginning(std::string_view text) {
  RETURN_IF_ERROR(Need(text.size()));
  if (Unread().size() < text.size() || !Equal(Unread().first(text.size()), AsBytes(text))) {
    return false;
  }
  buffer_.Use(text.size());
  return true;
}

absl::StatusOr<RecordReader::Step> RecordReader::Next(ParsedRecord& record) {
  RETURN_IF_ERROR(Need(kRecordHeadBytes));
  record = ParseRecord(Unread());
  if (record.result == ParsedRecord::Result::kNeedsMore) {
    RETURN_IF_ERROR(Need(record.bytes));
    record = ParseRecord(Unread());
  }
  if (Unread().empty()) return Step::kEnd;
  if (record.result != ParsedRecord::Result::kRecord) {
    Skip();
    return Step::kPassed;
  }
  in_step_ = true;
  buffer_.Use(record.bytes);
  return Step::kRecord;
}

absl::Status RecordReader::SeekTo(uint64_t offset) {
  if (::lseek(file_.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return FileError(errno, "cannot seek in", path_);
  }
  buffer_.Clear();
  in_step_ = true;
  return absl::OkStatus();
}

absl::Status RecordReader::Need(size_t bytes) {
  while (Unread().size() < bytes) {
    const MutableByteView room = buffer_.Room();
    const ssize_t n = ::read(file_.fd(), room.data(), room.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "cannot read", path_);
    if (n == 0) break;
    buffer_.Filled(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// To the next mark behind here.
void RecordReader::Skip() {
  if (in_step_) ++damaged_places_;
  in_step_ = false;
  const size_t step = FindMark(Unread(), 1);
  skipped_bytes_ += step;
  buffer_.Use(step);
}

}  // namespace nark::net
