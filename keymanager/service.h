#ifndef NARK_KEYMANAGER_SERVICE_H_
#define NARK_KEYMANAGER_SERVICE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/serve/metrics.h"
#include "common/serve/work_queue.h"
#include "keymanager/block_places.h"
#include "keymanager/block_writer.h"
#include "keymanager/grant_authority.h"
#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {

// nark.v1.KeyManager over a GrantAuthority, which can be exchanged while calls
// run: that is how keys and lists are reloaded. Grants are decided on by a few threads
// with a bounded line before them: when more is asked for than they can do, exchanges are
// turned away early, at their challenge, with OVERLOADED. What strangers send is parsed when its
// turn has come, and walked through first. Thread-safe.
class KeyManagerService final
    : public v1::KeyManager::WithRawCallbackMethod_GetChallenge<
          v1::KeyManager::WithRawCallbackMethod_IssueGrant<
              v1::KeyManager::WithRawCallbackMethod_GetMarkedBlock<v1::KeyManager::Service>>> {
 public:
  // How many marked blocks are on their way at once, and for how long: who does not read them
  // takes others' places.
  struct BlockLimits {
    BlockPlaces::Limits places = {};
    std::chrono::milliseconds longest = std::chrono::seconds(30);
  };
  // Counts into `metrics`, which must outlive the service, as must `refusals`.
  KeyManagerService(std::shared_ptr<GrantAuthority> authority, serve::Metrics& metrics,
                    RefusalLog& refusals, serve::WorkQueue::Limits queue, BlockLimits blocks);
  // The server that calls it must have ended.
  ~KeyManagerService() override;

  // Calls that come from now on are answered by `authority`.
  void Replace(std::shared_ptr<GrantAuthority> authority);
  std::shared_ptr<GrantAuthority> authority() const;

  // Requests for grants that wait for a thread.
  size_t queue_length() const { return queue_.length(); }

  grpc::ServerUnaryReactor* GetChallenge(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* IssueGrant(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetMarkedBlock(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class Method { kGetChallenge, kIssueGrant, kGetMarkedBlock };
  static const char* NameOf(Method method);
  // What is counted of one method.
  struct Counts {
    std::array<std::atomic<serve::Counter*>, 17> by_code{};
    serve::Histogram* seconds = nullptr;
  };

  // A call that has arrived; gRPC owns all of it until Finish.
  struct Call {
    Method method;
    grpc::CallbackServerContext* context;
    const grpc::ByteBuffer* request;
    grpc::ByteBuffer* response;         // of what is answered at once
    grpc::ServerUnaryReactor* reactor;  // the same
    BlockWriter* writer;                // of GetMarkedBlock alone
    Clock::time_point arrival;
  };

  // Answers it when a thread of the queue is there for it, or turns it away.
  void Enqueue(const Call& call);
  absl::Status Decide(const Call& call);
  absl::Status MakeChallenge(const Call& call);
  absl::Status MakeGrant(const Call& call);
  absl::Status MakeBlock(const Call& call);
  absl::Status Malformed(const absl::Status& why);
  void Finish(const Call& call, const absl::Status& status);
  void TurnAway(const Call& call);
  serve::Counter& CountOf(Method method, absl::StatusCode code);

  serve::Metrics& metrics_;
  RefusalLog& refusals_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<GrantAuthority> authority_ ABSL_GUARDED_BY(mutex_);
  serve::Counter& challenges_;
  serve::Counter& grants_;
  serve::Counter& blocks_;
  serve::Counter& shed_;
  serve::Histogram& decision_seconds_;
  serve::Histogram& queue_seconds_;
  std::array<Counts, 3> counts_;
  const BlockLimits block_limits_;
  BlockPlaces places_;
  serve::WorkQueue queue_;  // last: its threads use all the rest
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_SERVICE_H_
