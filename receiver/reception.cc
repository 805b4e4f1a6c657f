#include "receiver/reception.h"

#include <utility>

#include "common/base/status.h"

namespace nark::receiver {
namespace {
constexpr uint32_t kMainStream = 0;
}  // namespace

absl::StatusOr<std::unique_ptr<Reception>> Reception::Create(const VerifiedSession& session,
                                                             securespace::SecureSpace& secure_space,
                                                             PlaintextSink& sink,
                                                             const ReceptionOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<PlayOut> play_out,
                   PlayOut::Create(session, kMainStream, secure_space, sink, options.play_out));
  return std::unique_ptr<Reception>(new Reception(session, options, std::move(play_out)));
}

Reception::Reception(const VerifiedSession& session, const ReceptionOptions& options,
                     std::unique_ptr<PlayOut> play_out)
    : reassembler_(session, kMainStream, options.reassembler), play_out_(std::move(play_out)) {}

void Reception::OnDatagram(ByteView datagram, Timestamp now) {
  reassembler_.OnDatagram(datagram, now, complete_);
  for (CompleteAdu& adu : complete_) play_out_->Add(std::move(adu), now);
  complete_.clear();
}

absl::Status Reception::Advance(Timestamp now) {
  reassembler_.Expire(now);
  const absl::Status played = play_out_->Run(now);
  MoveFloors();
  return played;
}

void Reception::Hold(Timestamp now) {
  reassembler_.Expire(now);
  play_out_->Trim();
  MoveFloors();
}

absl::Status Reception::Flush(Timestamp now) {
  const absl::Status played = play_out_->Flush(now);
  MoveFloors();
  return played;
}

std::optional<Timestamp> Reception::NextDeadline() const {
  const std::optional<Timestamp> play = play_out_->NextDeadline();
  const std::optional<Timestamp> expire = reassembler_.NextDeadline();
  if (!play || (expire && *expire < *play)) return expire;
  return play;
}

void Reception::MoveFloors() {
  for (uint32_t sender : play_out_->senders()) {
    reassembler_.SetFloor(sender, play_out_->floor(sender));
  }
}

}  // namespace nark::receiver
