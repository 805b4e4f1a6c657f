#include "receiver/metrics.h"

namespace nark::receiver {
namespace {

// Counters only grow, so the core's own number is reached by adding.
void Raise(serve::Counter& counter, uint64_t to) {
  const double missing = static_cast<double>(to) - counter.value();
  if (missing > 0) counter.Add(missing);
}

}  // namespace

ReceiverMetrics::ReceiverMetrics(serve::Metrics& metrics) : metrics_(metrics) {
  Collect();
  metrics.OnCollect([this] { Collect(); });
}

void ReceiverMetrics::Publish(const Statistics& statistics) {
  absl::MutexLock lock(&mutex_);
  latest_ = statistics;
}

void ReceiverMetrics::Collect() {
  absl::MutexLock lock(&mutex_);
  const auto raise = [this](std::string_view name, std::string_view help, uint64_t to) {
    Raise(metrics_.AddCounter(name, help), to);
  };
  raise("nark_receiver_datagrams_total", "Datagrams received.", latest_.datagrams.datagrams);
  raise("nark_receiver_datagram_bytes_total", "Bytes of datagrams received.",
        latest_.datagrams.bytes);
  raise("nark_receiver_datagrams_unwanted_total", "Datagrams of streams that no output takes.",
        latest_.unwanted);
  for (size_t i = 0; i < kDrops; ++i) {
    Raise(metrics_.AddCounter("nark_receiver_datagrams_dropped_total",
                              "Datagrams that were of no use, by reason.",
                              {{"reason", std::string(Name(static_cast<Drop>(i)))}}),
          latest_.datagrams.drops[i]);
  }
  raise("nark_receiver_socket_drops_total",
        "Datagrams that the kernel dropped because the socket's buffer was full.",
        latest_.socket_drops);
  raise("nark_receiver_signatures_checked_total", "Header signatures verified.",
        latest_.signatures_checked);
  raise("nark_receiver_adus_received_total", "ADUs that were complete.", latest_.adus.received);
  raise("nark_receiver_adus_delivered_total", "ADUs written.", latest_.adus.delivered);
  raise("nark_receiver_delivered_bytes_total", "Bytes written to each output.",
        latest_.adus.delivered_bytes);
  raise("nark_receiver_adus_incomplete_total", "ADUs given up for want of fragments.",
        latest_.datagrams.incomplete);
  raise("nark_receiver_adus_repaired_total", "ADUs complete with the help of parity.",
        latest_.datagrams.repaired);
  raise("nark_receiver_fragments_repaired_total", "Source fragments that came out of parity.",
        latest_.datagrams.repaired_fragments);
  raise("nark_receiver_adus_wrong_parity_total",
        "ADUs whose signed parity contradicted their source.", latest_.datagrams.wrong_parity);
  raise("nark_receiver_adus_missing_total", "ADU ids that play-out passed.", latest_.adus.missing);
  raise("nark_receiver_adus_behind_total", "ADUs complete after play-out had passed them.",
        latest_.adus.behind);
  raise("nark_receiver_adus_crowded_out_total", "ADUs given up while outputs were congested.",
        latest_.adus.crowded_out);
  raise("nark_receiver_adus_damaged_total", "ADUs that did not decrypt.", latest_.adus.damaged);
  for (const auto& [reason, count] : latest_.adus.refused) {
    Raise(metrics_.AddCounter("nark_receiver_adus_refused_total",
                              "ADUs whose key the secure space refused, by reason.",
                              {{"reason", ReasonName(reason)}}),
          count);
  }
  for (const auto& [reason, count] : latest_.adus.put_off) {
    Raise(metrics_.AddCounter("nark_receiver_adus_put_off_total",
                              "Refusals of a recording's ADUs that waited for a newer grant, by "
                              "reason.",
                              {{"reason", ReasonName(reason)}}),
          count);
  }
}

}  // namespace nark::receiver
