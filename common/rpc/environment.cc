#include "common/rpc/environment.h"

#include <grpc/support/log.h>

#include <cstdlib>

namespace nark::rpc {
namespace {

bool Prepare() {
  setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", 1);
  if (std::getenv("GRPC_VERBOSITY") == nullptr) {
    gpr_set_log_function([](gpr_log_func_args*) {});
  }
  return true;
}

}  // namespace

void PrepareGrpc() { [[maybe_unused]] static const bool prepared = Prepare(); }

}  // namespace nark::rpc
