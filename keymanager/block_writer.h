#ifndef NARK_KEYMANAGER_BLOCK_WRITER_H_
#define NARK_KEYMANAGER_BLOCK_WRITER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "common/base/bytes.h"

namespace nark::keymanager {

// The answer to one GetMarkedBlock: pieces of 64 KiB, each when the one before is on its
// way, so that a peer who reads slowly has no more of them than the block. Ends itself.
class BlockWriter final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // Counts itself in `open`, which outlives it, while it lives.
  explicit BlockWriter(std::atomic<size_t>& open) : open_(open) { ++open_; }

  // Either once, by any thread; the writer may be gone when it returns.
  void Send(Bytes sealed);
  void End(const grpc::Status& status) { Finish(status); }

  void OnWriteDone(bool ok) override;
  void OnDone() override { delete this; }

 private:
  ~BlockWriter() override { --open_; }
  void Next();

  std::atomic<size_t>& open_;
  Bytes sealed_;
  size_t sent_ = 0;
  grpc::ByteBuffer piece_;
};

}  // namespace nark::keymanager

#endif  // NARK_KEYMANAGER_BLOCK_WRITER_H_
