#ifndef NARK_SENDER_PACED_SINK_H_
#define NARK_SENDER_PACED_SINK_H_

#include "common/net/datagram_io.h"
#include "sender/pacer.h"
#include "sender/waiter.h"

namespace nark::sender {

// Spreads the datagrams of a burst over a slot, so that a large ADU does not
// overrun receivers' buffers. A stop request sends what is left at once. One thread
// only.
class PacedSink final : public net::DatagramSink {
 public:
  // Both must outlive it.
  PacedSink(net::DatagramSink& sink, Waiter& waiter) : sink_(sink), waiter_(waiter) {}

  // When the next call sends: its first datagram at the slot's begin, the last
  // before its end.
  void SetSlot(const Slot& slot) { slot_ = slot; }

  absl::Status Send(std::span<const ByteView> datagrams) override;
  absl::Status SendGathered(std::span<const net::GatheredDatagram> datagrams) override;
  uint64_t lost() const override { return sink_.lost(); }

 private:
  net::DatagramSink& sink_;
  Waiter& waiter_;
  Slot slot_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_PACED_SINK_H_
