#include "common/object/money.h"

#include <cstdint>
#include <map>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

// The currencies of ISO 4217 whose minor unit is not a hundredth.
int DecimalsOf(std::string_view currency) {
  static const std::map<std::string_view, int>* decimals = new std::map<std::string_view, int>{
      {"BIF", 0}, {"CLP", 0}, {"DJF", 0}, {"GNF", 0}, {"ISK", 0}, {"JPY", 0}, {"KMF", 0},
      {"KRW", 0}, {"PYG", 0}, {"RWF", 0}, {"UGX", 0}, {"UYI", 0}, {"VND", 0}, {"VUV", 0},
      {"XAF", 0}, {"XOF", 0}, {"XPF", 0}, {"BHD", 3}, {"IQD", 3}, {"JOD", 3}, {"KWD", 3},
      {"LYD", 3}, {"OMR", 3}, {"TND", 3}, {"CLF", 4}, {"UYW", 4}};
  auto found = decimals->find(currency);
  return found == decimals->end() ? 2 : found->second;
}

bool OnlyDigits(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<v1::Money> ParseMoney(const std::string& amount, const std::string& currency) {
  if (currency.size() != 3 ||
      currency.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", currency, "' is no currency; use three capital letters, as EUR"));
  }
  const size_t decimals = static_cast<size_t>(DecimalsOf(currency));
  const size_t point = amount.find('.');
  const std::string whole = amount.substr(0, point);
  std::string fraction = point == std::string::npos ? "" : amount.substr(point + 1);
  if (whole.empty() || (point != std::string::npos && fraction.empty()) || !OnlyDigits(whole) ||
      !OnlyDigits(fraction)) {
    return absl::InvalidArgumentError(absl::StrCat("'", amount, "' is no amount; write 0.05"));
  }
  if (fraction.size() > decimals) {
    return absl::InvalidArgumentError(absl::StrCat("'", amount, "' has ", fraction.size(),
                                                   " decimals; ", currency, " has ", decimals));
  }
  fraction.resize(decimals, '0');
  uint64_t minor = 0;
  for (char digit : whole + fraction) {
    if (__builtin_mul_overflow(minor, uint64_t{10}, &minor) ||
        __builtin_add_overflow(minor, static_cast<uint64_t>(digit - '0'), &minor)) {
      return absl::InvalidArgumentError(absl::StrCat("'", amount, "' is too large an amount"));
    }
  }
  v1::Money money;
  money.set_amount_minor(minor);
  money.set_currency(currency);
  return money;
}

std::string FormatMoney(const v1::Money& money) {
  const size_t decimals = static_cast<size_t>(DecimalsOf(money.currency()));
  std::string digits = absl::StrCat(money.amount_minor());
  if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
  if (decimals == 0) return absl::StrCat(digits, " ", money.currency());
  const size_t whole = digits.size() - decimals;
  return absl::StrCat(digits.substr(0, whole), ".", digits.substr(whole), " ", money.currency());
}

}  // namespace nark
