#include "tests/bench/cpu_quota.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::bench {
namespace {

constexpr int kPeriodMicroseconds = 10'000;

// Control groups take one write a file.
absl::Status Put(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuQuota>> CpuQuota::Create(double cores) {
  static int number = 0;
  const bool first_version = std::filesystem::is_directory("/sys/fs/cgroup/cpu");
  const std::string folder = absl::StrCat(first_version ? "/sys/fs/cgroup/cpu" : "/sys/fs/cgroup",
                                          "/nark-bench-", ::getpid(), "-", ++number);
  if (::mkdir(folder.c_str(), 0755) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot make the control group ", folder, ": ", std::strerror(errno)));
  }
  auto quota = std::unique_ptr<CpuQuota>(new CpuQuota(folder));
  const int microseconds = static_cast<int>(cores * kPeriodMicroseconds);
  if (first_version) {
    RETURN_IF_ERROR(Put(folder + "/cpu.cfs_period_us", absl::StrCat(kPeriodMicroseconds)));
    RETURN_IF_ERROR(Put(folder + "/cpu.cfs_quota_us", absl::StrCat(microseconds)));
  } else {
    RETURN_IF_ERROR(Put(folder + "/cpu.max", absl::StrCat(microseconds, " ", kPeriodMicroseconds)));
  }
  return quota;
}

CpuQuota::~CpuQuota() { ::rmdir(folder_.c_str()); }

absl::Status CpuQuota::Confine(pid_t process) {
  return Put(folder_ + "/cgroup.procs", absl::StrCat(process));
}

}  // namespace nark::bench
