#ifndef NARK_TESTS_BENCH_CPU_QUOTA_H_
#define NARK_TESTS_BENCH_CPU_QUOTA_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nark::bench {

// A share of the processor that a process does not exceed: a machine of that size, as far as
// processor time goes. A control group of its own (version 1 or 2), which goes with it.
class CpuQuota {
 public:
  // `cores` of a core, counted over periods of 10 ms. UNAVAILABLE where control groups can
  // not be made.
  static absl::StatusOr<std::unique_ptr<CpuQuota>> Create(double cores);
  ~CpuQuota();
  CpuQuota(const CpuQuota&) = delete;
  CpuQuota& operator=(const CpuQuota&) = delete;

  // Until it ends; only then may the quota go.
  absl::Status Confine(pid_t process);

 private:
  explicit CpuQuota(std::string folder) : folder_(std::move(folder)) {}

  const std::string folder_;
};

}  // namespace nark::bench

#endif  // NARK_TESTS_BENCH_CPU_QUOTA_H_
