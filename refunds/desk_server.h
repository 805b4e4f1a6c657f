#ifndef NARK_REFUNDS_DESK_SERVER_H_
#define NARK_REFUNDS_DESK_SERVER_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "common/serve/shutdown.h"
#include "refunds/desk_files.h"

namespace nark::refunds {

enum class Transport { kTls, kPlaintext };

struct DeskOptions {
  DeskFiles files;
  std::string ledger;  // sqlite:PATH or postgresql://...
  std::string listen;
  std::string http;         // empty: none
  std::string https;        // empty: none; plaintext where `transport` says so
  std::string pay_command;  // at most one of the two; empty: nothing is paid out
  std::string pay_url;
  std::string pay_ca;  // empty: the system's
  std::chrono::milliseconds pay_timeout{30000};
  Transport transport = Transport::kTls;
  std::chrono::milliseconds drain{5000};
  std::string ready_file;  // empty: none
  // How often changed files are looked for, and the ledger is probed.
  std::chrono::milliseconds interval{1000};
};

// Serves until `signals` say otherwise, then drains. Issuers and lists that change
// on disk, or a SIGHUP, are taken over without a restart. Not ready, for the
// balancer and for gRPC's health service, while the ledger takes no write. Pays out of
// the ledger where it was told to whom. Logs by spdlog.
absl::Status RunDesk(const DeskOptions& options, serve::Signals& signals);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_DESK_SERVER_H_
