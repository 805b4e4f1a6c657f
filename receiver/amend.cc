#include "receiver/amend.h"

#include <cstdio>

#include "common/base/status.h"
#include "receiver/joiner.h"
#include "securespace/connect.h"

namespace nark::receiver {

absl::Status RunAmend(const AmendSettings& settings, Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(const Purchase purchase,
                   Purchase::Load(settings.session_path, settings.voucher_path, clock.Now()));
  ASSIGN_OR_RETURN(auto connection, securespace::Connect(settings.secure_space,
                                                         securespace::WhenLocked::kUseItsSocket,
                                                         clock, random, settings.insecure));
  ASSIGN_OR_RETURN(
      const KeyManagers key_managers,
      KeyManagers::Connect(purchase.session, settings.key_managers, settings.transport, random));
  Joiner joiner(purchase.session, purchase.voucher, purchase.verified_voucher, connection.space(),
                key_managers.endpoints);
  JoinOptions options;
  options.timeout = settings.timeout;
  options.spread = key_managers.spread;
  options.block = JoinOptions::Block::kHave;  // whoever plays has it, or fetches it
  joiner.Start(options, clock.Now());
  RETURN_IF_ERROR(RunToEnd(joiner, clock));
  std::puts(joiner.used_installed_grant() ? "installed already" : "installed");
  return absl::OkStatus();
}

}  // namespace nark::receiver
