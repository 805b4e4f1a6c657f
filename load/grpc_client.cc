#include "load/grpc_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_unary_call.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "keymanager/client.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;

// What a completion queue hands back.
class Event {
 public:
  virtual ~Event() = default;
  // Deletes itself once it is over.
  virtual void Complete(bool ok) = 0;
};

// A completion queue and the thread that takes from it.
class Answers {
 public:
  Answers() : thread_([this] { Run(); }) {}
  ~Answers() {
    queue_.Shutdown();
    thread_.join();
  }
  grpc::CompletionQueue& queue() { return queue_; }

 private:
  void Run() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) static_cast<Event*>(tag)->Complete(ok);
  }
  grpc::CompletionQueue queue_;
  std::thread thread_;
};

struct Endpoint {
  std::string name;
  rpc::ChannelOptions options;
};

class GrpcConnection final : public Connection,
                             public std::enable_shared_from_this<GrpcConnection> {
 public:
  enum class Kind { kKept, kOwn };

  GrpcConnection(const Endpoint& endpoint, Kind kind, Answers& answers)
      : endpoint_(endpoint), kind_(kind), answers_(answers) {}

  void Open(microseconds timeout, std::function<void(absl::Status)> done) override {
    // One that is kept and broken says so at the first call, and mends itself.
    if (kind_ == Kind::kKept) return done(absl::OkStatus());
    Connect(timeout, std::move(done));
  }

  void Connect(microseconds timeout, std::function<void(absl::Status)> done) {
    (new Opening(shared_from_this(), timeout, std::move(done)))->Post();
  }

  void GetChallenge(const v1::GetChallengeRequest& request, microseconds timeout,
                    std::function<void(absl::StatusOr<v1::Challenge>)> done) override {
    auto* call = new Call<v1::GetChallengeResponse>(
        shared_from_this(), timeout, [done = std::move(done)](auto response) {
          if (!response.ok()) return done(response.status());
          done(std::move(*response->mutable_challenge()));
        });
    call->Run(stub_->AsyncGetChallenge(&call->context(), request, &answers_.queue()));
  }

  void IssueGrant(const v1::IssueGrantRequest& request, microseconds timeout,
                  std::function<void(absl::StatusOr<v1::SignedEnvelope>)> done) override {
    auto* call = new Call<v1::IssueGrantResponse>(shared_from_this(), timeout,
                                                  [done = std::move(done)](auto response) {
                                                    if (!response.ok())
                                                      return done(response.status());
                                                    done(std::move(*response->mutable_grant()));
                                                  });
    call->Run(stub_->AsyncIssueGrant(&call->context(), request, &answers_.queue()));
  }

  Handshake handshake() const override {
    if (kind_ == Kind::kKept) return Handshake::kKept;
    if (!endpoint_.options.tls) return Handshake::kPlain;
    return resumed_ ? Handshake::kResumed : Handshake::kFull;
  }

 private:
  // Waits for the channel to be connected.
  class Opening final : public Event {
   public:
    Opening(std::shared_ptr<GrpcConnection> connection, microseconds timeout,
            std::function<void(absl::Status)> done)
        : connection_(std::move(connection)),
          deadline_(rpc::DeadlineAfter(std::chrono::ceil<std::chrono::milliseconds>(timeout))),
          done_(std::move(done)) {}

    // A channel costs a millisecond and more to make, which whoever starts joins has not.
    void Post() {
      alarm_.Set(&connection_->answers_.queue(), rpc::DeadlineAfter(std::chrono::milliseconds(0)),
                 this);
    }
    void Look() {
      if (connection_->channel_ == nullptr) connection_->MakeChannel();
      const grpc_connectivity_state state = connection_->channel_->GetState(true);
      if (state == GRPC_CHANNEL_READY) return End(absl::OkStatus());
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
        return End(connection_->Naming(absl::UnavailableError("no connection")));
      }
      connection_->channel_->NotifyOnStateChange(state, deadline_, &connection_->answers_.queue(),
                                                 this);
    }
    void Complete(bool ok) override {
      if (ok) return Look();
      End(connection_->Naming(absl::DeadlineExceededError("not connected in time")));
    }

   private:
    void End(const absl::Status& status) {
      done_(status);
      delete this;
    }
    const std::shared_ptr<GrpcConnection> connection_;
    const std::chrono::system_clock::time_point deadline_;
    const std::function<void(absl::Status)> done_;
    grpc::Alarm alarm_;
  };

  template <typename Response>
  class Call final : public Event {
   public:
    using Done = std::function<void(absl::StatusOr<Response>)>;
    Call(std::shared_ptr<GrpcConnection> connection, microseconds timeout, Done done)
        : connection_(std::move(connection)), done_(std::move(done)) {
      rpc::SetTimeout(context_, std::chrono::ceil<std::chrono::milliseconds>(timeout));
    }
    grpc::ClientContext& context() { return context_; }
    void Run(std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader) {
      reader_ = std::move(reader);
      reader_->Finish(&response_, &status_, this);
    }
    void Complete(bool) override {
      connection_->Note(context_);
      status_.ok() ? done_(std::move(response_))
                   : done_(connection_->Naming(rpc::FromGrpc(status_)));
      delete this;
    }

   private:
    const std::shared_ptr<GrpcConnection> connection_;
    const Done done_;
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
    Response response_;
    grpc::Status status_;
  };

  void MakeChannel() {
    // It is an endpoint: GrpcKeyManagers has made sure.
    channel_ = *rpc::MakeChannel(endpoint_.options);
    stub_ = v1::KeyManager::NewStub(channel_);
  }
  void Note(const grpc::ClientContext& context) {
    if (kind_ == Kind::kOwn && rpc::ResumedTlsSession(context)) resumed_ = true;
  }
  absl::Status Naming(const absl::Status& error) const {
    return MarkRemote(Annotate(error, absl::StrCat("key manager ", endpoint_.name)));
  }

  const Endpoint& endpoint_;
  const Kind kind_;
  Answers& answers_;
  // Made when it is opened, before any call.
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::KeyManager::Stub> stub_;
  std::atomic<bool> resumed_{false};
};

class GrpcKeyManagers final : public KeyManagers {
 public:
  explicit GrpcKeyManagers(const GrpcKeyManagerOptions& options) : sessions_(64) {
    for (const std::string& name : options.endpoints) {
      rpc::ChannelOptions channel;
      channel.endpoint = name;
      if (!options.tls_ca.empty())
        channel.tls = rpc::TlsTrust{options.tls_ca, keymanager::kServerName};
      if (options.mode == ConnectMode::kResumed) channel.tls_sessions = &sessions_;
      endpoints_.push_back({name, std::move(channel)});
    }
  }
  // Channels go while their queues still run.
  ~GrpcKeyManagers() override { kept_.clear(); }

  // Proves that all endpoints are such, and connects those that stay.
  absl::Status Start(const GrpcKeyManagerOptions& options) {
    for (const Endpoint& endpoint : endpoints_) {
      RETURN_IF_ERROR(rpc::MakeChannel(endpoint.options).status());
    }
    for (size_t i = 0; i < options.threads; ++i) answers_.push_back(std::make_unique<Answers>());
    if (options.mode != ConnectMode::kWarm) return absl::OkStatus();
    kept_.resize(endpoints_.size());
    for (size_t i = 0; i < options.connections; ++i) {
      kept_[i % kept_.size()].push_back(Make(i % kept_.size(), GrpcConnection::Kind::kKept));
    }
    next_kept_ = std::vector<std::atomic<size_t>>(endpoints_.size());
    return ConnectKept(options);
  }

  size_t count() const override { return endpoints_.size(); }

  std::shared_ptr<Connection> Connect(size_t replica) override {
    if (kept_.empty()) return Make(replica, GrpcConnection::Kind::kOwn);
    const auto& kept = kept_[replica];
    return kept[next_kept_[replica]++ % kept.size()];
  }

 private:
  std::shared_ptr<GrpcConnection> Make(size_t replica, GrpcConnection::Kind kind) {
    return std::make_shared<GrpcConnection>(endpoints_[replica], kind,
                                            *answers_[next_answers_++ % answers_.size()]);
  }

  absl::Status ConnectKept(const GrpcKeyManagerOptions& options) {
    struct Waiting {
      absl::Mutex mutex;
      size_t left = 0;
      std::vector<absl::Status> errors;  // one an endpoint; the first
    } waiting;
    waiting.errors.resize(endpoints_.size());
    for (const auto& kept : kept_) waiting.left += kept.size();
    for (size_t replica = 0; replica < kept_.size(); ++replica) {
      for (const auto& connection : kept_[replica]) {
        connection->Connect(options.connect_timeout, [&waiting, replica](absl::Status status) {
          absl::MutexLock lock(&waiting.mutex);
          if (!status.ok()) waiting.errors[replica] = status;
          --waiting.left;
        });
      }
    }
    const auto none_left = [&waiting] { return waiting.left == 0; };
    absl::MutexLock lock(&waiting.mutex);
    waiting.mutex.Await(absl::Condition(&none_left));
    size_t broken = 0;
    for (const absl::Status& error : waiting.errors) {
      if (error.ok()) continue;
      ++broken;
      if (options.warn) options.warn(std::string(error.message()));
    }
    return broken == endpoints_.size() ? waiting.errors.front() : absl::OkStatus();
  }

  std::vector<Endpoint> endpoints_;
  const rpc::TlsSessionCache sessions_;
  std::vector<std::unique_ptr<Answers>> answers_;
  std::atomic<size_t> next_answers_{0};
  std::vector<std::vector<std::shared_ptr<GrpcConnection>>> kept_;  // by endpoint
  std::vector<std::atomic<size_t>> next_kept_;                      // by endpoint
};

}  // namespace

absl::StatusOr<std::unique_ptr<KeyManagers>> MakeGrpcKeyManagers(
    const GrpcKeyManagerOptions& options) {
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError("the session names no key manager: give --key-manager");
  }
  if (options.mode == ConnectMode::kWarm && options.connections < options.endpoints.size()) {
    return absl::InvalidArgumentError("--connections is at least one for each key manager");
  }
  auto made = std::make_unique<GrpcKeyManagers>(options);
  RETURN_IF_ERROR(made->Start(options));
  return std::unique_ptr<KeyManagers>(std::move(made));
}

}  // namespace nark::load
