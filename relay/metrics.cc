#include "relay/metrics.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace nark::relay {
namespace {

// Counters only grow, so the core's own number is reached by adding.
void Raise(serve::Counter& counter, uint64_t to) {
  const double missing = static_cast<double>(to) - counter.value();
  if (missing > 0) counter.Add(missing);
}

}  // namespace

RelayMetrics::RelayMetrics(serve::Metrics& metrics) : metrics_(metrics) {
  Collect();
  metrics.OnCollect([this] { Collect(); });
}

void RelayMetrics::Publish(Snapshot snapshot) {
  absl::MutexLock lock(&mutex_);
  latest_ = std::move(snapshot);
}

std::vector<serve::PageTable> RelayMetrics::Tables() const {
  absl::MutexLock lock(&mutex_);
  return {latest_.table};
}

std::vector<std::pair<std::string, std::string>> RelayMetrics::State() const {
  absl::MutexLock lock(&mutex_);
  return {{"subscribers", absl::StrCat(latest_.subscribers)},
          {"datagrams received", absl::StrCat(latest_.forwarded.received)},
          {"datagrams to subscribers", absl::StrCat(latest_.forwarded.sent)}};
}

void RelayMetrics::Collect() {
  absl::MutexLock lock(&mutex_);
  const auto raise = [this](std::string_view name, std::string_view help, uint64_t to,
                            const serve::Labels& labels = {}) {
    Raise(metrics_.AddCounter(name, help, labels), to);
  };
  const ForwarderStatistics& forwarded = latest_.forwarded;
  raise("nark_relay_datagrams_received_total", "Datagrams received.", forwarded.received);
  raise("nark_relay_received_bytes_total", "Bytes of datagrams received.",
        forwarded.received_bytes);
  for (int i = 1; i < kStops; ++i) {
    raise("nark_relay_datagrams_stopped_total", "Datagrams passed on to nobody, by reason.",
          forwarded.stopped[static_cast<size_t>(i)],
          {{"reason", std::string(Name(static_cast<Stop>(i)))}});
  }
  raise("nark_relay_datagrams_sent_total", "Datagrams sent, one for each subscriber.",
        forwarded.sent);
  raise("nark_relay_sent_bytes_total", "Bytes of datagrams sent, for each subscriber.",
        forwarded.sent_bytes);
  raise("nark_relay_datagrams_over_rate_total", "Datagrams beyond a subscriber's rate.",
        forwarded.over_rate);
  raise("nark_relay_datagrams_lost_total", "Datagrams that did not get in or out, by where.",
        latest_.lost_in, {{"where", "input"}});
  raise("nark_relay_datagrams_lost_total", "Datagrams that did not get in or out, by where.",
        latest_.lost_out, {{"where", "subscribers"}});
  raise("nark_relay_datagrams_lost_total", "Datagrams that did not get in or out, by where.",
        latest_.outputs_lost, {{"where", "outputs"}});
  for (int i = 0; i < kVerdicts; ++i) {
    raise("nark_relay_messages_total", "Messages about subscriptions, by what became of them.",
          latest_.messages[static_cast<size_t>(i)],
          {{"verdict", std::string(Name(static_cast<Verdict>(i)))}});
  }
  for (int i = 1; i < kAnswerStatuses; ++i) {
    raise("nark_relay_refusals_total", "Subscriptions refused, by reason.",
          latest_.refused[static_cast<size_t>(i)],
          {{"reason", std::string(Name(static_cast<AnswerStatus>(i)))}});
  }
  raise("nark_relay_unreachable_total", "Subscriptions that ICMP ended.", latest_.unreachable);
  metrics_.AddGauge("nark_relay_subscribers", "Subscribers.")
      .Set(static_cast<double>(latest_.subscribers));
}

}  // namespace nark::relay
