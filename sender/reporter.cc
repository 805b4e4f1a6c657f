#include "sender/reporter.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"

namespace nark::sender {
namespace {

constexpr std::chrono::seconds kBetweenLines{3};

}  // namespace

Reporter::Reporter(serve::Metrics& metrics, const Broadcaster& broadcaster,
                   const Reservation& reservation, const net::DatagramSink& sink,
                   const Input& input)
    : broadcaster_(broadcaster),
      reservation_(reservation),
      sink_(sink),
      input_(input),
      adus_(metrics.AddCounter("nark_sender_adus_total", "ADUs sent.")),
      plaintext_bytes_(metrics.AddCounter("nark_sender_plaintext_bytes_total",
                                          "Bytes of the input that were sent.")),
      datagrams_(
          metrics.AddCounter("nark_sender_datagrams_total", "Datagrams given to the network.")),
      datagram_bytes_(
          metrics.AddCounter("nark_sender_datagram_bytes_total", "Bytes of these datagrams.")),
      signatures_(metrics.AddCounter("nark_sender_signatures_total",
                                     "Signatures over one header or a batch of them.")),
      parity_fragments_(
          metrics.AddCounter("nark_sender_parity_fragments_total", "Parity fragments sent.")),
      lost_(metrics.AddCounter("nark_sender_datagrams_lost_total",
                               "Datagrams that the network refused.")),
      input_datagrams_(metrics.AddCounter("nark_sender_input_datagrams_total",
                                          "Datagrams that the input brought.")),
      input_missing_(
          metrics.AddCounter("nark_sender_input_missing_total",
                             "Datagrams that never arrived at the input, where RTP numbers them.")),
      input_dropped_(metrics.AddCounter("nark_sender_input_dropped_total",
                                        "Datagrams that the input had no room for.")),
      next_id_(metrics.AddGauge("nark_sender_next_adu_id", "The id of the next ADU.")) {
  next_id_.Set(static_cast<double>(reservation_.next_id()));
}

void Reporter::Start(Timestamp now) { started_ = reported_ = now; }

void Reporter::AddUpTo(serve::Counter& counter, uint64_t value, uint64_t& shown) {
  counter.Add(static_cast<double>(value - shown));
  shown = value;
}

void Reporter::Update() {
  const BroadcasterCounters& now = broadcaster_.counters();
  AddUpTo(adus_, now.adus, shown_.adus);
  AddUpTo(plaintext_bytes_, now.plaintext_bytes, shown_.plaintext_bytes);
  AddUpTo(datagrams_, now.datagrams, shown_.datagrams);
  AddUpTo(datagram_bytes_, now.datagram_bytes, shown_.datagram_bytes);
  AddUpTo(signatures_, now.signatures, shown_.signatures);
  AddUpTo(parity_fragments_, now.parity_fragments, shown_.parity_fragments);
  AddUpTo(lost_, sink_.lost(), shown_lost_);
  InputCounters input = input_.counters();
  AddUpTo(input_datagrams_, input.datagrams, shown_input_.datagrams);
  // A late one is no longer missing, a counter never falls.
  if (input.missing > shown_input_.missing) {
    AddUpTo(input_missing_, input.missing, shown_input_.missing);
  }
  AddUpTo(input_dropped_, input.dropped, shown_input_.dropped);
  next_id_.Set(static_cast<double>(reservation_.next_id()));
}

std::string Reporter::Summary(Timestamp now) const {
  const BroadcasterCounters& counters = broadcaster_.counters();
  double seconds = std::max(1e-3, std::chrono::duration<double>(now - started_).count());
  std::string line = absl::StrFormat(
      "sent %d ADUs, %d bytes in %d datagrams (%d lost), %.1f Mbit/s; next ADU id %d",
      counters.adus, counters.plaintext_bytes, counters.datagrams, sink_.lost(),
      static_cast<double>(counters.plaintext_bytes) * 8e-6 / seconds, reservation_.next_id());
  InputCounters input = input_.counters();
  if (input.datagrams > 0) {
    absl::StrAppendFormat(&line, "; input: %d datagrams (%d missing, %d dropped)", input.datagrams,
                          input.missing, input.dropped);
  }
  return line;
}

std::string Reporter::Progress(Timestamp now) {
  if (now - reported_ < kBetweenLines) return {};
  reported_ = now;
  return Summary(now);
}

}  // namespace nark::sender
