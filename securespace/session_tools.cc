#include "securespace/session_tools.h"

#include "common/base/status.h"
#include "securespace/receipts.h"

namespace nark::securespace {

absl::StatusOr<SessionTools> SessionTools::Find(const v1::Terms& terms) {
  SessionTools tools;
  ASSIGN_OR_RETURN(tools.suite, wire::FindCipher(terms.cipher()));
  ASSIGN_OR_RETURN(tools.generator, schedule::FindGenerator(terms.generator().id()));
  RETURN_IF_ERROR(MakeReceipts(terms.receipt_type()).status());
  tools.parameters = {terms.generator().id(), terms.generator().depth()};
  RETURN_IF_ERROR(tools.generator->Check(tools.parameters));
  return tools;
}

}  // namespace nark::securespace
