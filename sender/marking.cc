#include "sender/marking.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::sender {
namespace {

absl::Status Refuse(std::string_view flag, std::string_view value, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat(Absl(flag), " ", Absl(value), ": the session has an audit trail, ", Absl(why)));
}

}  // namespace

Marking MarkingOf(const v1::Terms& terms) {
  return terms.has_audit() ? Marking::kSamples : Marking::kNone;
}

absl::Status CheckFlags(Marking marking, std::string_view input, std::string_view encrypt,
                        std::string_view encrypt_first) {
  if (marking == Marking::kNone) return absl::OkStatus();
  if (input.starts_with("udp://")) {
    return Refuse("--input", input, "and only a WAV file of 16-bit PCM can carry marks");
  }
  constexpr std::string_view kAll = "and all of it is encrypted";
  if (encrypt != "all") return Refuse("--encrypt", encrypt, kAll);
  if (!encrypt_first.empty()) return Refuse("--encrypt-first", encrypt_first, kAll);
  return absl::OkStatus();
}

}  // namespace nark::sender
