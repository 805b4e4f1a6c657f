#ifndef NARK_SECURESPACE_FAKE_STORAGE_H_
#define NARK_SECURESPACE_FAKE_STORAGE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/storage.h"
#include "common/crypto/random.h"

namespace nark::securespace {

// A Storage in memory that can lose power. What happens to bytes that were not
// durable is drawn from the seed: they are lost, kept, cut short, or leave sectors
// of zeros behind, as file systems do. One thread only.
class FakeStorage final : public Storage {
 public:
  explicit FakeStorage(uint64_t seed = 1) : random_(seed) {}

  absl::StatusOr<Bytes> Read(std::string_view name) override;
  absl::Status Replace(std::string_view name, ByteView content) override;
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view name) override;
  absl::Status Remove(std::string_view name) override;

  // The writing operation with this number, counted from 0, does not return: it and
  // all that follow fail until Restart.
  void CrashAt(uint64_t operation) { crash_at_ = operation; }
  // Writing operations so far; reading is none.
  uint64_t operations() const { return operations_; }
  bool crashed() const { return operations_ > crash_at_; }
  // Draws from another seed from now on.
  void Reseed(uint64_t seed) { random_ = SeededRandom(seed); }
  // Power is back: unsynced bytes have met their fate, and nothing crashes again
  // before CrashAt.
  void Restart();

  // The files as they stand, to be damaged.
  std::map<std::string, Bytes, std::less<>>& files() { return files_; }

 private:
  class File;
  // Counts an operation; false where it must not return.
  bool Step();
  absl::Status Append(const std::string& name, ByteView bytes);
  absl::Status Sync(const std::string& name);
  void LoseUnsynced(const std::string& name);

  SeededRandom random_;
  std::map<std::string, Bytes, std::less<>> files_;
  std::map<std::string, size_t, std::less<>> synced_;  // bytes of each that are durable
  uint64_t operations_ = 0;
  uint64_t crash_at_ = UINT64_MAX;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FAKE_STORAGE_H_
