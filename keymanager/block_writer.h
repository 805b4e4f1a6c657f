#ifndef NARK_KEYMANAGER_BLOCK_WRITER_H_
#define NARK_KEYMANAGER_BLOCK_WRITER_H_

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/bytes.h"
#include "keymanager/block_places.h"

namespace nark::keymanager {

// The answer to one GetMarkedBlock: pieces of 64 KiB, each when the one before is on its
// way, so that a peer who reads slowly has no more of them than the block, and that not for
// ever. Deletes itself when the call is over.
class BlockWriter final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit BlockWriter(grpc::CallbackServerContext& context) : context_(context) {}

  // Either of them once, by any thread; the writer may be gone when it returns. What is not
  // sent after `longest` is not sent any more: the call is cancelled. The place is held until
  // the call is over.
  void Send(Bytes sealed, BlockPlaces::Place place, std::chrono::milliseconds longest);
  void End(const grpc::Status& status) { Finish(status); }

  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  ~BlockWriter() override = default;
  void Next();
  void OnAlarm(bool rang);
  void Unref() {
    if (--references_ == 0) delete this;
  }

  grpc::CallbackServerContext& context_;
  std::atomic<int> references_{1};  // the call's, and the alarm's
  // gRPC's threads take turns; the lock is how one sees what the one before did.
  absl::Mutex mutex_;
  std::optional<BlockPlaces::Place> place_ ABSL_GUARDED_BY(mutex_);
  Bytes sealed_ ABSL_GUARDED_BY(mutex_);
  size_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::ByteBuffer piece_ ABSL_GUARDED_BY(mutex_);
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // the context is not to be touched any more
  grpc::Alarm alarm_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_BLOCK_WRITER_H_
