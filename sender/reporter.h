#ifndef NARK_SENDER_REPORTER_H_
#define NARK_SENDER_REPORTER_H_

#include <string>

#include "common/base/clock.h"
#include "common/net/datagram_io.h"
#include "common/serve/metrics.h"
#include "sender/broadcaster.h"
#include "sender/input.h"

namespace nark::sender {

// Shows what a broadcaster does: as nark_sender_* numbers, and as lines for people.
// One thread only; the numbers may be read by any.
class Reporter {
 public:
  // All must outlive it.
  Reporter(serve::Metrics& metrics, const Broadcaster& broadcaster, const Reservation& reservation,
           const net::DatagramSink& sink, const Input& input);

  // Brings the numbers up to date; to be called after every burst.
  void Update();

  // "sent 20 ADUs, 3.1 MB in 2280 datagrams (41 lost), 5.2 Mbit/s"
  std::string Summary(Timestamp now) const;
  // The same every few seconds, else empty.
  std::string Progress(Timestamp now);
  void Start(Timestamp now);

 private:
  void AddUpTo(serve::Counter& counter, uint64_t value, uint64_t& shown);

  const Broadcaster& broadcaster_;
  const Reservation& reservation_;
  const net::DatagramSink& sink_;
  const Input& input_;
  serve::Counter& adus_;
  serve::Counter& plaintext_bytes_;
  serve::Counter& datagrams_;
  serve::Counter& datagram_bytes_;
  serve::Counter& signatures_;
  serve::Counter& parity_fragments_;
  serve::Counter& lost_;
  serve::Counter& input_datagrams_;
  serve::Counter& input_missing_;
  serve::Counter& input_dropped_;
  serve::Gauge& next_id_;
  BroadcasterCounters shown_;
  uint64_t shown_lost_ = 0;
  InputCounters shown_input_;
  Timestamp started_{};
  Timestamp reported_{};
};

}  // namespace nark::sender

#endif  // NARK_SENDER_REPORTER_H_
