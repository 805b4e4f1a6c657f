#include "common/net/datagram_record_reader.h"

#include <unistd.h>

#include <algorithm>
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
  RETURN_IF_ERROR(Need(text.size()).status());
  if (Unread().size() < text.size() || !Equal(Unread().first(text.size()), AsBytes(text))) {
    return false;
  }
  buffer_.Use(text.size());
  offset_ = text.size();
  return true;
}

absl::StatusOr<RecordReader::Step> RecordReader::Next(ParsedRecord& record) {
  ASSIGN_OR_RETURN(Filled filled, Need(kRecordHeadBytes));
  record = ParseRecord(Unread());
  if (record.result == ParsedRecord::Result::kNeedsMore && filled == Filled::kEnough) {
    ASSIGN_OR_RETURN(filled, Need(record.bytes));
    record = ParseRecord(Unread());
  }
  const bool lacks = Unread().empty() || record.result == ParsedRecord::Result::kNeedsMore;
  if (lacks && filled == Filled::kNothingYet) return Step::kNothingYet;
  if (Unread().empty()) return Step::kEnd;
  if (record.result != ParsedRecord::Result::kRecord) {
    Search(record.result == ParsedRecord::Result::kDamaged ? record.bytes : 0);
    return Step::kPassed;
  }
  in_step_ = true;
  Pass(record.bytes);
  return Step::kRecord;
}

absl::Status RecordReader::SeekTo(uint64_t offset) {
  if (::lseek(file_.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return FileError(errno, "cannot seek in", path_);
  }
  buffer_.Clear();
  offset_ = offset;
  in_step_ = true;
  return absl::OkStatus();
}

absl::StatusOr<RecordReader::Filled> RecordReader::Need(size_t bytes) {
  while (Unread().size() < bytes) {
    const MutableByteView room = buffer_.Room();
    const ssize_t n = ::read(file_.fd(), room.data(), room.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return Filled::kNothingYet;
    if (n < 0) return FileError(errno, "cannot read", path_);
    if (n == 0) return Filled::kEnd;
    buffer_.Filled(static_cast<size_t>(n));
  }
  return Filled::kEnough;
}

void RecordReader::Pass(size_t bytes) {
  buffer_.Use(bytes);
  offset_ += bytes;
  passed_bytes_ += bytes;
  search_credit_ =
      std::min(kSearchBurst, search_credit_ + kSearchPerByte * static_cast<int64_t>(bytes));
}

// To the next mark behind here.
void RecordReader::Search(size_t checksummed) {
  if (in_step_) ++damaged_places_;
  in_step_ = false;
  searched_bytes_ += checksummed;
  search_credit_ -= static_cast<int64_t>(checksummed);
  const size_t step = FindMark(Unread(), search_credit_ < 0 ? std::max<size_t>(1, checksummed) : 1);
  skipped_bytes_ += step;
  Pass(step);
}

}  // namespace nark::net
