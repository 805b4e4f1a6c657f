#ifndef NARK_TESTS_DISSECTOR_EXPECTED_H_
#define NARK_TESTS_DISSECTOR_EXPECTED_H_

#include <map>
#include <optional>
#include <string>

#include "common/base/bytes.h"

namespace nark::dissector {

// Wireshark's names of fields, and their values as tshark writes them; several values of
// one field with commas between.
using Fields = std::map<std::string, std::string>;

// What the parsers in C++ say of a datagram of an ADU, or of a relay's message: what the
// dissector must show. Empty where they refuse it.
std::optional<Fields> Expected(ByteView datagram);
std::optional<Fields> ExpectedMessage(ByteView message);

}  // namespace nark::dissector

#endif  // NARK_TESTS_DISSECTOR_EXPECTED_H_
