#ifndef NARK_SENDER_BURST_LAYOUT_H_
#define NARK_SENDER_BURST_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/net/datagram_io.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"

namespace nark::sender {

// A signed ADU and how its datagrams are to be made.
struct SignedAdu {
  enum class Form : uint8_t { kWhole, kFragments };
  const wire::Header* header = nullptr;
  ByteView signed_header;
  const std::vector<Bytes>* pages = nullptr;  // of hashes
  ByteView ciphertext;
  ByteView parity;  // its fragments, one behind the other
  Form form = Form::kFragments;
  uint32_t copies = 1;  // of header and pages, or of the one datagram; at least 1
};

// Lays out the datagrams of ADUs that are sent together. The fragments go ADU by ADU,
// source before parity. The first copies of headers and pages go before all of them, the
// last ones behind, the others evenly between, so that no short gap takes two copies of
// anything. Datagrams of one size stand together where they can, so that the kernel takes
// them in few messages. One thread only.
class BurstLayout {
 public:
  // Valid until the next call; views what the ADUs view.
  std::span<const net::GatheredDatagram> Arrange(std::span<const SignedAdu> adus);

 private:
  // One copy of an ADU's header and pages, or of its one datagram.
  struct Copy {
    size_t before;    // which fragment of the burst
    uint32_t number;  // of the copy
    size_t adu;
    friend auto operator<=>(const Copy&, const Copy&) = default;
  };
  void PlanCopies(std::span<const SignedAdu> adus);
  void ReserveHeads(std::span<const SignedAdu> adus);
  void AddCopy(const SignedAdu& adu);
  void AddWhole(const SignedAdu& adu);
  void AddDatagram(const wire::Header& header, wire::DatagramKind kind, uint32_t index,
                   ByteView payload);

  // Kept from burst to burst, so that sending allocates nothing per fragment.
  std::vector<Copy> copies_;
  Bytes heads_;  // of every datagram
  std::vector<net::GatheredDatagram> datagrams_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_BURST_LAYOUT_H_
