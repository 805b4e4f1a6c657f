#ifndef NARK_COMMON_NET_DATAGRAM_RECORD_READER_H_
#define NARK_COMMON_NET_DATAGRAM_RECORD_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/net/datagram_record.h"
#include "common/net/descriptor.h"
#include "common/net/read_buffer.h"

namespace nark::net {

// The records of a datagram file one by one, around what is damaged. Errors are read(2)'s
// and lseek(2)'s and name the path. One thread only.
//
// Whatever stands in a file, what looks like a record and is none costs at most
// kSearchBurst + kSearchPerByte times the bytes passed, in bytes checksummed. Beyond that
// such a piece is passed whole, and a record that begins inside it is not found: a file
// that is merely damaged never gets there.
class RecordReader {
 public:
  static constexpr int64_t kSearchPerByte = 16;
  static constexpr int64_t kSearchBurst = 1 << 20;

  RecordReader(Descriptor file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  // Reads over `text`; false where the file does not begin with it.
  absl::StatusOr<bool> TakeBeginning(std::string_view text);

  // kRecord: `record` is the next one, valid until the next call. kPassed: what stood there
  // is none, and was passed up to where one may begin. kNothingYet: a read would block, of a
  // descriptor that says so. kEnd: the file is read to its end.
  enum class Step { kRecord, kPassed, kNothingYet, kEnd };
  absl::StatusOr<Step> Next(ParsedRecord& record);

  // Goes on at this place of the file.
  absl::Status SeekTo(uint64_t offset);

  int fd() const { return file_.fd(); }
  // Of the file, where the next step begins.
  uint64_t offset() const { return offset_; }
  uint64_t damaged_places() const { return damaged_places_; }
  // Of no record.
  uint64_t skipped_bytes() const { return skipped_bytes_; }
  // So far, of records and of what is none, and those checksummed for what was none.
  uint64_t passed_bytes() const { return passed_bytes_; }
  uint64_t searched_bytes() const { return searched_bytes_; }

 private:
  ByteView Unread() const { return buffer_.unread(); }
  // Reads until `bytes` are there, or there are no more, for now or at all.
  enum class Filled { kEnough, kNothingYet, kEnd };
  absl::StatusOr<Filled> Need(size_t bytes);
  void Pass(size_t bytes);
  void Search(size_t checksummed);

  Descriptor file_;
  std::string path_;
  ReadBuffer buffer_;
  uint64_t offset_ = 0;
  bool in_step_ = true;
  uint64_t damaged_places_ = 0;
  uint64_t skipped_bytes_ = 0;
  uint64_t passed_bytes_ = 0;
  uint64_t searched_bytes_ = 0;
  int64_t search_credit_ = kSearchBurst;  // bytes that may be checksummed in vain
};

// `error` (of errno) at `path`.
absl::Status FileError(int error, std::string_view what, const std::string& path);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_RECORD_READER_H_
