#include "load/replica_usage.h"

#include "absl/strings/numbers.h"
#include "common/base/status.h"

namespace nark::load {
namespace {

// The value of a metric without labels.
std::optional<double> ValueOf(std::string_view exposition, std::string_view name) {
  while (!exposition.empty()) {
    const size_t end = exposition.find('\n');
    const std::string_view line = exposition.substr(0, end);
    exposition = end == std::string_view::npos ? "" : exposition.substr(end + 1);
    if (line.size() <= name.size() || !line.starts_with(name) || line[name.size()] != ' ') continue;
    double value = 0;
    if (absl::SimpleAtod(Absl(line.substr(name.size() + 1)), &value)) return value;
  }
  return std::nullopt;
}

}  // namespace

ReplicaUsage ParseReplicaUsage(std::string_view exposition) {
  return {.cpu_seconds = ValueOf(exposition, "process_cpu_seconds_total"),
          .grants = ValueOf(exposition, "nark_keymanager_grants_total")};
}

}  // namespace nark::load
