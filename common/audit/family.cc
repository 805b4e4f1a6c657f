#include "common/audit/family.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/audit/stream_keys.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/keystream.h"

namespace nark::audit {
namespace {

// round(65536 * sin^2(pi / 2 * (level + 1/2) / 64)), of which the others are the mirror.
constexpr std::array<uint16_t, 32> kOnesOfLevel = {
    10,    89,    246,   482,   796,   1187,  1654,  2196,  2811,  3499,  4257,
    5084,  5977,  6935,  7956,  9036,  10173, 11365, 12608, 13900, 15237, 16617,
    18035, 19489, 20975, 22489, 24028, 25588, 27166, 28757, 30357, 31964};

uint32_t OnesOf(uint8_t level) {
  return level < 32 ? uint32_t{kOnesOfLevel[level]} : 65536 - kOnesOfLevel[63 - level];
}

std::array<uint8_t, 4> BigEndian(uint32_t number) {
  return {static_cast<uint8_t>(number >> 24), static_cast<uint8_t>(number >> 16),
          static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number)};
}

}  // namespace

Family::Family(SecretBytes secret, uint32_t words_log2)
    : secret_(std::move(secret)), words_log2_(words_log2) {}

absl::StatusOr<Family> Family::Of(SecretBytes audit_secret, uint32_t words_log2) {
  if (audit_secret.size() != kAuditSecretBytes) {
    return absl::InvalidArgumentError("an audit secret has 32 bytes");
  }
  if (words_log2 < ChameleonBlock::kMinWordsLog2 || words_log2 > ChameleonBlock::kMaxWordsLog2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a chameleon block has 2^10 to 2^16 words, not 2^", words_log2));
  }
  Family family(std::move(audit_secret), words_log2);
  RETURN_IF_ERROR(family.Derive());
  return family;
}

absl::Status Family::Derive() {
  ASSIGN_OR_RETURN(const SecretBytes id, Expand("nark audit block id v1", {}, id_.size()));
  std::copy_n(id.Reveal().begin(), id_.size(), id_.begin());
  ASSIGN_OR_RETURN(const SecretBytes key, Expand("nark audit code v1", {}, kKeystreamKeyBytes));
  ASSIGN_OR_RETURN(const SecretBytes code, KeystreamOf(key, size_t{1} << words_log2_));
  symbols_.reserve(code.size());
  for (const uint8_t byte : code.Reveal()) {
    symbols_.push_back({.lane = static_cast<uint8_t>(byte >> 6), .ones = OnesOf(byte & 63)});
  }
  return absl::OkStatus();
}

absl::StatusOr<SecretBytes> Family::Expand(std::string_view label, ByteView part,
                                           size_t size) const {
  const std::array<uint8_t, 1> shape = {static_cast<uint8_t>(words_log2_)};
  return HkdfExpand(secret_, LabelledEncoding(label, {shape, part}), size);
}

absl::StatusOr<SecretBytes> Family::CodewordOf(const Digest& secure_space_id) const {
  ASSIGN_OR_RETURN(const SecretBytes key,
                   Expand("nark audit codeword v1", secure_space_id, kKeystreamKeyBytes));
  ASSIGN_OR_RETURN(const SecretBytes random, KeystreamOf(key, 2 * symbols_.size()));
  SecretBytes codeword(symbols_.size());
  const ByteView draws = random.Reveal();
  const MutableByteView bits = codeword.RevealMutable();
  for (size_t i = 0; i < symbols_.size(); ++i) {
    const uint32_t draw = draws[2 * i] | uint32_t{draws[2 * i + 1]} << 8;
    bits[i] = draw < symbols_[i].ones ? 1 : 0;
  }
  return codeword;
}

absl::StatusOr<ChameleonBlock> Family::MarkedBlockOf(const Digest& secure_space_id) const {
  ASSIGN_OR_RETURN(const SecretBytes key, BaseBlockKey());
  ASSIGN_OR_RETURN(SecretBytes block, BaseBlockBytes(key, words_log2_));
  ASSIGN_OR_RETURN(const SecretBytes codeword, CodewordOf(secure_space_id));
  const MutableByteView bytes = block.RevealMutable();
  const ByteView bits = codeword.Reveal();
  // Bit 16 * lane of a little-endian word is the lowest of its byte 2 * lane.
  for (size_t i = 0; i < symbols_.size(); ++i) bytes[8 * i + 2 * symbols_[i].lane] ^= bits[i];
  return ChameleonBlock::Of(std::move(block));
}

absl::StatusOr<SecretBytes> Family::BaseBlockKey() const {
  return Expand("nark audit base block v1", {}, kKeystreamKeyBytes);
}

absl::StatusOr<SecretBytes> Family::BlockKey(const Digest& secure_space_id) const {
  return Expand("nark audit block key v1", secure_space_id, 32);
}

absl::StatusOr<SecretBytes> Family::StreamKey(const SessionName& session, uint32_t sub_session,
                                              uint32_t sender_id) const {
  return HkdfExpand(
      secret_,
      LabelledEncoding("nark audit stream v1", {session.provider, session.session_id,
                                                BigEndian(sub_session), BigEndian(sender_id)}),
      kStreamKeyBytes);
}

}  // namespace nark::audit
