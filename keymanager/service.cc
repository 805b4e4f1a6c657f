#include "keymanager/service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/call_ids.h"
#include "common/rpc/status.h"
#include "common/serve/log.h"
#include "keymanager/request_shape.h"

namespace nark::keymanager {
namespace {

std::vector<double> Bounds() {
  return {0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5};
}

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

template <typename Request>
absl::Status Parse(const grpc::ByteBuffer& buffer, Request& request) {
  if (buffer.Length() > MostBytesOf(request)) {
    return absl::InvalidArgumentError(absl::StrCat("a message of ", buffer.Length(), " bytes"));
  }
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) return absl::InvalidArgumentError("no message");
  return ParseRequest({slice.begin(), slice.size()}, request);
}

template <typename Response>
absl::Status Write(const Response& response, grpc::ByteBuffer& to) {
  bool own = false;
  const grpc::Status written = grpc::SerializationTraits<Response>::Serialize(response, &to, &own);
  return written.ok() ? absl::OkStatus() : absl::InternalError(written.error_message());
}

}  // namespace

KeyManagerService::KeyManagerService(std::shared_ptr<GrantAuthority> authority,
                                     serve::Metrics& metrics, RefusalLog& refusals,
                                     serve::WorkQueue::Limits queue, BlockLimits blocks)
    : metrics_(metrics),
      refusals_(refusals),
      authority_(std::move(authority)),
      challenges_(metrics.AddCounter("nark_keymanager_challenges_total", "Challenges issued.")),
      grants_(metrics.AddCounter("nark_keymanager_grants_total",
                                 "Grants issued, repeated answers among them.")),
      blocks_(metrics.AddCounter("nark_keymanager_marked_blocks_total", "Marked blocks made.")),
      shed_(metrics.AddCounter("nark_keymanager_shed_total",
                               "Calls turned away because too many waited.")),
      decision_seconds_(
          metrics.AddHistogram("nark_keymanager_decision_seconds",
                               "Time to decide on a grant, nearly all of it cryptography.",
                               {0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.02})),
      queue_seconds_(metrics.AddHistogram("nark_keymanager_queue_seconds",
                                          "Time that requests for grants waited for a thread.",
                                          Bounds())),
      block_limits_(blocks),
      places_(blocks.places, refusals),
      queue_(queue) {
  for (const Method method :
       {Method::kGetChallenge, Method::kIssueGrant, Method::kGetMarkedBlock}) {
    counts_[static_cast<size_t>(method)].seconds =
        &metrics.AddHistogram("nark_keymanager_request_seconds",
                              "Time from a request's arrival to its answer, waiting included.",
                              Bounds(), {{"method", NameOf(method)}});
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
        {{"method", NameOf(method)}, {"status", absl::StatusCodeToString(code)}});
    slot.store(counter, std::memory_order_release);
  }
  return *counter;
}

const char* KeyManagerService::NameOf(Method method) {
  switch (method) {
    case Method::kGetChallenge:
      return "GetChallenge";
    case Method::kIssueGrant:
      return "IssueGrant";
    case Method::kGetMarkedBlock:
      return "GetMarkedBlock";
  }
  return "";
}

void KeyManagerService::Finish(const Call& call, const absl::Status& status) {
  CountOf(call.method, status.code()).Increment();
  counts_[static_cast<size_t>(call.method)].seconds->Observe(Seconds(Clock::now() - call.arrival));
  if (call.writer == nullptr) {
    call.reactor->Finish(status.ok() ? grpc::Status::OK : rpc::ToGrpc(status));
  } else if (!status.ok()) {
    call.writer->End(rpc::ToGrpc(status));
  }
}

void KeyManagerService::TurnAway(const Call& call) {
  const CallIds ids = rpc::CallIdsOf(*call.context);
  const serve::CallScope scope(ids);
  shed_.Increment();
  refusals_.OnRefusal(Cause::kOverloaded, "too many requests wait; start more replicas");
  Finish(call, RefusalFor(Cause::kOverloaded));
}

absl::Status KeyManagerService::Malformed(const absl::Status& why) {
  refusals_.OnRefusal(Cause::kMalformed, Std(why.message()));
  return RefusalFor(Cause::kMalformed);
}

grpc::ServerUnaryReactor* KeyManagerService::GetChallenge(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* response) {
  const Call call = {Method::kGetChallenge,     context, request,     response,
                     context->DefaultReactor(), nullptr, Clock::now()};
  // An exchange that can not be finished had better not begin: what is left of the line is
  // for those that have.
  if (queue_.length() * 2 >= queue_.limits().length) {
    TurnAway(call);
  } else if (authority()->keys_wait()) {
    Enqueue(call);
  } else {
    Finish(call, Decide(call));
  }
  return call.reactor;
}

grpc::ServerUnaryReactor* KeyManagerService::IssueGrant(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  const Call call = {Method::kIssueGrant,       context, request,     response,
                     context->DefaultReactor(), nullptr, Clock::now()};
  Enqueue(call);
  return call.reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* KeyManagerService::GetMarkedBlock(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  auto* writer = new BlockWriter(*context);
  const Call call = {
      Method::kGetMarkedBlock, context, request, nullptr, nullptr, writer, Clock::now()};
  // It would be turned away after all the work of attesting it.
  if (places_.full()) {
    TurnAway(call);
  } else {
    Enqueue(call);
  }
  return writer;
}

void KeyManagerService::Enqueue(const Call& call) {
  auto answer = [this, call](serve::WorkQueue::Turn turn, Clock::duration waited) {
    queue_seconds_.Observe(Seconds(waited));
    if (call.context->IsCancelled()) {
      Finish(call, absl::CancelledError("nobody waits for the answer any more"));
    } else if (turn == serve::WorkQueue::Turn::kExpired) {
      TurnAway(call);
    } else {
      Finish(call, Decide(call));
    }
  };
  const bool added = authority()->keys_wait() ? queue_.TryAdd(std::move(answer))
                                              : queue_.TryDoOrAdd(std::move(answer));
  if (!added) TurnAway(call);
}

absl::Status KeyManagerService::Decide(const Call& call) {
  const CallIds ids = rpc::CallIdsOf(*call.context);
  const serve::CallScope scope(ids);
  switch (call.method) {
    case Method::kGetChallenge:
      return MakeChallenge(call);
    case Method::kIssueGrant:
      return MakeGrant(call);
    case Method::kGetMarkedBlock:
      return MakeBlock(call);
  }
  return absl::UnimplementedError("no such method");
}

absl::Status KeyManagerService::MakeChallenge(const Call& call) {
  v1::GetChallengeRequest request;
  if (absl::Status parsed = Parse(*call.request, request); !parsed.ok()) return Malformed(parsed);
  ASSIGN_OR_RETURN(const v1::GetChallengeResponse made, authority()->GetChallenge(request));
  challenges_.Increment();
  return Write(made, *call.response);
}

absl::Status KeyManagerService::MakeGrant(const Call& call) {
  v1::IssueGrantRequest request;
  if (absl::Status parsed = Parse(*call.request, request); !parsed.ok()) return Malformed(parsed);
  const Clock::time_point start = Clock::now();
  const auto granted = authority()->IssueGrant(request);
  decision_seconds_.Observe(Seconds(Clock::now() - start));
  if (!granted.ok()) return granted.status();
  grants_.Increment();
  return Write(*granted, *call.response);
}

// Decided on and sent apart: once the first piece is on its way the call may be over. A place
// is for those who have proved who they are, so that nobody else can take it.
absl::Status KeyManagerService::MakeBlock(const Call& call) {
  v1::GetMarkedBlockRequest request;
  if (absl::Status parsed = Parse(*call.request, request); !parsed.ok()) return Malformed(parsed);
  ASSIGN_OR_RETURN(const BlockOrder order, authority()->AdmitToBlock(request));
  ASSIGN_OR_RETURN(BlockPlaces::Place place, places_.Take(order.secure_space_id));
  ASSIGN_OR_RETURN(Bytes sealed, authority()->MakeBlock(order));
  blocks_.Increment();
  call.writer->Send(std::move(sealed), std::move(place), block_limits_.longest);
  return absl::OkStatus();
}

}  // namespace nark::keymanager
