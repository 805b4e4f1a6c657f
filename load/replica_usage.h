#ifndef NARK_LOAD_REPLICA_USAGE_H_
#define NARK_LOAD_REPLICA_USAGE_H_

#include <optional>
#include <string_view>

namespace nark::load {

// What a replica's /metrics says that it did since it started.
struct ReplicaUsage {
  std::optional<double> cpu_seconds;  // process_cpu_seconds_total
  std::optional<double> grants;       // nark_keymanager_grants_total
};

// From Prometheus' text. A metric that is not there is left out.
ReplicaUsage ParseReplicaUsage(std::string_view exposition);

}  // namespace nark::load

#endif  // NARK_LOAD_REPLICA_USAGE_H_
