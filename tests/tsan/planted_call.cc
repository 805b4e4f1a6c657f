// Two calls at once that count without a lock: TSan must see it although gRPC, whose own locks
// it is told of, hands them to their threads.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nark/v1/keymanager.grpc.pb.h"

namespace {

class Counter final : public nark::v1::KeyManager::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const nark::v1::GetChallengeRequest*,
                                         nark::v1::GetChallengeResponse*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    // Both are here, then one after the other: TSan may miss what happens in the very same
    // moment. Relaxed, so that it orders nothing.
    const int place = arrived_.fetch_add(1, std::memory_order_relaxed);
    while (arrived_.load(std::memory_order_relaxed) < 2 ||
           counted_.load(std::memory_order_relaxed) < place) {
    }
    ++number_;
    counted_.fetch_add(1, std::memory_order_relaxed);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  std::atomic<int> arrived_ = 0, counted_ = 0;
  int number_ = 0;
};

void Call(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = nark::v1::KeyManager::NewStub(channel);
  grpc::ClientContext context;
  nark::v1::GetChallengeResponse response;
  stub->GetChallenge(&context, nark::v1::GetChallengeRequest(), &response);
}

}  // namespace

int main() {
  Counter counter;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&counter);
  const auto server = builder.BuildAndStart();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    threads.emplace_back(Call,
                         grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port),
                                                   grpc::InsecureChannelCredentials(), arguments));
  }
  for (std::thread& thread : threads) thread.join();
  server->Shutdown();
  return 0;
}
