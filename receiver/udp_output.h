#ifndef NARK_RECEIVER_UDP_OUTPUT_H_
#define NARK_RECEIVER_UDP_OUTPUT_H_

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/net/datagram_io.h"
#include "receiver/output.h"

namespace nark::receiver {

// Datagrams of 1,316 bytes, as players of transport streams expect, or as many whole
// packets as the interface carries; the last one of an ADU is what is left. An ADU is not sent in
// one burst, which would overrun its receiver's buffer, but as evenly as can be, within `spread`.
class UdpOutput final : public Output {
 public:
  static constexpr size_t kDatagramBytes = 7 * 188;

  UdpOutput(std::string name, std::unique_ptr<net::DatagramSink> sink,
            std::chrono::microseconds spread)
      : name_(std::move(name)),
        sink_(std::move(sink)),
        datagram_bytes_(std::min(kDatagramBytes, sink_->datagram_bytes() / 188 * 188)),
        spread_(spread) {}

  const std::string& name() const override { return name_; }
  absl::Status Write(ByteView plaintext, Timestamp now) override;
  absl::Status Service(Timestamp now) override;
  void AddPolls(std::vector<pollfd>&) const override {}
  std::optional<Timestamp> NextDeadline() const override;
  bool congested() const override { return false; }
  bool drained() const override { return bursts_.empty(); }

 private:
  // What is left of an ADU, and when the last of it is due.
  struct Burst {
    Bytes bytes;
    size_t sent = 0;
    Timestamp end;
  };
  // How many bytes of all bursts are due between the last Service and `now`: as
  // few as keep every end.
  double DueBytes(Timestamp now) const;
  absl::Status SendWhile(double allowance);

  const std::string name_;
  const std::unique_ptr<net::DatagramSink> sink_;
  const size_t datagram_bytes_;
  const std::chrono::microseconds spread_;
  std::deque<Burst> bursts_;
  Timestamp served_;      // the last Service
  double allowance_ = 0;  // bytes that may be sent; negative: sent ahead of time
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_UDP_OUTPUT_H_
