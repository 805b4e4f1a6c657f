#ifndef NARK_COMMON_RPC_ENVIRONMENT_H_
#define NARK_COMMON_RPC_ENVIRONMENT_H_

namespace nark::rpc {

// Sets what gRPC reads from the environment when it is first used; called before
// that by whatever makes a server or channel. Idempotent and thread-safe.
//
// - TLS 1.3 only. gRPC 1.51 has no setting for the least version, but one for
//   the cipher suites of TLS 1.2 and older, which TLS 1.3 ignores. The suites
//   left there need a pre-shared key, which nothing in this process has.
// - Silence on stderr unless GRPC_VERBOSITY asks for more: errors are returned,
//   and a program that logs them once is enough.
// - No search for lock cycles at run time, on which Debian's Abseil spends some
//   percent of a busy server's time.
void PrepareGrpc();

}  // namespace nark::rpc

#endif  // NARK_COMMON_RPC_ENVIRONMENT_H_
