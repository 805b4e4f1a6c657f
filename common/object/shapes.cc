#include "common/object/shapes.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::shapes {
namespace {

bool Only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

absl::Status CheckSize(const std::string& field, size_t bytes, std::string_view what) {
  if (field.size() == bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(what), " has ", field.size(), " bytes, not ", bytes));
}

absl::Status CheckTitle(const std::string& field, std::string_view what) {
  if (field.size() <= 200) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(what), " has ", field.size(), " bytes, more than 200"));
}

absl::Status CheckName(const std::string& field, std::string_view what) {
  if (!field.empty() && field.size() <= 40 &&
      Only(field, "abcdefghijklmnopqrstuvwxyz0123456789-")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(what), " is not 1 to 40 lower-case letters, digits and dashes"));
}

absl::Status CheckTime(uint64_t time_us, std::string_view what) {
  if (time_us == 0) return absl::InvalidArgumentError(absl::StrCat(Absl(what), " is not set"));
  if (time_us > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError(absl::StrCat(Absl(what), " is out of range"));
  }
  return absl::OkStatus();
}

absl::Status CheckEndpoint(const std::string& field, std::string_view what) {
  absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat(Absl(what), " is not HOST:PORT with a port of 1 to 65535"));
  size_t colon = field.rfind(':');
  if (colon == std::string::npos || colon == 0 || field.size() > 300) return bad;
  std::string_view host = std::string_view(field).substr(0, colon);
  std::string port = field.substr(colon + 1);
  uint32_t number = 0;
  if (!Only(port, "0123456789") || port.empty() || port.size() > 5 || port[0] == '0' ||
      !absl::SimpleAtoi(port, &number) || number > 65535) {
    return bad;
  }
  if (host.front() == '[') {
    bool address = host.size() > 2 && host.back() == ']' &&
                   Only(host.substr(1, host.size() - 2), "0123456789abcdefABCDEF:.");
    return address ? absl::OkStatus() : bad;
  }
  return Only(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
             ? absl::OkStatus()
             : bad;
}

absl::Status CheckMoney(const v1::Money& money, std::string_view what) {
  const std::string& currency = money.currency();
  if (currency.size() == 3 && Only(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(what), " has no currency of three capital letters (ISO 4217)"));
}

}  // namespace nark::shapes
