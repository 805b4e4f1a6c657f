#ifndef NARK_NARKCTL_ISSUED_LIST_H_
#define NARK_NARKCTL_ISSUED_LIST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/object/session.h"
#include "nark/v1/voucher.pb.h"

// To whom vouchers of sessions with an audit trail were issued, in the provider's folder:
//   audit/issued/BLOCK-ID/SESSION-ID   a line each, in hexadecimal digits of fixed width:
//                                      secure-space id, voucher id, first and last ADU bought
namespace nark::narkctl {

// Durable on return; any number of processes at once. To be called before the voucher is given
// away: else somebody could have a copy whom no trace looks at. INVALID_ARGUMENT where the
// voucher's ids have not their sizes.
absl::Status AppendIssued(const std::string& provider, const VerifiedSession& session,
                          const v1::Voucher& voucher);

struct IssuedVouchers {
  // Of all sessions of the family, each once: a block plays any of them, to whoever is given
  // what is decrypted with it.
  std::vector<Digest> secure_spaces;
  // From the least to the greatest ADU id bought of this session; none where no voucher was
  // issued.
  std::optional<std::pair<uint64_t, uint64_t>> range;
};
// A last line that a crash cut short is left out; INVALID_ARGUMENT names any other that is
// none.
absl::StatusOr<IssuedVouchers> ReadIssued(const std::string& provider,
                                          const VerifiedSession& session);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_ISSUED_LIST_H_
