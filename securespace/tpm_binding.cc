#include "securespace/tpm_binding.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::securespace {
namespace {

constexpr std::string_view kDevice = "device:";
constexpr std::string_view kSwtpm = "swtpm:path=";
constexpr std::string_view kIndexStart = "0x";

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

// Takes `key = "value"` and the end of its line off `text`; empty where it has none.
std::string TakeLine(std::string_view key, std::string_view& text) {
  const std::string start = std::string(key) + " = \"";
  const size_t end = text.find("\"\n", start.size());
  if (!StartsWith(text, start) || end == std::string_view::npos) return "";
  std::string value(text.substr(start.size(), end - start.size()));
  text.remove_prefix(end + 2);
  return value;
}

}  // namespace

bool TpmBinding::needs_sockets() const { return StartsWith(tcti, kSwtpm); }

absl::Status CheckTcti(std::string_view tcti) {
  // Commas begin further options, of hosts among others.
  const bool plain = std::none_of(tcti.begin(), tcti.end(), [](char c) {
    return c == '"' || c == '\\' || c == ',' || static_cast<unsigned char>(c) < ' ';
  });
  for (std::string_view kind : {kDevice, kSwtpm}) {
    if (plain && tcti.size() > kind.size() && StartsWith(tcti, kind)) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a TPM is named device:PATH or swtpm:path=SOCKET, and not ", Absl(tcti)));
}

std::string Format(const TpmBinding& binding) {
  std::array<uint8_t, 4> index{};
  StoreBig32(index.data(), binding.index);
  return absl::StrCat("tcti = \"", binding.tcti, "\"\nindex = \"", Absl(kIndexStart), ToHex(index),
                      "\"\nname = \"", ToHex(binding.name), "\"\n");
}

absl::StatusOr<TpmBinding> ParseTpmBinding(std::string_view text) {
  TpmBinding binding;
  std::string_view rest = text;
  binding.tcti = TakeLine("tcti", rest);
  const std::string index = TakeLine("index", rest);
  binding.name = FromHex(TakeLine("name", rest));
  if (!binding.tcti.empty()) RETURN_IF_ERROR(CheckTcti(binding.tcti));
  if (StartsWith(index, kIndexStart)) {
    const Bytes bytes = FromHex(std::string_view(index).substr(kIndexStart.size()));
    if (bytes.size() == 4) binding.index = LoadBig32(bytes.data());
  }
  if (binding.tcti.empty() || binding.index == 0 || binding.name.empty() ||
      Format(binding) != text) {
    return absl::InvalidArgumentError("it does not name a TPM's counter; put the file back");
  }
  return binding;
}

}  // namespace nark::securespace
