#ifndef NARK_TESTS_BENCH_JOIN_LOAD_H_
#define NARK_TESTS_BENCH_JOIN_LOAD_H_

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/rpc/client.h"
#include "keymanager/testing.h"
#include "tests/harness/process.h"

// What benchmarks of key managers share: strangers without end, servers as processes on core
// 0, and callers on the last core that join one time after the other.
namespace nark::bench {

// A benchmark that can not go on says why and ends.
[[noreturn]] void Die(std::string_view why);

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().ToString());
  return *std::move(value);
}

void RunOnCore(int core);
int LastCore();
double SecondsOn(clockid_t clock);
double CpuSecondsOf(pid_t pid);
double Median(std::vector<double> values);

// A provider with many receivers, and its pool on disk. Every secure space in turn: more of
// them than a replica remembers, so each certificate and voucher is parsed and verified
// anew, as in a rush of strangers.
struct World {
  World();
  ~World();

  size_t Next() { return next.fetch_add(1) % spaces.size(); }
  keymanager::Purchase PurchaseOf(size_t i) const {
    return {session.descriptor(), vouchers[i], spaces[i]};
  }

  TestProvider provider{SystemClock().Now()};
  TestSession session;
  std::vector<TestSecureSpace> spaces;
  std::vector<v1::SignedEnvelope> vouchers;
  std::string folder;
  SystemRandom random;
  std::atomic<size_t> next{0};
};

// Programs are built side by side.
std::filesystem::path Self();

struct Target {
  std::unique_ptr<harness::Process> process;
  std::string address;
  bool tls = true;
};

// On core 0, once it has written `ready_file`.
Target Start(const harness::CommandLine& command, const std::string& folder,
             const std::string& ready_file);
// A key manager with the world's pool.
Target StartReplica(const World& world, const std::string& name, bool tls = true);

std::shared_ptr<grpc::Channel> ChannelTo(const Target& target, const World& world,
                                         const rpc::TlsSessionCache* sessions = nullptr);

enum class Answering { kReplica, kEcho };

// What one round found.
struct Load {
  double cpu_per_join = 0;  // of the servers, seconds
  double joins_per_second = 0;
};

void CheckOk(const grpc::Status& status);

// `in_flight` joins at a time and target, over channels that are open. Where answers are
// echoes, `canned` is what is sent.
Load Warm(World& world, const std::vector<const Target*>& targets, int in_flight,
          Answering answering, const v1::IssueGrantRequest& canned);

}  // namespace nark::bench

#endif  // NARK_TESTS_BENCH_JOIN_LOAD_H_
