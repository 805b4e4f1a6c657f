#ifndef NARK_RECEIVER_GRANT_WAIT_H_
#define NARK_RECEIVER_GRANT_WAIT_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "receiver/driver.h"
#include "receiver/reception.h"

namespace nark::receiver {

// How files that are played wait for a newer grant: ADUs whose keys want one are kept until a
// renewal is done, and left out where it failed or did not help. What is on the air is gone by
// the time that a grant comes, so networks do not wait. One thread only.
class GrantWait {
 public:
  // Both must outlive it.
  GrantWait(Driver& driver, Reception& reception) : driver_(driver), reception_(reception) {}

  // Playing begins, or other sources took the place of those before.
  void Begin();
  // A renewal came to this.
  void OnRenewed(const absl::Status& result);
  // To be called after each turn: what the newest grant does not release either, no newer one
  // is waited for.
  void AfterTurn();
  // From now on nothing is kept.
  void End();
  // Remote, with how many there were and what to do, where ADUs were left out because nobody
  // renewed the grant.
  absl::Status LeftOut() const;

 private:
  Driver& driver_;
  Reception& reception_;
  std::optional<uint64_t> delivered_at_renewal_;  // ADUs, when it was last renewed
  absl::Status not_renewed_;                      // why, when ADUs waited for it
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_GRANT_WAIT_H_
