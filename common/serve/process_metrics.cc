#include "common/serve/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

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

// The second number of statm(5), in pages.
double ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
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

}  // namespace

void AddProcessMetrics(Metrics& metrics) {
  Counter& cpu =
      metrics.AddCounter("process_cpu_seconds_total", "Processor time used, by users and system.");
  Gauge& memory =
      metrics.AddGauge("process_resident_memory_bytes", "Memory that is not swapped out.");
  Gauge& open = metrics.AddGauge("process_open_fds", "File descriptors in use.");
  Gauge& most = metrics.AddGauge("process_max_fds", "File descriptors there may be.");
  metrics.AddGauge("process_start_time_seconds", "When these metrics began, since the Unix epoch.")
      .Set(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
               .count());
  metrics.OnCollect([&] {
    cpu.Add(CpuSeconds() - cpu.value());
    memory.Set(ResidentBytes());
    open.Set(OpenFiles());
    most.Set(MostFiles());
  });
}

}  // namespace nark::serve
