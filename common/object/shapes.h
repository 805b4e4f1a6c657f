#ifndef NARK_COMMON_OBJECT_SHAPES_H_
#define NARK_COMMON_OBJECT_SHAPES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "nark/v1/session.pb.h"

// What the objects' fields have in common. Every function is INVALID_ARGUMENT
// where the shape is wrong; `what` names the field.
namespace nark::shapes {

absl::Status CheckSize(const std::string& field, size_t bytes, std::string_view what);
// At most 200 bytes.
absl::Status CheckTitle(const std::string& field, std::string_view what);
// A registered name: 1 to 40 lower-case letters, digits and dashes.
absl::Status CheckName(const std::string& field, std::string_view what);
// Set, and in the range of Timestamp.
absl::Status CheckTime(uint64_t time_us, std::string_view what);
// HOST:PORT, HOST possibly [IPv6], PORT 1 to 65535.
absl::Status CheckEndpoint(const std::string& field, std::string_view what);
// Three capital letters of currency.
absl::Status CheckMoney(const v1::Money& money, std::string_view what);

}  // namespace nark::shapes

#endif  // NARK_COMMON_OBJECT_SHAPES_H_
