#include "common/crypto/pem.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark {
namespace {

constexpr size_t kLineText = 64;
constexpr size_t kLineBytes = 48;

std::string Boundary(std::string_view word, std::string_view label) {
  return absl::StrCat("-----", Absl(word), " ", Absl(label), "-----\n");
}

size_t TextSize(std::string_view label, size_t der_bytes) {
  size_t lines = (der_bytes + kLineBytes - 1) / kLineBytes;
  return Boundary("BEGIN", label).size() + (der_bytes + 2) / 3 * 4 + lines +
         Boundary("END", label).size();
}

// `text` has TextSize bytes.
void WriteText(std::string_view label, ByteView der, uint8_t* text) {
  auto append = [&text](std::string_view part) {
    text = std::copy(part.begin(), part.end(), text);
  };
  append(Boundary("BEGIN", label));
  // One more than a line: OpenSSL ends it with a zero.
  std::array<uint8_t, kLineText + 1> line;
  while (!der.empty()) {
    ByteView piece = der.first(std::min(der.size(), kLineBytes));
    int size = EVP_EncodeBlock(line.data(), piece.data(), static_cast<int>(piece.size()));
    append({reinterpret_cast<const char*>(line.data()), static_cast<size_t>(size)});
    append("\n");
    der = der.subspan(piece.size());
  }
  append(Boundary("END", label));
  Wipe(line);
}

absl::Status NotPem(std::string_view label) {
  return absl::InvalidArgumentError(absl::StrCat(
      "not a PEM file of type ", Absl(label), ", or damaged (strict form of RFC 7468 expected)"));
}

// The text of the first block, boundaries included; empty where there is none.
ByteView FirstBlock(std::string_view label, ByteView pem) {
  std::string begin = Boundary("BEGIN", label);
  std::string end = Boundary("END", label);
  std::string_view text = AsText(pem);
  if (text.substr(0, begin.size()) != begin) return {};
  size_t at = text.find(end, begin.size());
  return at == std::string_view::npos ? ByteView() : pem.first(at + end.size());
}

// Lenient: FirstBlock found the boundaries, and the caller encodes again to compare.
absl::StatusOr<SecretBytes> DecodeBlock(std::string_view label, ByteView block) {
  size_t begin = Boundary("BEGIN", label).size();
  ByteView body = block.subspan(begin, block.size() - begin - Boundary("END", label).size());
  SecretBytes der(body.size() / 4 * 3 + kLineBytes);
  size_t size = 0;
  while (!body.empty()) {
    size_t length = std::min(body.size(), kLineText + 1) - 1;
    ByteView line = body.first(length);
    if (length == 0 || length % 4 != 0) return NotPem(label);
    int written = EVP_DecodeBlock(der.RevealMutable().data() + size, line.data(),
                                  static_cast<int>(line.size()));
    if (written < 0) return NotPem(label);
    size += static_cast<size_t>(written);
    for (size_t i = length; i > length - 2 && line[i - 1] == '='; --i) --size;
    body = body.subspan(length + 1);
  }
  return SecretBytes::CopyOf(der.Reveal().first(size));
}

// Decodes the block, and requires that it encodes to the same text.
absl::StatusOr<SecretBytes> DecodeStrictly(std::string_view label, ByteView block) {
  if (block.empty()) return NotPem(label);
  ASSIGN_OR_RETURN(SecretBytes der, DecodeBlock(label, block));
  if (!Equal(EncodeSecretPem(label, der.Reveal()).Reveal(), block)) return NotPem(label);
  return der;
}

}  // namespace

std::string EncodePem(std::string_view label, ByteView der) {
  std::string text(TextSize(label, der.size()), '\0');
  WriteText(label, der, reinterpret_cast<uint8_t*>(text.data()));
  return text;
}

SecretBytes EncodeSecretPem(std::string_view label, ByteView der) {
  SecretBytes text(TextSize(label, der.size()));
  WriteText(label, der, text.RevealMutable().data());
  return text;
}

absl::StatusOr<std::vector<Bytes>> DecodePem(std::string_view label, ByteView pem) {
  std::vector<Bytes> blocks;
  do {
    ByteView block = FirstBlock(label, pem);
    ASSIGN_OR_RETURN(SecretBytes der, DecodeStrictly(label, block));
    blocks.push_back(ToBytes(der.Reveal()));
    pem = pem.subspan(block.size());
  } while (!pem.empty());
  return blocks;
}

absl::StatusOr<Bytes> DecodeOnePem(std::string_view label, ByteView pem) {
  ASSIGN_OR_RETURN(std::vector<Bytes> blocks, DecodePem(label, pem));
  if (blocks.size() != 1) return NotPem(label);
  return std::move(blocks[0]);
}

absl::StatusOr<SecretBytes> DecodeSecretPem(std::string_view label, ByteView pem) {
  ByteView block = FirstBlock(label, pem);
  if (block.size() != pem.size()) return NotPem(label);
  return DecodeStrictly(label, block);
}

}  // namespace nark
