#ifndef NARK_COMMON_SERVE_PROCESS_METRICS_H_
#define NARK_COMMON_SERVE_PROCESS_METRICS_H_

#include "common/serve/metrics.h"

namespace nark::serve {

// Adds what Prometheus' own client libraries tell of a process, under their names:
// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
// process_max_fds and process_start_time_seconds. Once for each Metrics.
void AddProcessMetrics(Metrics& metrics);

}  // namespace nark::serve

#endif  // NARK_COMMON_SERVE_PROCESS_METRICS_H_
