#ifndef NARK_NARKCTL_SHOW_H_
#define NARK_NARKCTL_SHOW_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/voucher.pb.h"
#include "nlohmann/json.hpp"

namespace nark::narkctl {

// One thing, shown to programs and to people.
struct Shown {
  nlohmann::ordered_json json;
  std::vector<std::pair<std::string, std::string>> lines;  // label, text

  // One line of JSON, or a line a label.
  std::string ToJson() const;
  std::string ToText() const;
};

Shown ShowSession(const VerifiedSession& session);

// Whether the till's certificate was followed to the root of a session.
enum class VoucherTrust { kVerified, kWithoutSession };
Shown ShowVoucher(const v1::Voucher& voucher, const Digest& identity, VoucherTrust trust);

// A voucher whose session is not at hand: checks its signature under the till's
// certificate that it carries, whose root nobody can follow. `path` for messages.
absl::StatusOr<Shown> ShowVoucherAlone(const v1::SignedEnvelope& envelope, const std::string& path);

// "2026-01-31T12:00:00Z".
std::string FormatTime(uint64_t time_us);
// "0-9, 12".
std::string FormatRanges(const std::vector<v1::AduRange>& ranges);
// "live" for TIMELINESS_LIVE and so on: what follows the type's own name.
std::string EnumWord(const std::string& value_name, const std::string& prefix);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_SHOW_H_
