#include "load/tally.h"

#include <algorithm>

#include "common/base/status.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

microseconds RoundInterval(microseconds run) {
  for (const microseconds length :
       {microseconds(milliseconds(100)), microseconds(milliseconds(200)),
        microseconds(milliseconds(500)), microseconds(seconds(1)), microseconds(seconds(2)),
        microseconds(seconds(5)), microseconds(seconds(10)), microseconds(seconds(30)),
        microseconds(seconds(60)), microseconds(seconds(300))}) {
    if (length * 100 >= run) return length;
  }
  return seconds(3600);
}

}  // namespace

Tally::Tally(microseconds run) : interval_(RoundInterval(run)) {}

Interval& Tally::IntervalOf(microseconds at) {
  const auto index = static_cast<size_t>(std::max(at, microseconds(0)) / interval_);
  if (index >= intervals_.size()) intervals_.resize(index + 1);
  return intervals_[index];
}

FailureCount& Tally::FailureOf(const absl::Status& status) {
  FailureCount& count = failures_[{absl::StatusCodeToString(status.code()), ReasonOf(status)}];
  if (count.example.empty()) count.example = std::string(status.message());
  return count;
}

void Tally::OnOffered(microseconds intended) {
  ++counts_.offered;
  ++IntervalOf(intended).offered;
}

void Tally::OnNotStarted(microseconds intended) {
  ++counts_.not_started;
  ++IntervalOf(intended).not_started;
}

void Tally::OnStarted(microseconds intended, microseconds started) {
  ++counts_.started;
  ++counts_.attempts;
  const microseconds lag = started - intended;
  lag_.Add(lag);
  if (lag > kLateStart) ++counts_.late;
}

void Tally::OnAttemptFailed(const absl::Status& status) { ++FailureOf(status).attempts; }

void Tally::OnEnded(const JoinRecord& join) {
  last_end_ = std::max(last_end_, join.ended);
  counts_.attempts += join.attempts - 1;
  if (join.handshake == Handshake::kFull) ++counts_.full_handshakes;
  if (join.handshake == Handshake::kResumed) ++counts_.resumed_handshakes;
  if (join.checked == JoinRecord::Grant::kChecked) ++counts_.checked;
  if (!join.status.ok()) {
    ++counts_.failed;
    ++IntervalOf(join.ended).failed;
    ++FailureOf(join.status).joins;
    return;
  }
  ++counts_.granted;
  ++IntervalOf(join.ended).granted;
  const microseconds latency = join.ended - join.intended;
  latency_.Add(latency);
  IntervalOf(join.intended).latency.Add(latency);
  if (join.handshake != Handshake::kKept) connect_.Add(join.connect);
  challenge_.Add(join.challenge);
  grant_.Add(join.grant);
}

}  // namespace nark::load
