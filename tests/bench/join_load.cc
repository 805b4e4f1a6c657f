#include "tests/bench/join_load.h"

#include <grpcpp/client_context.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/base/storage.h"
#include "common/object/pool_folder.h"
#include "common/rpc/status.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::bench {
namespace {

using keymanager::Attest;
using keymanager::ChallengeRequest;
using std::chrono::milliseconds;

constexpr size_t kSpaces = 4500;  // a replica remembers 4,096
constexpr int kChannels = 4;      // to each target
constexpr milliseconds kWarmRound{2500};

void MustBe(const absl::Status& status) {
  if (!status.ok()) Die(status.ToString());
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

}  // namespace

void Die(std::string_view why) {
  std::fprintf(stderr, "benchmark: %.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
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

World::World() : session(provider.MakeSession()) {
  for (size_t i = 0; i < kSpaces; ++i) {
    spaces.push_back(provider.MakeSecureSpace());
    const uint64_t first = 1000 + 77 * i;  // a day of one-second ADUs
    vouchers.push_back(provider.MakeVoucher(session, spaces.back().id, first, first + 86'399));
  }
  char pattern[] = "/tmp/nark-joins-XXXXXX";
  folder = mkdtemp(pattern);
  std::filesystem::create_directory(folder + "/pool");
  MustBe(
      WritePoolFolder(folder + "/pool", provider.MakePool(), provider.pool_role, provider.now()));
  MustBe(WriteFile(folder + "/issuer.pem", AsBytes(provider.issuer.certificate.ToPem()),
                   FileMode::kPublic));
}

World::~World() { std::filesystem::remove_all(folder); }

std::filesystem::path Self() { return std::filesystem::canonical("/proc/self/exe"); }

Target Start(const harness::CommandLine& command, const std::string& folder,
             const std::string& ready_file) {
  Target target;
  RunOnCore(0);  // inherited
  target.process = std::make_unique<harness::Process>(command, folder);
  RunOnCore(LastCore());
  const bool ready = harness::Eventually([&] { return std::filesystem::exists(ready_file); });
  if (!ready) Die("no server: " + target.process->err());
  const std::string text = harness::ReadAll(ready_file);
  const size_t at = text.find("listen\":\"") + 9;
  target.address = text.substr(at, text.find('"', at) - at);
  return target;
}

Target StartReplica(const World& world, const std::string& name, bool tls) {
  const std::string ready = world.folder + "/" + name + ".json";
  harness::CommandLine command = {
      .program = Self().parent_path() / "../../keymanager/nark-keymanager",
      .arguments = {"--pool", world.folder + "/pool", "--issuer", world.folder + "/issuer.pem",
                    "--listen", "127.0.0.1:0", "--ready-file", ready, "--log-level", "warning"},
      .input = "",
      .environment = {}};
  if (!tls) command.arguments.push_back("--plaintext");
  Target target = Start(command, world.folder, ready);
  target.tls = tls;
  return target;
}

std::shared_ptr<grpc::Channel> ChannelTo(const Target& target, const World& world,
                                         const rpc::TlsSessionCache* sessions) {
  rpc::ChannelOptions options = {.endpoint = target.address};
  if (target.tls) {
    options.tls = rpc::TlsTrust{.ca_certificate = world.provider.tls_ca.certificate.der(),
                                .server_name = "keymanager.nark"};
    options.tls_sessions = sessions;
  }
  return Must(rpc::MakeChannel(options));
}

void CheckOk(const grpc::Status& status) {
  if (!status.ok()) Die(rpc::FromGrpc(status).ToString());
}

Load Warm(World& world, const std::vector<const Target*>& targets, int in_flight,
          Answering answering, const v1::IssueGrantRequest& canned) {
  std::vector<std::unique_ptr<Joiner>> joiners;
  std::atomic<bool> stop{false};
  std::atomic<size_t> joins{0};
  for (const Target* target : targets) {
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (int i = 0; i < kChannels; ++i) channels.push_back(ChannelTo(*target, world));
    for (int i = 0; i < in_flight; ++i) {
      joiners.push_back(std::make_unique<Joiner>(
          world, channels[static_cast<size_t>(i % kChannels)], answering, canned));
      joiners.back()->Begin(stop, joins);
    }
  }
  const auto cpu = [&] {
    double seconds = 0;
    for (const Target* target : targets) seconds += CpuSecondsOf(target->process->pid());
    return seconds;
  };
  std::this_thread::sleep_for(milliseconds(300));  // channels are up, caches warm
  const size_t before = joins;
  const double cpu_before = cpu();
  const double wall = SecondsOn(CLOCK_MONOTONIC);
  std::this_thread::sleep_for(kWarmRound);
  const double count = static_cast<double>(joins - before);
  const Load load = {.cpu_per_join = (cpu() - cpu_before) / count,
                     .joins_per_second = count / (SecondsOn(CLOCK_MONOTONIC) - wall)};
  stop = true;
  for (auto& joiner : joiners) joiner->Wait();
  return load;
}

}  // namespace nark::bench
