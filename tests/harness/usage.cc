#include "tests/harness/usage.h"

#include <filesystem>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "tests/harness/process.h"

namespace nark::harness {
namespace {

// The number behind a name in /proc/PID/status.
size_t Field(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":");
  if (at == std::string::npos) throw std::runtime_error("no " + name + " of a process");
  return std::stoul(status.substr(at + name.size() + 2));
}

size_t CountDescriptors(const std::string& folder) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(folder + "/fd", error);
  if (error) throw std::runtime_error("cannot read " + folder + "/fd: " + error.message());
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

}  // namespace

Usage UsageOf(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const std::string status = ReadAll(folder + "/status");
  return {.resident_bytes = Field(status, "VmRSS") * 1024,
          .anonymous_bytes = Field(status, "RssAnon") * 1024,
          .descriptors = CountDescriptors(folder),
          .threads = Field(status, "Threads")};
}

}  // namespace nark::harness
