#ifndef NARK_SECURESPACE_FAKE_ROLLBACK_COUNTER_H_
#define NARK_SECURESPACE_FAKE_ROLLBACK_COUNTER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "securespace/fake_file_system.h"
#include "securespace/rollback_counter.h"

namespace nark::securespace {

// A counter that keeps its value whatever crashes. Its increments are operations of
// `power`, if there is one, and crash as those of files do. One thread only.
class FakeRollbackCounter final : public RollbackCounter {
 public:
  explicit FakeRollbackCounter(uint8_t identity = 1, FakeFileSystem* power = nullptr)
      : power_(power) {
    identity_.fill(identity);
  }

  Digest identity() const override { return identity_; }
  absl::StatusOr<uint64_t> Read() override {
    if (is_away_) return absl::UnavailableError("the counter does not answer");
    return value_;
  }
  absl::Status Increment() override {
    if (is_away_) return absl::UnavailableError("the counter does not answer");
    bool happens = true;
    const absl::Status status =
        power_ != nullptr ? power_->Elsewhere("the counter", happens) : absl::OkStatus();
    if (happens) ++value_;
    return status;
  }

  void SetAway(bool is_away) { is_away_ = is_away; }
  void Reset() { value_ = 0; }
  uint64_t value() const { return value_; }

 private:
  FakeFileSystem* power_;
  Digest identity_{};
  uint64_t value_ = 0;
  bool is_away_ = false;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FAKE_ROLLBACK_COUNTER_H_
