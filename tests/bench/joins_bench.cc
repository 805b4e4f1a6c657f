// Joins per second of one replica on one core: the real nark-keymanager over gRPC
// and TLS, beside what its cryptography alone costs (the decision core in this
// process) and what the RPCs alone cost (a server of the same stack that echoes
// answers of the same size). Servers run on core 0, the callers on the last core.
// CPU time of the server counts, so that a busy machine distorts nothing; medians of
// interleaved rounds. One JSON line a figure.
//
// Every secure space in turn: more of them than the replica remembers, so each
// certificate and voucher is parsed and verified anew, as in a rush of strangers.

#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "keymanager/grant_authority.h"
#include "keymanager/testing.h"
#include "nark/v1/keymanager.grpc.pb.h"
#include "tests/harness/process.h"

namespace nark::bench {
namespace {

using keymanager::Attest;
using keymanager::ChallengeRequest;
using std::chrono::milliseconds;

constexpr int kRounds = 5;
constexpr size_t kSpaces = 4500;  // the replica remembers 4,096
constexpr int kInFlight = 16;
constexpr int kChannels = 4;
constexpr int kColdCallers = 6;
constexpr milliseconds kWarmRound{2500};
constexpr milliseconds kColdRound{2500};
constexpr size_t kCryptoJoins = 1500;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "joins_bench: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

void RunOnCore(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

int LastCore() { return static_cast<int>(std::thread::hardware_concurrency()) - 1; }

double SecondsOn(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double CpuSecondsOf(pid_t pid) {
  clockid_t clock;
  if (clock_getcpuclockid(pid, &clock) != 0) std::abort();
  return SecondsOn(clock);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A provider with many receivers, and its pool on disk.
struct World {
  World() : session(provider.MakeSession()) {
    for (size_t i = 0; i < kSpaces; ++i) {
      spaces.push_back(provider.MakeSecureSpace());
      const uint64_t first = 1000 + 77 * i;  // a day of one-second ADUs
      vouchers.push_back(provider.MakeVoucher(session, spaces.back().id, first, first + 86'399));
    }
    char pattern[] = "/tmp/nark-joins-XXXXXX";
    folder = mkdtemp(pattern);
    std::filesystem::create_directory(folder + "/pool");
    const auto ok = [](const absl::Status& status) {
      if (!status.ok()) Must(absl::StatusOr<int>(status));
    };
    ok(WritePoolFolder(folder + "/pool", provider.MakePool(), provider.pool_role, provider.now()));
    ok(WriteFile(folder + "/issuer.pem", AsBytes(provider.issuer.certificate.ToPem()),
                 FileMode::kPublic));
  }
  ~World() { std::filesystem::remove_all(folder); }

  size_t Next() { return next.fetch_add(1) % kSpaces; }
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

// --- The RPC floor: answers of the right size, and nothing else ---

class Echo final : public v1::KeyManager::CallbackService {
 public:
  Echo(size_t challenge_bytes, size_t grant_bytes) {
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
    *response = grant_;
    return Done(context);
  }

 private:
  static grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  v1::GetChallengeResponse challenge_;
  v1::IssueGrantResponse grant_;
};

// argv: --echo FOLDER CHALLENGE_BYTES GRANT_BYTES
int RunEcho(char** argv) {
  size_t challenge_bytes = 0, grant_bytes = 0;
  if (!absl::SimpleAtoi(argv[3], &challenge_bytes) || !absl::SimpleAtoi(argv[4], &grant_bytes)) {
    return 1;
  }
  const std::string folder = argv[2];
  const PoolFolder pool = Must(LoadPoolFolder(folder + "/pool", SystemClock().Now()));
  Echo echo(challenge_bytes, grant_bytes);
  rpc::ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.tls =
      rpc::TlsIdentity{.certificates = pool.tls_certificates_pem, .key = pool.tls_key_pem.Clone()};
  const auto server = Must(rpc::Server::Start(std::move(options), {&echo}));
  const std::string ready = "{\"listen\":\"" + server->address() + "\"}";
  if (!WriteFile(folder + "/echo.json", AsBytes(ready), FileMode::kPublic).ok()) return 1;
  for (;;) pause();
}

// --- Servers as processes on core 0 ---

// Programs are built side by side.
std::filesystem::path Self() { return std::filesystem::canonical("/proc/self/exe"); }

struct Target {
  std::unique_ptr<harness::Process> process;
  std::string address;
};

Target Start(const harness::CommandLine& command, const std::string& folder,
             const std::string& ready_file) {
  Target target;
  RunOnCore(0);  // inherited
  target.process = std::make_unique<harness::Process>(command, folder);
  RunOnCore(LastCore());
  const bool ready = harness::Eventually([&] { return std::filesystem::exists(ready_file); });
  if (!ready) {
    std::fprintf(stderr, "joins_bench: no server: %s\n", target.process->err().c_str());
    std::exit(1);
  }
  const std::string text = harness::ReadAll(ready_file);
  const size_t at = text.find("listen\":\"") + 9;
  target.address = text.substr(at, text.find('"', at) - at);
  return target;
}

std::shared_ptr<grpc::Channel> ChannelTo(const Target& target, const World& world) {
  return Must(rpc::MakeChannel(
      {.endpoint = target.address,
       .tls = rpc::TlsTrust{.ca_certificate = world.provider.tls_ca.certificate.der(),
                            .server_name = "keymanager.nark"}}));
}

// --- Callers ---

enum class Answering { kReplica, kEcho };

// What one round found.
struct Load {
  double cpu_per_join = 0;  // of the server, seconds
  double joins_per_second = 0;
};

void CheckOk(const grpc::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "joins_bench: %s\n", rpc::FromGrpc(status).ToString().c_str());
  std::exit(1);
}

// One join after the other, by callbacks, until told to stop.
class Joiner {
 public:
  Joiner(World& world, std::shared_ptr<grpc::Channel> channel, Answering answering,
         const v1::IssueGrantRequest& canned)
      : world_(world),
        stub_(v1::KeyManager::NewStub(std::move(channel))),
        answering_(answering),
        request_(canned) {}

  void Begin(std::atomic<bool>& stop, std::atomic<size_t>& joins) {
    stop_ = &stop;
    joins_ = &joins;
    Challenge();
  }
  void Wait() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&ended_));
  }

 private:
  void Challenge() {
    if (*stop_) {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
      return;
    }
    index_ = world_.Next();
    context_ = std::make_unique<grpc::ClientContext>();
    challenge_request_ = ChallengeRequest(world_.session.session(), world_.spaces[index_]);
    stub_->async()->GetChallenge(context_.get(), &challenge_request_, &challenge_,
                                 [this](const grpc::Status& status) {
                                   CheckOk(status);
                                   Issue();
                                 });
  }
  void Issue() {
    if (answering_ == Answering::kReplica) {
      request_ = Attest(world_.PurchaseOf(index_), challenge_.challenge(), world_.random).request;
    }
    context_ = std::make_unique<grpc::ClientContext>();
    stub_->async()->IssueGrant(context_.get(), &request_, &grant_,
                               [this](const grpc::Status& status) {
                                 CheckOk(status);
                                 ++*joins_;
                                 Challenge();
                               });
  }

  World& world_;
  const std::unique_ptr<v1::KeyManager::Stub> stub_;
  const Answering answering_;
  std::atomic<bool>* stop_ = nullptr;
  std::atomic<size_t>* joins_ = nullptr;
  size_t index_ = 0;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::GetChallengeRequest challenge_request_;
  v1::GetChallengeResponse challenge_;
  v1::IssueGrantRequest request_;
  v1::IssueGrantResponse grant_;
  absl::Mutex mutex_;
  bool ended_ = false;
};

Load Warm(World& world, const Target& target, Answering answering,
          const v1::IssueGrantRequest& canned) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < kChannels; ++i) channels.push_back(ChannelTo(target, world));
  std::vector<std::unique_ptr<Joiner>> joiners;
  std::atomic<bool> stop{false};
  std::atomic<size_t> joins{0};
  for (int i = 0; i < kInFlight; ++i) {
    joiners.push_back(std::make_unique<Joiner>(world, channels[static_cast<size_t>(i % kChannels)],
                                               answering, canned));
    joiners.back()->Begin(stop, joins);
  }
  std::this_thread::sleep_for(milliseconds(300));  // channels are up, caches warm
  const size_t before = joins;
  const double cpu = CpuSecondsOf(target.process->pid());
  const double wall = SecondsOn(CLOCK_MONOTONIC);
  std::this_thread::sleep_for(kWarmRound);
  const double count = static_cast<double>(joins - before);
  const Load load = {.cpu_per_join = (CpuSecondsOf(target.process->pid()) - cpu) / count,
                     .joins_per_second = count / (SecondsOn(CLOCK_MONOTONIC) - wall)};
  stop = true;
  for (auto& joiner : joiners) joiner->Wait();
  return load;
}

// Each join over a fresh connection.
void JoinCold(World& world, const Target& target, Answering answering,
              const v1::IssueGrantRequest& canned) {
  const size_t i = world.Next();
  const auto stub = v1::KeyManager::NewStub(ChannelTo(target, world));
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
          const v1::IssueGrantRequest& canned) {
  std::atomic<bool> stop{false};
  std::atomic<size_t> joins{0};
  const double cpu = CpuSecondsOf(target.process->pid());
  const double wall = SecondsOn(CLOCK_MONOTONIC);
  std::vector<std::thread> callers;
  for (int i = 0; i < kColdCallers; ++i) {
    callers.emplace_back([&] {
      while (!stop) {
        JoinCold(world, target, answering, canned);
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
  std::vector<double> joined, echoed, wall;
};

void Print(const char* figure, const Series& series, double crypto) {
  const double join = Median(series.joined);
  const double echo = Median(series.echoed);
  const double limit = crypto + echo;
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"joins/s a core\","
      "\"limit_is\":\"cryptography and RPC floor\",\"detail\":{\"cpu_us_per_join\":%.1f,"
      "\"crypto_us\":%.1f,\"rpc_floor_us\":%.1f,\"crypto_share\":%.3f,"
      "\"wall_joins_per_second\":%.0f}}\n",
      figure, 1 / join, 1 / limit, limit / join, join * 1e6, crypto * 1e6, echo * 1e6,
      crypto / join, Median(series.wall));
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

  const Target replica =
      Start({.program = Self().parent_path() / "../../keymanager/nark-keymanager",
             .arguments = {"--pool", world.folder + "/pool", "--issuer",
                           world.folder + "/issuer.pem", "--listen", "127.0.0.1:0", "--ready-file",
                           world.folder + "/ready.json", "--log-level", "warning"},
             .input = "",
             .environment = {}},
            world.folder, world.folder + "/ready.json");
  const Target echo =
      Start({.program = Self(),
             .arguments = {"--echo", world.folder, std::to_string(challenge.ByteSizeLong()),
                           std::to_string(grant.ByteSizeLong())},
             .input = "",
             .environment = {}},
            world.folder, world.folder + "/echo.json");

  Series warm, cold;
  std::vector<double> crypto;
  for (int round = -1; round < kRounds; ++round) {
    const Load joined = Warm(world, replica, Answering::kReplica, exchange.request);
    const Load echoed = Warm(world, echo, Answering::kEcho, exchange.request);
    const double decided = Crypto(world, *authority);
    const Load cold_joined = Cold(world, replica, Answering::kReplica, exchange.request);
    const Load cold_echoed = Cold(world, echo, Answering::kEcho, exchange.request);
    if (round < 0) continue;  // first touch of memory and of code
    warm.joined.push_back(joined.cpu_per_join);
    warm.wall.push_back(joined.joins_per_second);
    warm.echoed.push_back(echoed.cpu_per_join);
    cold.joined.push_back(cold_joined.cpu_per_join);
    cold.wall.push_back(cold_joined.joins_per_second);
    cold.echoed.push_back(cold_echoed.cpu_per_join);
    crypto.push_back(decided);
  }
  Print("joins warm", warm, Median(crypto));
  Print("joins cold", cold, Median(crypto));
  return 0;
}

}  // namespace
}  // namespace nark::bench

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--echo") return nark::bench::RunEcho(argv);
  return nark::bench::Run();
}
