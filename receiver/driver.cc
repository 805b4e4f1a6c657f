#include "receiver/driver.h"

#include <time.h>

#include <algorithm>
#include <optional>

#include "common/base/status.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;

constexpr size_t kBatch = 256;
// Datagrams taken in before what they completed is played.
constexpr size_t kMostBatches = 8;

}  // namespace

absl::StatusOr<Driver::Source> Driver::Turn(std::span<const int> wake, microseconds longest) {
  Wait(wake, WaitTime(longest));
  RETURN_IF_ERROR(TakeIn());
  const Timestamp now = clock_.Now();
  ASSIGN_OR_RETURN(const Source source, PlayDue(now));
  RETURN_IF_ERROR(outputs_.Service(now));
  return source;
}

microseconds Driver::WaitTime(microseconds longest) const {
  for (const Feed& feed : feeds_) {
    if (feed.source->more() && Reading(feed)) return microseconds(0);
  }
  const bool asking = Asking();
  if (asking && (ask_again_ || ended())) return microseconds(0);
  const Timestamp now = clock_.Now();
  microseconds wait = longest;
  std::optional<Timestamp> reception;
  if (!waits_for_grant()) reception = asking ? reception_.NextDeadline() : reception_.NextHold();
  for (const auto& next : {reception, outputs_.NextDeadline()}) {
    if (!next) continue;
    wait = *next <= now ? microseconds(0) : std::min<microseconds>(wait, *next - now);
  }
  return wait;
}

void Driver::Wait(std::span<const int> wake, microseconds longest) {
  polls_.clear();
  for (const Feed& feed : feeds_) {
    if (feed.source->descriptor() >= 0 && Reading(feed))
      polls_.push_back({feed.source->descriptor(), POLLIN, 0});
  }
  for (int fd : wake) polls_.push_back({fd, POLLIN, 0});
  outputs_.AddPolls(polls_);
  timespec limit{};
  limit.tv_sec = longest.count() / 1'000'000;
  limit.tv_nsec = longest.count() % 1'000'000 * 1000;
  // An error or an interrupt is a turn with nothing to do.
  ::ppoll(polls_.data(), polls_.size(), &limit, nullptr);
}

void Driver::SetSources(std::vector<net::DatagramSource*> sources) {
  feeds_.clear();
  for (net::DatagramSource* source : sources) feeds_.push_back({source});
}

bool Driver::plays_files() const {
  return std::all_of(feeds_.begin(), feeds_.end(), [](const Feed& feed) { return feed.is_file(); });
}

bool Driver::ended() const {
  return std::all_of(feeds_.begin(), feeds_.end(), [](const Feed& feed) { return feed.ended; });
}

absl::Status Driver::TakeIn() {
  for (Feed& feed : feeds_) RETURN_IF_ERROR(TakeIn(feed));
  return absl::OkStatus();
}

absl::Status Driver::TakeIn(Feed& feed) {
  if (!Reading(feed)) return absl::OkStatus();
  for (size_t batch = 0; batch < kMostBatches; ++batch) {
    const Timestamp now = clock_.Now();
    ASSIGN_OR_RETURN(const size_t taken, feed.source->Receive(kBatch, [&](ByteView datagram) {
      reception_.OnDatagram(datagram, now);
    }));
    feed.ended = feed.source->exhausted();
    if (net::Recording* recording = feed.source->recording()) {
      if (const auto beginning = reception_.beginning_us()) {
        RETURN_IF_ERROR(recording->SetBeginning(*beginning));
      }
      feed.ended |= recording->in_order() && reception_.IsBehindRange();
    }
    if (feed.ended) break;
    if (taken < kBatch) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<Driver::Source> Driver::PlayDue(Timestamp now) {
  if (waits_for_grant()) return Source::kOpen;
  if (!Asking()) {
    reception_.Hold(now);
    return Source::kOpen;
  }
  ask_again_ = false;
  if (!ended()) {
    RETURN_IF_ERROR(reception_.Advance(now));
    return Source::kOpen;
  }
  // Nothing comes that could be waited for.
  RETURN_IF_ERROR(reception_.Flush(now));
  return reception_.kept() > 0 ? Source::kOpen : Source::kEnded;
}

absl::Status Driver::Finish(microseconds longest) {
  const Timestamp end = clock_.Now() + longest;
  for (Feed& feed : feeds_) {
    if (!feed.is_file()) RETURN_IF_ERROR(TakeIn(feed));
  }
  bool flushed = !playing_;
  for (Timestamp now = clock_.Now(); now < end; now = clock_.Now()) {
    RETURN_IF_ERROR(outputs_.Service(now));
    // What a congested output would not write is not asked for.
    if (!flushed && !outputs_.congested()) {
      RETURN_IF_ERROR(reception_.Flush(now));
      flushed = true;
    }
    if (flushed && outputs_.drained()) return absl::OkStatus();
    microseconds wait = end - now;
    if (auto next = outputs_.NextDeadline()) {
      wait = std::clamp<microseconds>(*next - now, microseconds(0), wait);
    }
    polls_.clear();
    outputs_.AddPolls(polls_);
    const int milliseconds =
        static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
    ::poll(polls_.data(), polls_.size(), milliseconds);
  }
  return absl::DeadlineExceededError("an output did not take all that was there for it");
}

}  // namespace nark::receiver
