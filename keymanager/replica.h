#ifndef NARK_KEYMANAGER_REPLICA_H_
#define NARK_KEYMANAGER_REPLICA_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/serve/shutdown.h"
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
  // How often changed files are looked for.
  std::chrono::milliseconds reload_interval{1000};
};

// Serves until `signals` say otherwise, then drains. Keys, lists and TLS certificates that
// change on disk, or a SIGHUP, are taken over without a restart, part by part; a part that
// does not load is logged and counted, and stays as it was. Logs by spdlog.
absl::Status RunReplica(const ReplicaOptions& options, serve::Signals& signals);

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_REPLICA_H_
