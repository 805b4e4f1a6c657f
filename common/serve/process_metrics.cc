#include "common/serve/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

#include "common/base/memory_limit.h"

namespace nark::serve {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double OpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (error) return 0;
  // One is the listing's own.
  return static_cast<double>(std::distance(begin(files), end(files)) - 1);
}

double MostFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

// The 22nd field of stat(5), in clock ticks since the machine began. Names may hold anything:
// what follows the last parenthesis is counted.
double StartTime() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t name_ends = text.rfind(')');
  if (name_ends == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_ends + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  std::ifstream machine("/proc/stat");
  double began = 0;
  for (std::string word; machine >> word;) {
    if (word == "btime" && machine >> began) break;
  }
  return began + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void AddProcessMetrics(Metrics& metrics) {
  Counter& cpu =
      metrics.AddCounter("process_cpu_seconds_total", "Processor time used, by users and system.");
  Gauge& memory =
      metrics.AddGauge("process_resident_memory_bytes", "Memory that is not swapped out.");
  Gauge& open = metrics.AddGauge("process_open_fds", "File descriptors in use.");
  Gauge& most = metrics.AddGauge("process_max_fds", "File descriptors there may be.");
  metrics.AddGauge("process_start_time_seconds", "When the process began, since the Unix epoch.")
      .Set(StartTime());
  metrics.OnCollect([&] {
    cpu.Add(CpuSeconds() - cpu.value());
    memory.Set(static_cast<double>(ResidentBytes()));
    open.Set(OpenFiles());
    most.Set(MostFiles());
  });
}

}  // namespace nark::serve
