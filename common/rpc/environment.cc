#include "common/rpc/environment.h"

#include <grpc/support/log.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"

namespace nark::rpc {
namespace {

bool Prepare() {
  setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", 1);
  // Debian builds Abseil with checks of the order of locks, which every lock of
  // gRPC pays for.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
  return true;
}

}  // namespace

void PrepareGrpc() { [[maybe_unused]] static const bool prepared = Prepare(); }

}  // namespace nark::rpc
