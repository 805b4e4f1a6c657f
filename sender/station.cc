#include "sender/station.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/cli/units.h"

namespace nark::sender {
namespace {

// Of plaintext in a burst: stays in the processor's cache until it is sent.
constexpr size_t kBurstBytes = 1 << 20;

}  // namespace

absl::StatusOr<Pace> Pace::Parse(std::string_view text) {
  if (text.empty()) return Pace{};
  if (text == "pcr") return Pace{Kind::kProgramme, 0};
  if (text == "max") return Pace{Kind::kMax, 0};
  absl::StatusOr<uint64_t> rate = cli::ParseRate(text);
  if (!rate.ok() || *rate == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--pace ", Absl(text), ": want pcr, max, or bits per second such as 20M"));
  }
  return Pace{Kind::kRate, *rate};
}

absl::Status Batching::Check() const {
  if (adus < 1 || adus > wire::kMaxBatch) {
    return absl::InvalidArgumentError(
        absl::StrCat("--batch-adus ", adus, ": want 1 to ", wire::kMaxBatch));
  }
  if (time.count() < 0 || time > kLongest) {
    return absl::InvalidArgumentError("--batch-time: want at most 1s");
  }
  return absl::OkStatus();
}

Station::Station(const Parts& parts, const Pace& pace, const Batching& batching, Events events)
    : parts_(parts), pace_(pace), batching_(batching), events_(std::move(events)) {}

absl::Status Station::Run() {
  while (reading_ != Reading::kStop) {
    std::optional<Due> first = NextDue();
    if (!first.has_value()) {
      RETURN_IF_ERROR(parts_.segmenter.status());
      if (reading_ == Reading::kEnded) break;
      ASSIGN_OR_RETURN(reading_, Fill(std::nullopt));
      continue;
    }
    if (first->slot.begin > parts_.waiter.Now() &&
        parts_.waiter.Wait(first->slot.begin, -1) == Wake::kStop) {
      next_ = std::move(first);
      reading_ = Reading::kStop;
      break;
    }
    RETURN_IF_ERROR(SendBurst(Gather(*std::move(first))));
    RETURN_IF_ERROR(input_error_);
    if (parts_.waiter.Wait(parts_.waiter.Now(), -1) == Wake::kStop) reading_ = Reading::kStop;
  }
  WarnOnce();
  return reading_ == Reading::kStop && live() ? SendRest() : absl::OkStatus();
}

// What goes with `first`, whose slot has begun.
std::vector<Station::Due> Station::Gather(Due first) {
  const Timestamp now = parts_.waiter.Now();
  const Timestamp closes = now + batching_.time;
  // A slow stream gains nothing by waiting: nothing comes.
  const bool fast = last_ready_.has_value() && now - *last_ready_ < batching_.time;
  last_ready_ = now;
  size_t bytes = first.adu.bytes.size();
  std::vector<Due> burst;
  burst.push_back(std::move(first));
  while (bytes < kBurstBytes && burst.size() < batching_.adus) {
    std::optional<Due> more = NextDue();
    if (!more.has_value()) {
      if (!fast || reading_ != Reading::kMore) break;
      absl::StatusOr<Reading> reading = Fill(closes);
      // What is in hand is sent all the same.
      input_error_ = reading.status();
      if (!reading.ok() || *reading == Reading::kLate) break;
      reading_ = *reading;
      continue;
    }
    if (more->slot.begin > closes || bytes + more->adu.bytes.size() > kBurstBytes) {
      next_ = std::move(more);
      break;
    }
    last_ready_ = parts_.waiter.Now();
    bytes += more->adu.bytes.size();
    burst.push_back(*std::move(more));
  }
  return burst;
}

absl::Status Station::SendRest() {
  parts_.input.Close();
  for (Input::State state = Input::State::kOpen;;) {
    while (std::optional<Due> due = NextDue()) {
      RETURN_IF_ERROR(SendBurst(Gather(*std::move(due))));
    }
    RETURN_IF_ERROR(parts_.segmenter.status());
    if (state == Input::State::kEnded) return absl::OkStatus();
    ASSIGN_OR_RETURN(state,
                     parts_.input.Read([this](ByteView bytes) { parts_.segmenter.Append(bytes); }));
    if (state == Input::State::kEnded) parts_.segmenter.Finish();
  }
}

absl::StatusOr<Station::Reading> Station::Fill(std::optional<Timestamp> due) {
  switch (parts_.waiter.Wait(due, parts_.input.descriptor())) {
    case Wake::kStop:
      return Reading::kStop;
    case Wake::kDue:
      return Reading::kLate;
    case Wake::kInput:
      break;
  }
  ASSIGN_OR_RETURN(Input::State state,
                   parts_.input.Read([this](ByteView bytes) { parts_.segmenter.Append(bytes); }));
  if (state == Input::State::kOpen) return Reading::kMore;
  parts_.segmenter.Finish();
  return Reading::kEnded;
}

std::optional<Station::Due> Station::NextDue() {
  if (next_.has_value()) return std::exchange(next_, std::nullopt);
  std::optional<Adu> adu = parts_.segmenter.Next();
  WarnOnce();
  if (!adu.has_value()) return std::nullopt;
  ChoosePacer();
  Timestamp now = parts_.waiter.Now();
  Slot slot = pacer_->Next(*adu, now);
  // A live ADU has had its time when it is complete. Waiting for the programme's would
  // let the encoder's clock, where it is the faster one, fill every buffer.
  bool by_rate = pace_.kind == Pace::Kind::kRate;
  if (live() && !by_rate && slot.begin > now) slot.begin = now;
  return Due{*std::move(adu), slot};
}

// With the first ADU in hand it is known how the input tells time, if at all.
void Station::ChoosePacer() {
  if (pacer_.has_value()) return;
  bool by_rate_alone = parts_.segmenter.clock_source() == Segmenter::ClockSource::kByteRate;
  switch (pace_.kind) {
    case Pace::Kind::kMax:
      pacer_ = Pacer::Max();
      break;
    case Pace::Kind::kRate:
      pacer_ = Pacer::AtRate(pace_.bits_per_second);
      break;
    case Pace::Kind::kAuto:
      pacer_ = by_rate_alone ? Pacer::Max() : Pacer::ByProgramme();
      break;
    case Pace::Kind::kProgramme:
      pacer_ = Pacer::ByProgramme();
      break;
  }
}

void Station::WarnOnce() {
  if (warned_) return;
  std::string warning = parts_.segmenter.warning();
  if (warning.empty() && pace_.kind == Pace::Kind::kProgramme &&
      parts_.segmenter.clock_source() == Segmenter::ClockSource::kNone) {
    warning = "the input has no programme clock (PCR) to pace by: sending unpaced";
  }
  if (warning.empty()) return;
  warned_ = true;
  if (events_.warn) events_.warn(warning);
}

absl::Status Station::SendBurst(std::vector<Due> burst) {
  std::vector<OutgoingAdu> adus;
  adus.reserve(burst.size());
  for (const Due& due : burst) {
    adus.push_back({.plaintext = due.adu.bytes,
                    .random_access = due.adu.random_access,
                    .clear = {},
                    .samples = due.adu.samples});
    if (parts_.clear != nullptr) adus.back().clear = parts_.clear->Next(due.adu.bytes);
  }
  const std::string warning = parts_.clear != nullptr ? parts_.clear->TakeWarning() : "";
  if (!warning.empty() && events_.warn) events_.warn(warning);
  const Slot& last = burst.back().slot;
  Timestamp begin = burst.front().slot.begin;
  parts_.sink.SetSlot({begin, last.begin + last.length - begin});
  ASSIGN_OR_RETURN(uint64_t first_id, parts_.broadcaster.SendBurst(adus));
  return events_.sent ? events_.sent(first_id, adus) : absl::OkStatus();
}

absl::Status Recognise(Input& input, Segmenter& segmenter, Waiter& waiter) {
  while (!segmenter.Recognise()) {
    if (waiter.Wait(std::nullopt, input.descriptor()) == Wake::kStop) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Input::State state,
                     input.Read([&](ByteView bytes) { segmenter.Append(bytes); }));
    if (state == Input::State::kEnded) segmenter.Finish();
  }
  return segmenter.status();
}

}  // namespace nark::sender
