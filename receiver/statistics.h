#ifndef NARK_RECEIVER_STATISTICS_H_
#define NARK_RECEIVER_STATISTICS_H_

#include <cstdint>
#include <string>

#include "receiver/play_out.h"
#include "receiver/reassembler.h"
#include "receiver/reception.h"

namespace nark::receiver {

// The numbers of a reception at one moment.
struct Statistics {
  PlayOutStatistics adus;
  ReassemblerStatistics datagrams;
  uint64_t unwanted = 0;    // datagrams of streams that no output takes, not counted above
  uint64_t incomplete = 0;  // given up, and those that are not complete now
  uint64_t signatures_checked = 0;
  uint64_t socket_drops = 0;  // by the kernel, whose buffer was full; not Of's

  static Statistics Of(const Reception& reception);

  // One line for people: "received 20, delivered 19 (2316160 bytes), ...".
  std::string ToText() const;
  // {"received":n,"delivered":n,"delivered_bytes":n,"incomplete":n,"missing":n,
  //  "behind":n,"repeated":n,"crowded_out":n,"damaged":n,
  //  "repaired":n,"repaired_fragments":n,"wrong_parity":n,"refused":{REASON:n},
  //  "senders":[{"sub_session":n,"id":n,"delivered":n}],"signatures_checked":n,
  //  "datagrams":{"received":n,"bytes":n,"used":n,"unwanted":n,"dropped":{name:n},
  //   "socket_drops":n}}
  std::string ToJson() const;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_STATISTICS_H_
