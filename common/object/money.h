#ifndef NARK_COMMON_OBJECT_MONEY_H_
#define NARK_COMMON_OBJECT_MONEY_H_

#include <string>

#include "absl/status/statusor.h"
#include "nark/v1/session.pb.h"

namespace nark {

// "0.05" and "EUR" as 5 minor units, exactly: more decimals than the currency has
// (ISO 4217) are INVALID_ARGUMENT, as are signs and exponents.
absl::StatusOr<v1::Money> ParseMoney(const std::string& amount, const std::string& currency);

// "0.05 EUR".
std::string FormatMoney(const v1::Money& money);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_MONEY_H_
