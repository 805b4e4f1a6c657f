#ifndef NARK_NARKCTL_VOUCHER_H_
#define NARK_NARKCTL_VOUCHER_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/provider.h"
#include "common/object/session.h"
#include "nark/v1/voucher.pb.h"

namespace nark::narkctl {

// The flags of `voucher issue`, as written.
struct VoucherFlags {
  std::string provider;
  std::string session;
  std::string out;
  std::string secure_space;  // hexadecimal
  std::string range;         // FIRST-LAST
  std::optional<uint64_t> count;
  std::vector<std::string> senders;       // ids
  std::vector<std::string> sub_sessions;  // ids
  std::vector<std::string> groups;        // hexadecimal, 16 to 32 bytes
  std::chrono::microseconds expires{0};   // from now; 0 never
  std::chrono::microseconds lease{0};     // 0 for none
  std::string price;                      // decimal; empty for the list price
  std::string currency;                   // where empty, the session's
  std::string payer;
};

// What the flags mean for this session; INVALID_ARGUMENT names the flag.
absl::StatusOr<VoucherOptions> ParseVoucherFlags(const VoucherFlags& flags,
                                                 const VerifiedSession& session, Timestamp now);

// Verifies the session under this provider, sells, and writes the voucher.
absl::StatusOr<v1::Voucher> IssueVoucher(const VoucherFlags& flags, Timestamp now, Random& random);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_VOUCHER_H_
