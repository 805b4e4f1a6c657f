#include "sender/reservation.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::sender {
namespace {

constexpr std::string_view kMagic = "NARKIDS1";
constexpr size_t kOwnerAt = 8;
constexpr size_t kNextIdAt = 40;
constexpr size_t kTimeAt = 48;
constexpr size_t kChecksumAt = 56;

Digest Name(const Reservation::Owner& owner) {
  uint8_t sender[4];
  StoreBig32(sender, owner.sender_id);
  return LabelledHash("nark sender state v1", {owner.session_context, sender});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Reservation>> Reservation::Open(Storage& storage, std::string name,
                                                               const Owner& owner) {
  std::unique_ptr<Reservation> reservation(new Reservation(storage, std::move(name), Name(owner)));
  absl::StatusOr<Bytes> file = storage.Read(reservation->name_);
  if (absl::IsNotFound(file.status())) return reservation;
  RETURN_IF_ERROR(file.status());
  RETURN_IF_ERROR(reservation->Parse(*file));
  return reservation;
}

absl::Status Reservation::Parse(ByteView file) {
  if (file.size() != kFileBytes || !Equal(file.first(kOwnerAt), AsBytes(kMagic)) ||
      !Equal(Sha256(file.first(kChecksumAt)), file.subspan(kChecksumAt))) {
    return absl::DataLossError(
        "the state file is damaged; restore it, or move it away and give --first-adu above every "
        "id that was sent");
  }
  if (!Equal(file.subspan(kOwnerAt, owner_.size()), owner_)) {
    return absl::FailedPreconditionError(
        "the state file belongs to another session or sender; give another --state");
  }
  next_id_ = reserved_id_ = LoadBig64(&file[kNextIdAt]);
  last_time_ = reserved_time_ = FromMicros(LoadBig64(&file[kTimeAt]));
  return absl::OkStatus();
}

absl::Status Reservation::SkipTo(uint64_t first) {
  if (first < next_id_) {
    return absl::FailedPreconditionError(
        absl::StrCat("--first-adu ", first, " lies below ", next_id_,
                     ", the next unused id; ids are never used twice"));
  }
  next_id_ = first;
  return absl::OkStatus();
}

// As many as were needed in the time since the last write, for the same time again.
uint64_t Reservation::IdsAhead(uint64_t count, Timestamp now) const {
  uint64_t ids = kLeastIds;
  if (written_at_.has_value()) {
    auto passed =
        std::max<std::chrono::microseconds>(now - *written_at_, std::chrono::milliseconds(1));
    std::chrono::microseconds ahead = kAhead;
    ids = (next_id_ - written_next_id_) * static_cast<uint64_t>(ahead.count()) /
          static_cast<uint64_t>(passed.count());
  }
  return count + std::clamp(ids, kLeastIds, kMostIds);
}

absl::StatusOr<Reservation::Stamp> Reservation::Take(uint64_t count, Timestamp now) {
  Stamp stamp{next_id_, std::max(now, last_time_)};
  if (count > kMostIds || next_id_ > UINT64_MAX / 2) {
    return absl::OutOfRangeError("the ids of this session are used up");
  }
  if (next_id_ + count > reserved_id_ || stamp.signed_time > reserved_time_) {
    uint64_t ids = next_id_ + IdsAhead(count, now);
    Timestamp time = stamp.signed_time + kAhead;
    RETURN_IF_ERROR(Write(std::max(ids, reserved_id_), std::max(time, reserved_time_)));
    written_at_ = now;
    written_next_id_ = next_id_;
  }
  next_id_ += count;
  last_time_ = stamp.signed_time;
  return stamp;
}

absl::Status Reservation::Close() { return Write(next_id_, last_time_); }

absl::Status Reservation::Write(uint64_t next_id, Timestamp signed_time) {
  Bytes file(kFileBytes);
  std::memcpy(file.data(), kMagic.data(), kMagic.size());
  std::memcpy(&file[kOwnerAt], owner_.data(), owner_.size());
  StoreBig64(&file[kNextIdAt], next_id);
  StoreBig64(&file[kTimeAt], ToMicros(signed_time));
  Digest checksum = Sha256(ByteView(file).first(kChecksumAt));
  std::memcpy(&file[kChecksumAt], checksum.data(), checksum.size());
  RETURN_IF_ERROR(storage_.Replace(name_, file));
  reserved_id_ = next_id;
  reserved_time_ = signed_time;
  return absl::OkStatus();
}

absl::StatusOr<StateLock> StateLock::Acquire(const std::string& state_path) {
  std::string path = state_path + ".lock";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  StateLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another sender is using ", state_path, "; stop it, or give another --state"));
  }
  return lock;
}

StateLock::~StateLock() {
  if (fd_ >= 0) ::close(fd_);
}

StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace nark::sender
