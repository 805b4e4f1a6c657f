#ifndef NARK_NARKCTL_ISSUED_LIST_H_
#define NARK_NARKCTL_ISSUED_LIST_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/object/session.h"

// To whom vouchers of a session with an audit trail were issued, in the provider's folder:
//   audit/issued/SESSION-ID   a line each: secure-space id, space, voucher id, in hexadecimal
namespace nark::narkctl {

// Durable on return. To be called before the voucher is given away: else somebody could have
// a copy whom no trace looks at.
absl::Status AppendIssued(const std::string& provider, const SessionName& session,
                          const Digest& secure_space_id, ByteView voucher_id);

// Each secure space once, in the order of their first vouchers; none where no voucher was
// issued. A last line that a crash cut short is left out; INVALID_ARGUMENT names any other
// that is none.
absl::StatusOr<std::vector<Digest>> ReadIssued(const std::string& provider,
                                               const SessionName& session);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_ISSUED_LIST_H_
