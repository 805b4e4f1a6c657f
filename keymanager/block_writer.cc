#include "keymanager/block_writer.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <utility>

#include "nark/v1/keymanager.grpc.pb.h"

namespace nark::keymanager {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

}  // namespace

void BlockWriter::Send(Bytes sealed, BlockPlaces::Place place, std::chrono::milliseconds longest) {
  {
    absl::MutexLock lock(&mutex_);
    place_.emplace(std::move(place));
    sealed_ = std::move(sealed);
  }
  ++references_;
  alarm_.Set(gpr_time_from_millis(longest.count(), GPR_TIMESPAN),
             [this](bool rang) { OnAlarm(rang); });
  Next();
}

void BlockWriter::OnAlarm(bool rang) {
  if (rang) {
    absl::MutexLock lock(&mutex_);
    if (!done_) context_.TryCancel();
  }
  Unref();
}

void BlockWriter::OnDone() {
  {
    absl::MutexLock lock(&mutex_);
    done_ = true;
    place_.reset();  // here: the alarm may outlive the server
  }
  alarm_.Cancel();
  Unref();
}

void BlockWriter::OnWriteDone(bool ok) {
  if (ok) return Next();
  absl::MutexLock lock(&mutex_);
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the peer went away"));
}

void BlockWriter::Next() {
  absl::MutexLock lock(&mutex_);
  if (sent_ == sealed_.size()) return Finish(grpc::Status::OK);
  const ByteView piece =
      ByteView(sealed_).subspan(sent_, std::min(kPieceBytes, sealed_.size() - sent_));
  sent_ += piece.size();
  v1::GetMarkedBlockResponse message;
  message.set_total_bytes(static_cast<uint32_t>(sealed_.size()));
  message.set_piece(ToText(piece));
  piece_.Clear();  // of the piece before, which gRPC has taken
  bool own = false;
  const grpc::Status written =
      grpc::SerializationTraits<v1::GetMarkedBlockResponse>::Serialize(message, &piece_, &own);
  if (!written.ok()) return Finish(written);
  StartWrite(&piece_);
}

}  // namespace nark::keymanager
