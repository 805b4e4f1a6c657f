#include "receiver/grant_wait.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::receiver {

void GrantWait::Begin() {
  reception_.SetLapsed(driver_.plays_files() ? PlayOut::Lapsed::kKeep : PlayOut::Lapsed::kRefuse);
  driver_.AskAgain();
}

void GrantWait::OnRenewed(const absl::Status& result) {
  if (result.ok()) {
    delivered_at_renewal_ = reception_.adus().delivered;
    Begin();
  } else if (driver_.waits_for_grant()) {
    not_renewed_ = result;
    End();
  }
}

void GrantWait::AfterTurn() {
  if (driver_.waits_for_grant() && delivered_at_renewal_ == reception_.adus().delivered) End();
}

void GrantWait::End() {
  reception_.SetLapsed(PlayOut::Lapsed::kRefuse);
  driver_.AskAgain();
}

absl::Status GrantWait::LeftOut() const {
  if (not_renewed_.ok()) return absl::OkStatus();
  uint64_t count = 0;
  for (const auto& [reason, refused] : reception_.adus().refused) {
    if (PlayOut::WantsNewerGrant(reason)) count += refused;
  }
  if (count == 0) return absl::OkStatus();
  return MarkRemote(Annotate(
      not_renewed_,
      absl::StrCat("the secure space refused the keys of ", count,
                   " ADUs until the grant is renewed (without a network: nark-receiver request, "
                   "nark-keymanager grant, nark-receiver install; then play again)")));
}

}  // namespace nark::receiver
