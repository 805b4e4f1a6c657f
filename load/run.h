#ifndef NARK_LOAD_RUN_H_
#define NARK_LOAD_RUN_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/serve/shutdown.h"
#include "load/arrivals.h"
#include "load/grpc_client.h"
#include "load/open_loop.h"
#include "load/report.h"
#include "load/viewers.h"

namespace nark::load {

// What `nark-load run` and `curve` were told, besides the arrivals.
struct LoadSettings {
  std::string load_path;                  // of `prepare`
  std::string session_path;               // *.nark
  std::vector<std::string> key_managers;  // empty: the session's
  ConnectMode connect = ConnectMode::kWarm;
  uint64_t connections = 8;
  uint64_t threads = 1;
  enum class Transport { kTls, kPlaintext } transport = Transport::kTls;
  OpenLoopOptions loop;
  std::vector<std::string> http;  // of replicas
  // Hears twice a second how long a run has taken, and how many joins are under way.
  std::function<void(std::chrono::microseconds elapsed, size_t outstanding)> progress;
};

// The arrivals of one run.
struct ArrivalPlan {
  std::string pattern;
  RateProfile profile;
  Spacing spacing = Spacing::kPoisson;
  uint64_t seed = 1;
};

// Viewers that were loaded once, for one run or several. One thread only.
class LoadRunner {
 public:
  // Reads and verifies the files. Errors name file or flag. References outlive it.
  static absl::StatusOr<LoadRunner> Create(LoadSettings settings, serve::Signals& signals,
                                           Clock& wall_clock, Random& random);

  // One run, to its end or to a signal. An error only where it could not be made: no key
  // manager reached, or a replica's metrics; what became of joins is in the report.
  absl::StatusOr<RunReport> Run(const ArrivalPlan& plan);

 private:
  LoadRunner(LoadSettings settings, serve::Signals& signals)
      : settings_(std::move(settings)), signals_(signals) {}

  LoadSettings settings_;
  serve::Signals& signals_;
  Bytes tls_ca_;
  std::unique_ptr<Viewers> viewers_;
};

}  // namespace nark::load

#endif  // NARK_LOAD_RUN_H_
