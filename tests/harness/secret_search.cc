#include "tests/harness/secret_search.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "tests/harness/process.h"

namespace nark::harness {
namespace {

size_t FirstTwo(std::string_view text) {
  return static_cast<size_t>(static_cast<uint8_t>(text[0])) << 8 | static_cast<uint8_t>(text[1]);
}

// The characters that `secret` alone decides where `before` bytes stand before it.
std::string Base64At(size_t before, std::string_view secret) {
  const std::string encoded = absl::Base64Escape(std::string(before, '\0') + std::string(secret));
  const size_t first = (before * 8 + 5) / 6, end = (before + secret.size()) * 8 / 6;
  return encoded.substr(first, end - first);
}

// The content of the only block of a PEM file that is a key; empty where it is none.
std::string KeyOfPem(const std::string& pem) {
  const size_t label = pem.find(" KEY-----\n"), end = pem.find("-----END");
  if (!pem.starts_with("-----BEGIN ") || label == std::string::npos || end == std::string::npos) {
    return "";
  }
  const size_t begin = pem.find('\n', label);
  std::string key;
  const std::string text = absl::StrReplaceAll(pem.substr(begin, end - begin), {{"\n", ""}});
  return absl::Base64Unescape(text, &key) ? key : "";
}

}  // namespace

SecretSearch::SecretSearch() : forms_(1 << 16) {}

void SecretSearch::Add(const std::string& name, std::string_view secret) {
  if (secret.size() < 16) throw std::invalid_argument(name + " is too short to be searched for");
  AddForm(name, std::string(secret));
  AddForm(name, std::string(secret.rbegin(), secret.rend()));
  const std::string digits = absl::BytesToHexString(std::string(secret));
  AddForm(name, digits);
  AddForm(name, absl::AsciiStrToUpper(digits));
  for (size_t before = 0; before < 3; ++before) {
    const std::string base64 = Base64At(before, secret);
    AddForm(name, base64);
    AddForm(name, absl::StrReplaceAll(base64, {{"+", "-"}, {"/", "_"}}));
  }
}

void SecretSearch::AddForm(const std::string& name, std::string form) {
  auto& place = forms_[FirstTwo(form)];
  place.emplace_back(name, std::move(form));
}

std::set<std::string> SecretSearch::FindIn(std::string_view text) const {
  std::set<std::string> found;
  for (size_t at = 0; at + 1 < text.size(); ++at) {
    for (const auto& [name, form] : forms_[FirstTwo(text.substr(at))]) {
      if (text.substr(at).starts_with(form)) found.insert(name);
    }
  }
  return found;
}

std::set<std::string> SecretSearch::FindInMemory(pid_t pid, Part part) const {
  std::set<std::string> found;
  VisitMemory(pid, part, [&](std::string_view bytes) { found.merge(FindIn(bytes)); });
  return found;
}

std::map<std::string, std::string> KeysIn(const std::string& folder) {
  std::map<std::string, std::string> keys;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string key = KeyOfPem(ReadAll(entry.path()));
    if (key.empty()) continue;
    keys[std::filesystem::relative(entry.path(), folder)] = PrivatePartOf(key);
  }
  if (keys.empty()) throw std::runtime_error("no key in " + folder);
  return keys;
}

std::string PrivatePartOf(const std::string& key) {
  // As common/crypto/private_key.cc writes it.
  constexpr size_t kPkcs8Bytes = 138, kScalarAt = 36, kScalarBytes = 32;
  return key.size() == kPkcs8Bytes ? key.substr(kScalarAt, kScalarBytes) : key;
}

}  // namespace nark::harness
