#include "keymanager/service.h"

#include <string>
#include <utility>
#include <vector>

#include "common/rpc/call_ids.h"
#include "common/rpc/status.h"
#include "common/serve/log.h"

namespace nark::keymanager {
namespace {

std::vector<double> Bounds() {
  return {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5};
}

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

KeyManagerService::KeyManagerService(std::shared_ptr<GrantAuthority> authority,
                                     serve::Metrics& metrics, RefusalLog& refusals,
                                     serve::WorkQueue::Limits queue)
    : metrics_(metrics),
      refusals_(refusals),
      authority_(std::move(authority)),
      challenges_(metrics.AddCounter("nark_keymanager_challenges_total", "Challenges issued.")),
      grants_(metrics.AddCounter("nark_keymanager_grants_total",
                                 "Grants issued, repeated answers among them.")),
      shed_(metrics.AddCounter("nark_keymanager_shed_total",
                               "Calls turned away because too many waited.")),
      decision_seconds_(
          metrics.AddHistogram("nark_keymanager_decision_seconds",
                               "Time to decide on a grant, nearly all of it cryptography.",
                               {0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.02})),
      queue_seconds_(metrics.AddHistogram("nark_keymanager_queue_seconds",
                                          "Time that requests for grants waited for a thread.",
                                          Bounds())),
      queue_(queue) {
  for (const auto& [method, name] :
       {std::pair(Method::kGetChallenge, "GetChallenge"), {Method::kIssueGrant, "IssueGrant"}}) {
    counts_[static_cast<size_t>(method)].seconds =
        &metrics.AddHistogram("nark_keymanager_request_seconds",
                              "Time from a request's arrival to its answer, waiting included.",
                              Bounds(), {{"method", name}});
    CountOf(method, absl::StatusCode::kOk);
  }
}

KeyManagerService::~KeyManagerService() = default;

void KeyManagerService::Replace(std::shared_ptr<GrantAuthority> authority) {
  absl::MutexLock lock(&mutex_);
  authority_.swap(authority);
}

std::shared_ptr<GrantAuthority> KeyManagerService::authority() const {
  absl::MutexLock lock(&mutex_);
  return authority_;
}

serve::Counter& KeyManagerService::CountOf(Method method, absl::StatusCode code) {
  std::atomic<serve::Counter*>& slot =
      counts_[static_cast<size_t>(method)].by_code[static_cast<size_t>(code)];
  serve::Counter* counter = slot.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &metrics_.AddCounter(
        "nark_keymanager_requests_total", "Requests answered, by method and status.",
        {{"method", method == Method::kGetChallenge ? "GetChallenge" : "IssueGrant"},
         {"status", absl::StatusCodeToString(code)}});
    slot.store(counter, std::memory_order_release);
  }
  return *counter;
}

void KeyManagerService::Finish(Method method, grpc::ServerUnaryReactor& reactor,
                               Clock::time_point arrival, const absl::Status& status) {
  CountOf(method, status.code()).Increment();
  counts_[static_cast<size_t>(method)].seconds->Observe(Seconds(Clock::now() - arrival));
  reactor.Finish(status.ok() ? grpc::Status::OK : rpc::ToGrpc(status));
}

absl::Status KeyManagerService::Overloaded() {
  shed_.Increment();
  refusals_.OnRefusal(Cause::kOverloaded, "too many requests wait; start more replicas");
  return RefusalFor(Cause::kOverloaded);
}

grpc::ServerUnaryReactor* KeyManagerService::GetChallenge(grpc::CallbackServerContext* context,
                                                          const v1::GetChallengeRequest* request,
                                                          v1::GetChallengeResponse* response) {
  const Clock::time_point arrival = Clock::now();
  const CallIds ids = rpc::CallIdsOf(*context);
  const serve::CallScope scope(ids);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status;
  // An exchange that can not be finished had better not begin: what is left of the line is
  // for those that have.
  if (queue_.length() * 2 >= queue_.limits().length) {
    status = Overloaded();
  } else if (auto made = authority()->GetChallenge(*request); made.ok()) {
    *response = *std::move(made);
    challenges_.Increment();
  } else {
    status = made.status();
  }
  Finish(Method::kGetChallenge, *reactor, arrival, status);
  return reactor;
}

grpc::ServerUnaryReactor* KeyManagerService::IssueGrant(grpc::CallbackServerContext* context,
                                                        const v1::IssueGrantRequest* request,
                                                        v1::IssueGrantResponse* response) {
  const Clock::time_point arrival = Clock::now();
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool added = queue_.TryAdd([=, this](serve::WorkQueue::Turn turn, Clock::duration waited) {
    queue_seconds_.Observe(Seconds(waited));
    const CallIds ids = rpc::CallIdsOf(*context);
    const serve::CallScope scope(ids);
    absl::Status status;
    if (context->IsCancelled()) {
      status = absl::CancelledError("nobody waits for the answer any more");
    } else if (turn == serve::WorkQueue::Turn::kExpired) {
      status = Overloaded();
    } else {
      const Clock::time_point start = Clock::now();
      auto granted = authority()->IssueGrant(*request);
      decision_seconds_.Observe(Seconds(Clock::now() - start));
      if (granted.ok()) {
        *response = *std::move(granted);
        grants_.Increment();
      }
      status = granted.status();
    }
    Finish(Method::kIssueGrant, *reactor, arrival, status);
  });
  if (!added) {
    const CallIds ids = rpc::CallIdsOf(*context);
    const serve::CallScope scope(ids);
    Finish(Method::kIssueGrant, *reactor, arrival, Overloaded());
  }
  return reactor;
}

}  // namespace nark::keymanager
