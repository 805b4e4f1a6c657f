#ifndef NARK_SENDER_RESERVATION_H_
#define NARK_SENDER_RESERVATION_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/storage.h"

namespace nark::sender {

// The ids and signed times that one sender has used in one (sub-)session, so that
// neither a restart nor a crash uses an id twice or lets signed time run backwards.
//
// The file in the storage (big-endian):
//    0  magic          8  "NARKIDS1"
//    8  owner         32  whose ids: LabelledHash of session context and sender id
//   40  next id        8  every id below may have been used
//   48  signed time    8  every time up to it may have been signed, microseconds
//   56  checksum      32  SHA-256 of the bytes before
//
// Ids are reserved ahead, about as many as the sender needs in kAhead, by replacing
// the file before the first of them is used. Close() gives back what is left, so ids
// stay consecutive over a clean restart; after a crash the reserved rest is skipped.
// One thread only.
class Reservation {
 public:
  // How far ahead ids and times are reserved.
  static constexpr std::chrono::seconds kAhead{5};
  static constexpr uint64_t kLeastIds = 16;
  static constexpr uint64_t kMostIds = 65536;
  static constexpr size_t kFileBytes = 88;

  // Whose ids: the session context (with the sub-session) and the sender.
  struct Owner {
    Digest session_context{};
    uint32_t sender_id = 0;
  };

  // Opens the file `name`, or starts at 0 where there is none. DATA_LOSS where it is
  // damaged, FAILED_PRECONDITION where it is another owner's: never reset silently.
  static absl::StatusOr<std::unique_ptr<Reservation>> Open(Storage& storage, std::string name,
                                                           const Owner& owner);

  // The id that comes next.
  uint64_t next_id() const { return next_id_; }

  // Goes on at `first`, ids in between stay unused. FAILED_PRECONDITION where it lies
  // below next_id(): it may have been used.
  absl::Status SkipTo(uint64_t first);

  // What one ADU gets.
  struct Stamp {
    uint64_t adu_id;
    Timestamp signed_time;
  };
  // The first of `count` consecutive ids, and the time for all of them: `now`, or
  // the last one if `now` lies before it. Durable when it returns.
  absl::StatusOr<Stamp> Take(uint64_t count, Timestamp now);

  // Gives back what was reserved and not used.
  absl::Status Close();

 private:
  Reservation(Storage& storage, std::string name, const Digest& owner)
      : storage_(storage), name_(std::move(name)), owner_(owner) {}
  absl::Status Parse(ByteView file);
  absl::Status Write(uint64_t next_id, Timestamp signed_time);
  uint64_t IdsAhead(uint64_t count, Timestamp now) const;

  Storage& storage_;
  std::string name_;
  Digest owner_;
  uint64_t next_id_ = 0;
  Timestamp last_time_{};
  // What the file says: ids below and times up to these may be used.
  uint64_t reserved_id_ = 0;
  Timestamp reserved_time_{};
  // Of the last write, to see how fast ids are used.
  std::optional<Timestamp> written_at_;
  uint64_t written_next_id_ = 0;
};

// Holds FILE.lock (flock) while it lives, so that two senders cannot share a state
// file. FAILED_PRECONDITION where another process holds it. Move-only.
class StateLock {
 public:
  static absl::StatusOr<StateLock> Acquire(const std::string& state_path);
  ~StateLock();
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&&) = delete;

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_RESERVATION_H_
