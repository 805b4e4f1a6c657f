#ifndef NARK_SECURESPACE_FAKE_FILE_SYSTEM_H_
#define NARK_SECURESPACE_FAKE_FILE_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/file_operations.h"
#include "common/crypto/random.h"

namespace nark::securespace {

// A file system in memory that loses power, and fails, where it is told to. It knows
// no more order than POSIX promises: until synced, content may be lost, cut short, hold
// sectors of zeros, or be kept; until their folder is synced, any of the names made,
// replaced and removed may be as before, each by itself. What happens is drawn from
// the seed. One thread only.
class FakeFileSystem final : public FileOperations {
 public:
  explicit FakeFileSystem(uint64_t seed = 1) : random_(seed) {}
  // A copy as it stands, power and all.
  FakeFileSystem(const FakeFileSystem& other);
  FakeFileSystem& operator=(const FakeFileSystem& other);

  absl::StatusOr<int> Create(const std::string& path, FileMode mode) override;
  absl::StatusOr<int> OpenAppend(const std::string& path, FileMode mode) override;
  absl::StatusOr<size_t> Write(int file, const std::string& path, ByteView bytes) override;
  absl::Status Sync(int file, const std::string& path) override;
  absl::Status SyncContent(int file, const std::string& path) override;
  void Close(int file) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Unlink(const std::string& path) override;
  absl::Status SyncFolder(const std::string& folder) override;
  absl::StatusOr<Bytes> Read(const std::string& path, size_t limit_bytes) override;

  // An operation of something else that the same power feeds: whether it happens.
  absl::Status Elsewhere(const std::string& what, bool& happens);

  // Operations so far; reading and closing are none.
  uint64_t operations() const { return operations_; }

  // The operation with this number, counted from 0, may have happened or not when it
  // fails; it and all that follow fail until Restart.
  void CrashAt(uint64_t operation) { crash_at_ = operation; }
  bool crashed() const { return operations_ > crash_at_; }
  // Power is back: what was not durable has met its fate. The count begins anew.
  void Restart();

  // From this operation on there is no space: writing takes half and then fails, no
  // file is made; or the file system is read-only and refuses everything.
  enum class Trouble { kNone, kFull, kReadOnly, kBrokenOnce };
  // kBrokenOnce: the one operation fails with EIO, and a sync so broken loses what it
  // should have kept, as Linux does.
  void TroubleAt(uint64_t operation, Trouble trouble) {
    trouble_at_ = operation;
    trouble_ = trouble;
  }
  void Heal() { trouble_ = Trouble::kNone; }

  // Syncing does nothing: what a harness must notice.
  enum class Lie { kNone, kSync, kSyncFolder };
  void LieAbout(Lie lie) { lie_ = lie; }

  void Reseed(uint64_t seed) { random_ = SeededRandom(seed); }

 private:
  struct Content {
    Bytes now;
    size_t durable_bytes = 0;  // files are only ever appended to
  };
  using Names = std::map<std::string, std::shared_ptr<Content>>;
  // A name that was made to mean something else, or nothing.
  using NameChange = std::function<void(Names&)>;

  // Counts an operation. OK where it is to happen and return; with `happens` it may
  // have to happen and fail all the same.
  absl::Status Step(const std::string& path, bool writes, bool& happens);
  absl::Status PowerIsOff() const;
  void Change(NameChange change);
  int Open(std::shared_ptr<Content> content);
  void MeetFate(Content& content);
  absl::Status SyncFile(int file, const std::string& path);

  SeededRandom random_;
  Names names_;                      // as programs see them
  Names durable_names_;              // as they were synced
  std::vector<NameChange> changes_;  // from these to those
  std::map<int, std::shared_ptr<Content>> open_;
  int next_file_ = 3;
  uint64_t operations_ = 0;
  uint64_t crash_at_ = UINT64_MAX;
  uint64_t trouble_at_ = UINT64_MAX;
  Trouble trouble_ = Trouble::kNone;
  Lie lie_ = Lie::kNone;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FAKE_FILE_SYSTEM_H_
