#ifndef NARK_TESTS_BENCH_RELEASES_H_
#define NARK_TESTS_BENCH_RELEASES_H_

// What benchmarks of a secure space's releases share.

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/storage.h"
#include "securespace/testing.h"

namespace nark::bench {

inline constexpr size_t kAdus = 16384;
inline constexpr size_t kBatch = 512;
inline constexpr size_t kSingles = 2048;
inline constexpr size_t kList = 256;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

inline void Must(const absl::Status& status) {
  if (!status.ok()) Must<int>(status);
}

inline double Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of the processor where nothing is waited for, so that a busy machine slows neither
// value nor limit.
inline double SecondsOf(auto&& work, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  const double begin = Now(clock);
  work();
  return Now(clock) - begin;
}

inline double Quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(part * static_cast<double>(values.size())))];
}
inline double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

// Storage that keeps nothing durably, for the cost of all else.
class MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Bytes> Read(std::string_view name) override {
    const auto found = files_.find(std::string(name));
    if (found == files_.end()) return absl::NotFoundError("none");
    return found->second;
  }
  absl::Status Replace(std::string_view name, ByteView content) override {
    files_[std::string(name)] = ToBytes(content);
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view name) override {
    return std::make_unique<File>(files_[std::string(name)]);
  }
  absl::Status Remove(std::string_view name) override {
    files_.erase(std::string(name));
    return absl::OkStatus();
  }

 private:
  class File final : public AppendFile {
   public:
    explicit File(Bytes& bytes) : bytes_(bytes) {}
    absl::Status Append(ByteView bytes) override {
      bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
      return absl::OkStatus();
    }
    absl::Status Sync() override { return absl::OkStatus(); }

   private:
    Bytes& bytes_;
  };
  std::map<std::string, Bytes> files_;
};

// A world whose ADUs are made once; every round begins with nothing released.
class Releases {
 public:
  Releases() {
    for (uint64_t first = 0; first < kAdus; first += kBatch) {
      for (auto& adu : securespace::MakeBatch(world_.session, first, kBatch)) {
        batched_.push_back(std::move(adu.header));
      }
    }
    for (uint64_t id = 0; id < kSingles; ++id) {
      single_.push_back(securespace::MakeAdu(world_.session, id).header);
    }
    voucher_ = world_.Voucher(0, (uint64_t{1} << 24) - 1);
  }
  const std::vector<Bytes>& batched() const { return batched_; }
  const std::vector<Bytes>& single() const { return single_; }
  securespace::TestWorld& world() { return world_; }

  // Has the world's secure space live in `storage`, where nothing was released.
  void Begin(Storage& storage, securespace::RollbackCounter* counter = nullptr) {
    Must(securespace::Emulation::Initialise(world_.state_key, storage, world_.random, counter));
    world_.UseStorage(storage);
    world_.UseCounter(counter);
    Must(world_.Reopen());
    Must(world_.Join(voucher_).status());
  }

  // Seconds that each list took. Ends the program where one key is refused.
  std::vector<double> Release(securespace::SecureSpace& space, const std::vector<Bytes>& headers,
                              size_t list, clockid_t clock) {
    std::vector<double> seconds;
    for (size_t at = 0; at < headers.size(); at += list) {
      securespace::ReleaseRequest request{world_.session.name(), 0, {}};
      request.headers.assign(headers.begin() + static_cast<ptrdiff_t>(at),
                             headers.begin() + static_cast<ptrdiff_t>(at + list));
      absl::StatusOr<std::vector<securespace::KeyDecision>> decisions;
      seconds.push_back(SecondsOf([&] { decisions = space.ReleaseKeys(request); }, clock));
      for (const securespace::KeyDecision& decision : Must(std::move(decisions))) {
        if (decision.refusal != v1::REFUSAL_REASON_UNSPECIFIED) {
          Must(absl::InternalError(v1::RefusalReason_Name(decision.refusal)));
        }
      }
    }
    return seconds;
  }
  std::vector<double> Release(Storage& storage, const std::vector<Bytes>& headers, clockid_t clock,
                              securespace::RollbackCounter* counter = nullptr) {
    Begin(storage, counter);
    return Release(world_.space(), headers, kList, clock);
  }

 private:
  securespace::TestWorld world_;
  std::vector<Bytes> batched_;
  std::vector<Bytes> single_;
  v1::SignedEnvelope voucher_;
};

inline double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

}  // namespace nark::bench

#endif  // NARK_TESTS_BENCH_RELEASES_H_
