#include "common/wire/control_block.h"

#include <array>
#include <string>

#include "common/base/status.h"
#include "common/wire/layout.h"

namespace nark::wire {
namespace {

constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};
constexpr size_t kMinTargetBytes = 16;
constexpr size_t kMaxTargetBytes = 32;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError("malformed control block: " + std::string(what));
}

absl::Status CheckEntry(const ControlEntry& entry) {
  if (entry.action == 0 || entry.action > kControlDigest) return Malformed("unknown action");
  const size_t least = entry.action == kControlDigest ? kMaxTargetBytes : kMinTargetBytes;
  if (entry.target.size() < least || entry.target.size() > kMaxTargetBytes) {
    return Malformed("target size");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bytes> SerialiseControlBlock(const std::vector<ControlEntry>& entries,
                                            size_t plaintext_bytes) {
  Bytes block;
  block.reserve(plaintext_bytes);
  for (const ControlEntry& entry : entries) {
    RETURN_IF_ERROR(CheckEntry(entry));
    block.push_back(entry.action);
    AppendBig64(block, entry.number);
    block.push_back(static_cast<uint8_t>(entry.target.size()));
    Append(block, entry.target);
  }
  if (block.size() > plaintext_bytes) {
    return absl::InvalidArgumentError("the control block has no room for all its entries");
  }
  block.resize(plaintext_bytes);
  return block;
}

absl::StatusOr<std::vector<ControlEntry>> ParseControlBlock(ByteView plaintext) {
  std::vector<ControlEntry> entries;
  Reader reader(plaintext);
  while (!reader.rest().empty() && reader.rest()[0] != 0) {
    const ByteView fixed = reader.Take(1 + 8 + 1);
    if (fixed.empty()) return Malformed("truncated entry");
    const ByteView target = reader.Take(fixed[9]);
    if (reader.failed()) return Malformed("truncated target");
    ControlEntry entry{fixed[0], LoadBig64(&fixed[1]), ToBytes(target)};
    RETURN_IF_ERROR(CheckEntry(entry));
    entries.push_back(std::move(entry));
  }
  uint8_t padding = 0;
  for (uint8_t byte : reader.rest()) padding |= byte;
  if (padding != 0) return Malformed("padding that is not zero");
  return entries;
}

Digest AduDigest(const Digest& session_context, const Header& header, ByteView plaintext) {
  std::array<uint8_t, 12> name;
  StoreBig32(name.data(), header.sender_id);
  StoreBig64(name.data() + 4, header.adu_id);
  return LabelledHash("nark adu digest v1", {session_context, name, header.fresh, plaintext});
}

absl::StatusOr<std::unique_ptr<ControlCipher>> ControlCipher::Create() {
  ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes128Gcm));
  return std::unique_ptr<ControlCipher>(new ControlCipher(std::move(aead)));
}

absl::StatusOr<Bytes> ControlCipher::Seal(const SecretBytes& control_key, ByteView plaintext) {
  Bytes ciphertext(plaintext.size() + kAeadTagBytes);
  RETURN_IF_ERROR(aead_->Seal(control_key, kZeroNonce, {}, plaintext, ciphertext));
  return ciphertext;
}

absl::StatusOr<Bytes> ControlCipher::Open(const SecretBytes& control_key, ByteView ciphertext) {
  if (ciphertext.size() < kAeadTagBytes) return Malformed("shorter than its tag");
  Bytes plaintext(ciphertext.size() - kAeadTagBytes);
  RETURN_IF_ERROR(aead_->Open(control_key, kZeroNonce, {}, ciphertext, plaintext));
  return plaintext;
}

}  // namespace nark::wire
