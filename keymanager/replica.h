#ifndef NARK_KEYMANAGER_REPLICA_H_
#define NARK_KEYMANAGER_REPLICA_H_

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/serve/shutdown.h"
#include "common/serve/work_queue.h"
#include "keymanager/replica_files.h"

namespace nark::keymanager {

enum class Transport { kTls, kPlaintext };

struct ReplicaOptions {
  ReplicaFiles files;
  std::string listen;
  std::string http;  // empty: none
  Transport transport = Transport::kTls;
  std::chrono::milliseconds drain{5000};
  std::string ready_file;  // empty: none
  size_t connections = 0;  // at most; 0: as many as open files and memory allow
  // Of the line in which requests for grants wait.
  serve::WorkQueue::Limits queue{.threads = std::max(1u, std::thread::hardware_concurrency())};
  // How often changed files are looked for.
  std::chrono::milliseconds reload_interval{1000};
  // How often files are read again, changed or not, of which something was refused: a token may
  // be back, a certificate be valid, the rest of a folder be there.
  std::chrono::milliseconds retry_interval{10'000};
  Clock* clock = nullptr;  // borrowed, thread-safe; null: the system's
};

// Serves until `signals` say otherwise, then drains. Keys, lists and TLS certificates that
// change on disk, or a SIGHUP, are taken over without a restart, part by part; a part that
// does not load is logged and counted, and stays as it was. Where every join would be refused,
// it is not ready, for a balancer and for gRPC's health service. Logs by spdlog.
absl::Status RunReplica(const ReplicaOptions& options, serve::Signals& signals);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REPLICA_H_
