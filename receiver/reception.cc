#include "receiver/reception.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/datagram.h"

namespace nark::receiver {
namespace {

bool HasSubSession(const v1::Terms& terms, uint32_t id) {
  return id == 0 || std::any_of(terms.sub_sessions().begin(), terms.sub_sessions().end(),
                                [id](const v1::SubSession& sub) { return sub.id() == id; });
}

// The earlier one.
void Earlier(std::optional<Timestamp> other, std::optional<Timestamp>& first) {
  if (other && (!first || *other < *first)) first = other;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Reception>> Reception::Make(const VerifiedSession& session,
                                                           PlaintextSink& sink,
                                                           const ReceptionOptions& options,
                                                           const MakePlayOut& make_play_out) {
  auto reception = std::unique_ptr<Reception>(new Reception(session, sink, options.range));
  for (const uint32_t sub_session : options.sub_sessions) {
    if (!HasSubSession(session.terms(), sub_session)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the session has no sub-session ", sub_session));
    }
    ReassemblerOptions reassembler = options.reassembler;
    reassembler.wants = [&range = reception->range_, sub_session](const wire::Header& header) {
      return range.Takes(sub_session, header);
    };
    auto part = std::make_unique<Part>(session, sub_session, reassembler);
    ASSIGN_OR_RETURN(part->play_out, make_play_out(sub_session));
    reception->parts_.push_back(std::move(part));
  }
  if (reception->parts_.empty()) {
    return absl::InvalidArgumentError("nothing of the session is to be received");
  }
  return reception;
}

absl::StatusOr<std::unique_ptr<Reception>> Reception::Create(const VerifiedSession& session,
                                                             securespace::SecureSpace& secure_space,
                                                             PlaintextSink& sink,
                                                             const ReceptionOptions& options) {
  return Make(session, sink, options, [&](uint32_t sub_session) {
    return PlayOut::Create(session, sub_session, secure_space, sink, options.play_out);
  });
}

absl::StatusOr<std::unique_ptr<Reception>> Reception::CreatePreview(
    const VerifiedSession& session, PlaintextSink& sink, const ReceptionOptions& options) {
  return Make(session, sink, options, [&](uint32_t sub_session) {
    return PlayOut::CreatePreview(session, sub_session, sink, options.play_out);
  });
}

Reception::Part* Reception::Route(ByteView datagram) {
  const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
  if (parsed.drop != wire::Drop::kNone) return parts_.front().get();
  for (const auto& part : parts_) {
    if (part->tag != parsed.prefix.session_tag) continue;
    return sink_.Wants(part->sub_session, parsed.prefix.sender_id) ? part.get() : nullptr;
  }
  return parts_.front().get();
}

void Reception::OnDatagram(ByteView datagram, Timestamp now) {
  Part* part = Route(datagram);
  if (part == nullptr) {
    ++unwanted_;
    return;
  }
  part->reassembler.OnDatagram(datagram, now, complete_);
  for (CompleteAdu& adu : complete_) part->play_out->Add(std::move(adu), now);
  complete_.clear();
}

absl::Status Reception::Advance(Timestamp now) {
  for (const auto& part : parts_) {
    part->reassembler.Expire(now);
    const absl::Status played = part->play_out->Run(now);
    MoveFloors(*part);
    RETURN_IF_ERROR(played);
  }
  return absl::OkStatus();
}

void Reception::Hold(Timestamp now) {
  for (const auto& part : parts_) {
    part->reassembler.Expire(now);
    part->play_out->Trim();
    MoveFloors(*part);
  }
}

absl::Status Reception::Flush(Timestamp now) {
  for (const auto& part : parts_) {
    const absl::Status played = part->play_out->Flush(now);
    MoveFloors(*part);
    RETURN_IF_ERROR(played);
  }
  return absl::OkStatus();
}

absl::Status Reception::SetBlock(const std::shared_ptr<const ChameleonBlock>& block) {
  for (const auto& part : parts_) RETURN_IF_ERROR(part->play_out->SetBlock(block));
  return absl::OkStatus();
}

void Reception::SetLapsed(PlayOut::Lapsed lapsed) {
  for (const auto& part : parts_) part->play_out->SetLapsed(lapsed);
}

size_t Reception::kept() const {
  size_t sum = 0;
  for (const auto& part : parts_) sum += part->play_out->kept();
  return sum;
}

std::optional<Timestamp> Reception::NextDeadline() const {
  std::optional<Timestamp> next = NextHold();
  for (const auto& part : parts_) Earlier(part->play_out->NextDeadline(), next);
  return next;
}

std::optional<Timestamp> Reception::NextHold() const {
  std::optional<Timestamp> next;
  for (const auto& part : parts_) Earlier(part->reassembler.NextDeadline(), next);
  return next;
}

void Reception::MoveFloors(Part& part) {
  for (uint32_t sender : part.play_out->senders()) {
    part.reassembler.SetFloor(sender, part.play_out->floor(sender));
  }
}

bool Reception::IsBehindRange() const {
  bool any = false;
  for (const auto& part : parts_) {
    for (const uint32_t sender : session_.sender_ids()) {
      if (!sink_.Wants(part->sub_session, sender)) continue;
      if (!range_.IsBehind(part->sub_session, sender)) return false;
      any = true;
    }
  }
  return any && unfinished() == 0;
}

PlayOutStatistics Reception::adus() const {
  PlayOutStatistics sum;
  for (const auto& part : parts_) sum += part->play_out->statistics();
  return sum;
}

ReassemblerStatistics Reception::datagrams() const {
  ReassemblerStatistics sum;
  for (const auto& part : parts_) sum += part->reassembler.statistics();
  return sum;
}

size_t Reception::unfinished() const {
  size_t sum = 0;
  for (const auto& part : parts_) sum += part->reassembler.unfinished();
  return sum;
}

uint64_t Reception::signatures_checked() const {
  uint64_t sum = 0;
  for (const auto& part : parts_) sum += part->reassembler.signatures_checked();
  return sum;
}

}  // namespace nark::receiver
