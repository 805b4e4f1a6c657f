#include "common/base/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace nark {
namespace {

// The least of `name` in a group's folder and those above it. In a container's own namespace
// the group that the kernel names may not be there: what is above it is.
uint64_t LeastUpwards(const std::string& hierarchy, std::string group, const std::string& name) {
  uint64_t least = UINT64_MAX;
  for (;;) {
    std::ifstream file(hierarchy + group + "/" + name);
    std::string text;
    uint64_t bytes = 0;
    if (file >> text && absl::SimpleAtoi(text, &bytes)) least = std::min(least, bytes);
    const size_t slash = group.rfind('/');
    if (group.empty() || slash == std::string::npos) return least;
    group.resize(slash);
  }
}

}  // namespace

uint64_t MemoryLimitAt(const std::string& root, uint64_t machine_bytes) {
  uint64_t least = machine_bytes;
  std::ifstream groups(root + "/proc/self/cgroup");
  // "0::/PATH" of version 2, "N:CONTROLLER,...:/PATH" of version 1.
  for (std::string line; std::getline(groups, line);) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::string group(parts[2] == "/" ? "" : parts[2]);
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    if (parts[1].empty()) {
      least = std::min(least, LeastUpwards(root + "/sys/fs/cgroup", group, "memory.max"));
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      least = std::min(
          least, LeastUpwards(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

uint64_t ResidentBytes() {
  // The second number of statm(5), in pages.
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(getpagesize());
}

uint64_t MemoryLimit() {
  return MemoryLimitAt(
      "", static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(getpagesize()));
}

}  // namespace nark
