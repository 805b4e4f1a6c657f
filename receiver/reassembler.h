#ifndef NARK_RECEIVER_REASSEMBLER_H_
#define NARK_RECEIVER_REASSEMBLER_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/object/session.h"
#include "common/wire/header.h"
#include "receiver/drop.h"

namespace nark::receiver {

struct ReassemblerOptions {
  // Datagrams of ADUs whose header has not verified, and fragments whose page of
  // hashes is missing, with what it takes to keep them.
  size_t waiting_bytes = 8 << 20;
  // ADUs whose header has verified.
  size_t assembly_bytes = 64 << 20;
  // Different datagrams for one place of an ADU that wait for its header.
  size_t candidates = 4;
  // Headers that fail their signature and may be checked in a second: what a
  // flood of forged ones may cost.
  uint32_t bad_headers_per_second = 4000;
  // An ADU is given up after so long without a datagram that is proven its own.
  std::chrono::microseconds patience = std::chrono::seconds(30);
  // ADUs done with that are remembered, so that their duplicates are known.
  size_t remembered = 8192;
  // Whether an ADU is wanted, asked with its verified header; all are where there is none.
  std::function<bool(const wire::Header&)> wants;
};

// datagrams = used + every drop + what waits.
struct ReassemblerStatistics {
  uint64_t datagrams = 0;
  uint64_t bytes = 0;
  uint64_t used = 0;
  std::array<uint64_t, kDrops> drops{};
  uint64_t complete = 0;
  // Verified header, but given up: time, memory, or play-out went past.
  uint64_t incomplete = 0;
  // Complete with the help of parity, and source fragments that came out of it.
  uint64_t repaired = 0;
  uint64_t repaired_fragments = 0;
  // ADUs whose parity was signed and yet contradicted the source.
  uint64_t wrong_parity = 0;

  ReassemblerStatistics& operator+=(const ReassemblerStatistics& other);
};

// An ADU as the sender signed it: every byte was checked against the header.
struct CompleteAdu {
  wire::Header header;
  Bytes signed_header;  // with its length and authentication field, as it came
  Bytes ciphertext;
};

// Puts the datagrams of one (sub-)session together to complete, verified ADUs,
// whatever is lost, doubled, reordered or forged, in bounded memory and constant
// time a datagram. Until a header has verified, nothing of its ADU is believed:
// datagrams wait, several candidates for one place; what waits moves nothing and
// evicts nothing that has verified. After that each fragment is checked against
// the signed header as it arrives, so a forged one spoils nothing, and an ADU with parity
// is complete as soon as each of its blocks has as many genuine fragments as source
// fragments. One thread only (docs/wire.md).
class Reassembler {
 public:
  // `session` must outlive it.
  Reassembler(const VerifiedSession& session, uint32_t sub_session,
              const ReassemblerOptions& options = {});
  ~Reassembler();

  // Takes one datagram and appends what it completed to `complete`.
  void OnDatagram(ByteView datagram, Timestamp now, std::vector<CompleteAdu>& complete);

  // ADUs of this sender below `floor` are of no use any more. Never goes back.
  void SetFloor(uint32_t sender_id, uint64_t floor);

  // Gives up what has waited too long.
  void Expire(Timestamp now);
  // When Expire has something to do.
  std::optional<Timestamp> NextDeadline() const;

  const ReassemblerStatistics& statistics() const;
  // Memory in use, by the two limits, and ADUs that have verified and are not
  // complete.
  size_t waiting_bytes() const;
  size_t assembly_bytes() const;
  size_t unfinished() const;
  // Signatures really checked.
  uint64_t signatures_checked() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_REASSEMBLER_H_
