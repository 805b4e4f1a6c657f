#include "common/pkcs11/key_uri.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::pkcs11 {
namespace {

constexpr size_t kMaxTokenBytes = 32;
constexpr size_t kMaxObjectBytes = 100;

std::string Encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    // The unreserved characters of RFC 3986 section 2.3.
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
        c == '.' || c == '_' || c == '~') {
      encoded += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

std::string EncodeId(const Digest& id) {
  std::string encoded;
  const std::string hex = ToHex(id);
  for (size_t i = 0; i < hex.size(); i += 2) {
    encoded += '%';
    for (const char c : hex.substr(i, 2)) encoded += c >= 'a' ? static_cast<char>(c - 32) : c;
  }
  return encoded;
}

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    if (text[0] != '%') {
      decoded += text[0];
      text.remove_prefix(1);
      continue;
    }
    const Bytes byte = FromHex(text.substr(1, 2));
    if (byte.size() != 1) return std::nullopt;
    decoded += static_cast<char>(byte[0]);
    text.remove_prefix(3);
  }
  return decoded;
}

// Takes `name=value` off the front, and the ';' behind it.
std::optional<std::string> Take(std::string_view name, std::string_view& rest) {
  if (!rest.starts_with(name) || rest.substr(name.size(), 1) != "=") return std::nullopt;
  rest.remove_prefix(name.size() + 1);
  const size_t end = std::min(rest.find(';'), rest.size());
  const std::string_view value = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return Decode(value);
}

}  // namespace

std::string KeyUri::ToString() const {
  return absl::StrCat("pkcs11:token=", Encode(token), ";object=", Encode(object),
                      ";type=", key_class == KeyClass::kPrivate ? "private" : "secret-key",
                      ";id=", EncodeId(id));
}

absl::StatusOr<KeyUri> KeyUri::Parse(std::string_view text) {
  constexpr std::string_view kScheme = "pkcs11:";
  std::string_view rest = text;
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  const auto token = Take("token", rest);
  const auto object = Take("object", rest);
  const auto type = Take("type", rest);
  const auto id = Take("id", rest);
  KeyUri uri;
  if (token && object && type && id && id->size() == uri.id.size()) {
    uri.token = *token;
    uri.object = *object;
    uri.key_class = *type == "private" ? KeyClass::kPrivate : KeyClass::kSecret;
    std::copy(id->begin(), id->end(), uri.id.begin());
    const bool sized = !uri.token.empty() && uri.token.size() <= kMaxTokenBytes &&
                       !uri.object.empty() && uri.object.size() <= kMaxObjectBytes;
    if (sized && uri.ToString() == text) return uri;
  }
  return absl::InvalidArgumentError(
      "not the PKCS#11 URI of a key, pkcs11:token=...;object=...;type=...;id=...");
}

}  // namespace nark::pkcs11
