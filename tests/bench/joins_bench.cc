// Joins per second of one replica on one core: the real nark-keymanager over gRPC
// and TLS, beside what its cryptography alone costs (the decision core in this
// process) and what the RPCs alone cost (a server of the same stack that echoes
// answers of the same size; idle in between, or busy for as long as the cryptography takes,
// which shows what RPCs cost at that rate). Servers run on core 0, the callers on the last core.
// CPU time of the server counts, so that a busy machine distorts nothing; medians of
// interleaved rounds. One JSON line a figure.

#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "keymanager/grant_authority.h"
#include "keymanager/testing.h"
#include "nark/v1/keymanager.grpc.pb.h"
#include "tests/bench/join_load.h"

namespace nark::bench {
namespace {

using keymanager::Attest;
using keymanager::ChallengeRequest;
using std::chrono::milliseconds;

constexpr int kRounds = 5;
constexpr int kInFlight = 16;
constexpr int kColdCallers = 6;
constexpr milliseconds kColdRound{2500};
constexpr size_t kCryptoJoins = 1500;

// --- The RPC floor: answers of the right size, and nothing else ---

class Echo final : public v1::KeyManager::CallbackService {
 public:
  // A grant keeps a processor for so many seconds.
  Echo(size_t challenge_bytes, size_t grant_bytes, double work) : work_(work) {
    challenge_.mutable_challenge()->set_body(std::string(challenge_bytes, 'c'));
    grant_.mutable_grant()->set_payload(std::string(grant_bytes, 'g'));
  }
  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const v1::GetChallengeRequest*,
                                         v1::GetChallengeResponse* response) override {
    *response = challenge_;
    return Done(context);
  }
  grpc::ServerUnaryReactor* IssueGrant(grpc::CallbackServerContext* context,
                                       const v1::IssueGrantRequest*,
                                       v1::IssueGrantResponse* response) override {
    const double end = SecondsOn(CLOCK_THREAD_CPUTIME_ID) + work_;
    while (work_ > 0 && SecondsOn(CLOCK_THREAD_CPUTIME_ID) < end) continue;
    *response = grant_;
    return Done(context);
  }

 private:
  static grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  const double work_;
  v1::GetChallengeResponse challenge_;
  v1::IssueGrantResponse grant_;
};

// argv: --echo | --plain-echo | --busy-echo, FOLDER CHALLENGE_BYTES GRANT_BYTES WORK
int RunEcho(char** argv) {
  const std::string kind = std::string(argv[1]).substr(2);
  size_t challenge_bytes = 0, grant_bytes = 0;
  double work = 0;
  if (!absl::SimpleAtoi(argv[3], &challenge_bytes) || !absl::SimpleAtoi(argv[4], &grant_bytes) ||
      !absl::SimpleAtod(argv[5], &work)) {
    return 1;
  }
  const std::string folder = argv[2];
  const PoolFolder pool = Must(LoadPoolFolder(folder + "/pool", SystemClock().Now()));
  Echo echo(challenge_bytes, grant_bytes, work);
  rpc::ServerOptions options;
  options.listen = "127.0.0.1:0";
  if (kind != "plain-echo") {
    options.tls = rpc::TlsIdentity{.certificates = pool.tls_certificates_pem,
                                   .key = pool.tls_key_pem.Clone()};
  }
  const auto server = Must(rpc::Server::Start(std::move(options), {&echo}));
  const std::string ready = "{\"listen\":\"" + server->address() + "\"}";
  if (!WriteFile(folder + "/" + kind + ".json", AsBytes(ready), FileMode::kPublic).ok()) return 1;
  for (;;) pause();
}

// Each join over a fresh connection, which resumes one of `sessions` if there are any.
void JoinCold(World& world, const Target& target, Answering answering,
              const v1::IssueGrantRequest& canned, const rpc::TlsSessionCache* sessions) {
  const size_t i = world.Next();
  const auto stub = v1::KeyManager::NewStub(ChannelTo(target, world, sessions));
  v1::GetChallengeResponse challenge;
  {
    grpc::ClientContext context;
    CheckOk(stub->GetChallenge(&context, ChallengeRequest(world.session.session(), world.spaces[i]),
                               &challenge));
  }
  grpc::ClientContext context;
  v1::IssueGrantResponse grant;
  if (answering == Answering::kEcho) return CheckOk(stub->IssueGrant(&context, canned, &grant));
  CheckOk(stub->IssueGrant(
      &context, Attest(world.PurchaseOf(i), challenge.challenge(), world.random).request, &grant));
}

Load Cold(World& world, const Target& target, Answering answering,
          const v1::IssueGrantRequest& canned, const rpc::TlsSessionCache* sessions = nullptr) {
  std::atomic<bool> stop{false};
  std::atomic<size_t> joins{0};
  const double cpu = CpuSecondsOf(target.process->pid());
  const double wall = SecondsOn(CLOCK_MONOTONIC);
  std::vector<std::thread> callers;
  for (int i = 0; i < kColdCallers; ++i) {
    callers.emplace_back([&] {
      while (!stop) {
        JoinCold(world, target, answering, canned, sessions);
        ++joins;
      }
    });
  }
  std::this_thread::sleep_for(kColdRound);
  stop = true;
  for (std::thread& caller : callers) caller.join();
  const double count = static_cast<double>(joins);
  return {.cpu_per_join = (CpuSecondsOf(target.process->pid()) - cpu) / count,
          .joins_per_second = count / (SecondsOn(CLOCK_MONOTONIC) - wall)};
}

// Seconds of CPU that the decision takes in this process, both calls, per join.
double Crypto(World& world, keymanager::GrantAuthority& authority) {
  RunOnCore(0);
  double seconds = 0;
  for (size_t n = 0; n < kCryptoJoins; ++n) {
    const size_t i = world.Next();
    const auto request = ChallengeRequest(world.session.session(), world.spaces[i]);
    const double begin = SecondsOn(CLOCK_THREAD_CPUTIME_ID);
    const auto challenge = authority.GetChallenge(request);
    const double middle = SecondsOn(CLOCK_THREAD_CPUTIME_ID);
    const auto exchange = Attest(world.PurchaseOf(i), Must(challenge).challenge(), world.random);
    const double again = SecondsOn(CLOCK_THREAD_CPUTIME_ID);
    const auto grant = authority.IssueGrant(exchange.request);
    seconds += SecondsOn(CLOCK_THREAD_CPUTIME_ID) - again + middle - begin;
    if (!grant.ok()) Must(grant);
  }
  RunOnCore(LastCore());
  return seconds / static_cast<double>(kCryptoJoins);
}

struct Series {
  void Add(const Load& join, const Load& echo) {
    joined.push_back(join.cpu_per_join);
    wall.push_back(join.joins_per_second);
    echoed.push_back(echo.cpu_per_join);
  }
  std::vector<double> joined, echoed, wall;
};

// `busy`: of an echo that works as long as the cryptography takes; 0 where there is none.
void Print(const char* figure, const Series& series, double crypto, double busy = 0) {
  const double join = Median(series.joined);
  const double echo = Median(series.echoed);
  const double limit = crypto + echo;
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"joins/s a core\","
      "\"limit_is\":\"cryptography and RPC floor\",\"detail\":{\"cpu_us_per_join\":%.1f,"
      "\"crypto_us\":%.1f,\"rpc_floor_us\":%.1f,\"crypto_share\":%.3f,"
      "\"wall_joins_per_second\":%.0f,"
      "\"busy_echo_us\":%.1f}}\n",
      figure, 1 / join, 1 / limit, limit / join, join * 1e6, crypto * 1e6, echo * 1e6,
      crypto / join, Median(series.wall), busy * 1e6);
  std::fflush(stdout);
}

int Run() {
  RunOnCore(LastCore());
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  World world;
  SystemClock clock;
  keymanager::RecordedRefusals refusals;
  const auto authority = keymanager::MakeAuthority(
      world.provider, {.clock = clock, .random = world.random, .refusals = refusals});

  // One exchange, for the sizes.
  const auto challenge =
      Must(authority->GetChallenge(ChallengeRequest(world.session.session(), world.spaces[0])));
  const auto exchange = Attest(world.PurchaseOf(0), challenge.challenge(), world.random);
  const auto grant = Must(authority->IssueGrant(exchange.request));

  const Target replica = StartReplica(world, "replica");
  Crypto(world, *authority);  // first touch
  const double work = Crypto(world, *authority);
  const auto start_echo = [&](const std::string& kind, double seconds) {
    return Start({.program = Self(),
                  .arguments = {"--" + kind, world.folder, std::to_string(challenge.ByteSizeLong()),
                                std::to_string(grant.ByteSizeLong()), std::to_string(seconds)},
                  .input = "",
                  .environment = {}},
                 world.folder, world.folder + "/" + kind + ".json");
  };
  const Target echo = start_echo("echo", 0);
  const Target plain_replica = StartReplica(world, "plain-replica", false);
  Target plain_echo = start_echo("plain-echo", 0);
  plain_echo.tls = false;
  const Target busy_echo = start_echo("busy-echo", work);

  const rpc::TlsSessionCache replica_sessions(4), echo_sessions(4);
  Series warm, plain, cold, resumed;
  std::vector<double> crypto, busy;
  for (int round = -1; round < kRounds; ++round) {
    const Load joined = Warm(world, {&replica}, kInFlight, Answering::kReplica, exchange.request);
    const Load echoed = Warm(world, {&echo}, kInFlight, Answering::kEcho, exchange.request);
    const Load kept_busy = Warm(world, {&busy_echo}, kInFlight, Answering::kEcho, exchange.request);
    const Load plain_joined =
        Warm(world, {&plain_replica}, kInFlight, Answering::kReplica, exchange.request);
    const Load plain_echoed =
        Warm(world, {&plain_echo}, kInFlight, Answering::kEcho, exchange.request);
    const double decided = Crypto(world, *authority);
    const Load cold_joined = Cold(world, replica, Answering::kReplica, exchange.request);
    const Load cold_echoed = Cold(world, echo, Answering::kEcho, exchange.request);
    const Load again =
        Cold(world, replica, Answering::kReplica, exchange.request, &replica_sessions);
    const Load again_echoed = Cold(world, echo, Answering::kEcho, exchange.request, &echo_sessions);
    if (round < 0) continue;  // first touch of memory and of code
    warm.Add(joined, echoed);
    plain.Add(plain_joined, plain_echoed);
    cold.Add(cold_joined, cold_echoed);
    resumed.Add(again, again_echoed);
    crypto.push_back(decided);
    busy.push_back(kept_busy.cpu_per_join);
  }
  Print("joins warm", warm, Median(crypto), Median(busy));
  Print("joins plaintext", plain, Median(crypto));
  Print("joins cold", cold, Median(crypto));
  Print("joins resumed", resumed, Median(crypto));
  return 0;
}

}  // namespace
}  // namespace nark::bench

int main(int argc, char** argv) {
  if (argc == 6 && std::string(argv[1]).ends_with("echo")) return nark::bench::RunEcho(argv);
  return nark::bench::Run();
}
