// The suite that leaves a mark in what it decrypts. An ADU's ciphertext is AES-128-GCM
// (RFC 5116), its tag last, over
//
//   index key[16] || u32 marked offset || u32 marked bytes || ADU
//
// with the key stream of Chameleon under the index key XORed over the marked bytes of the
// ADU. AES-GCM gives confidentiality and integrity, Chameleon the mark alone.

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/audit/stream_keys.h"
#include "common/base/status.h"
#include "common/crypto/aead.h"
#include "common/crypto/chameleon.h"
#include "common/wire/cipher_suites.h"

namespace nark::wire {
namespace {

constexpr std::array<uint8_t, kAeadNonceBytes> kZeroNonce{};
constexpr size_t kPreambleBytes = kKeystreamKeyBytes + 8;
constexpr size_t kGrowth = kPreambleBytes + kAeadTagBytes;

class ChameleonAduCipher final : public AduCipher {
 public:
  ChameleonAduCipher(std::unique_ptr<Aead> aead, std::unique_ptr<Chameleon> chameleon,
                     audit::LsbPlane plane)
      : aead_(std::move(aead)), chameleon_(std::move(chameleon)), plane_(std::move(plane)) {}

  void MarkNext(AduMarks marks) override { marks_ = std::move(marks); }

  absl::Status Seal(const SecretBytes& key, const ClearMap& clear, ByteView plaintext,
                    MutableByteView out) override {
    if (!EncryptsAll(clear)) return ClearBytes();
    if (out.size() != plaintext.size() + kGrowth) {
      return absl::InvalidArgumentError("the ciphertext's buffer has another size");
    }
    const std::optional<AduMarks> marks = std::exchange(marks_, std::nullopt);
    if (!marks.has_value()) {
      return absl::FailedPreconditionError("nothing says how the ADU is to be marked");
    }
    RETURN_IF_ERROR(CheckMarked(marks->offset, marks->bytes, plaintext.size()));
    const MutableByteView inner = out.first(kPreambleBytes + plaintext.size());
    const MutableByteView body = inner.subspan(kPreambleBytes);
    std::memmove(body.data(), plaintext.data(), plaintext.size());
    std::copy_n(marks->keys.index.Reveal().begin(), kKeystreamKeyBytes, inner.begin());
    StoreBig32(&inner[kKeystreamKeyBytes], marks->offset);
    StoreBig32(&inner[kKeystreamKeyBytes + 4], marks->bytes);
    const MutableByteView marked = body.subspan(marks->offset, marks->bytes);
    RETURN_IF_ERROR(plane_.Set(marks->keys.plane, marked));
    RETURN_IF_ERROR(chameleon_->Apply(marks->keys.index, marked, marked));
    return aead_->Seal(key, kZeroNonce, {}, inner, out);
  }

  absl::Status Open(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                    MutableByteView out) override {
    absl::Status status = OpenAll(key, clear, ciphertext, out);
    if (!status.ok()) Wipe(out);
    return status;
  }

 private:
  static absl::Status ClearBytes() {
    return absl::InvalidArgumentError("chameleon leaves no byte of an ADU clear");
  }

  static absl::Status CheckMarked(uint32_t offset, uint32_t bytes, size_t adu_bytes) {
    if (offset <= adu_bytes && bytes <= adu_bytes - offset) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("bytes ", offset, " and ", bytes, " more are not in an ADU of ", adu_bytes));
  }

  absl::Status OpenAll(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                       MutableByteView out) {
    if (!EncryptsAll(clear)) return ClearBytes();
    if (ciphertext.size() != out.size() + kGrowth) {
      return absl::InvalidArgumentError("the plaintext's buffer has another size");
    }
    SecretBytes preamble_bytes(kPreambleBytes);
    const MutableByteView preamble = preamble_bytes.RevealMutable();
    RETURN_IF_ERROR(aead_->StartOpen(key, kZeroNonce));
    RETURN_IF_ERROR(aead_->Update(ciphertext.first(kPreambleBytes), preamble));
    RETURN_IF_ERROR(aead_->Update(ciphertext.subspan(kPreambleBytes, out.size()), out));
    RETURN_IF_ERROR(aead_->FinishOpen(ciphertext.last(kAeadTagBytes)));
    const uint32_t offset = LoadBig32(&preamble[kKeystreamKeyBytes]);
    const uint32_t bytes = LoadBig32(&preamble[kKeystreamKeyBytes + 4]);
    RETURN_IF_ERROR(CheckMarked(offset, bytes, out.size()));
    const MutableByteView marked = out.subspan(offset, bytes);
    return chameleon_->Apply(SecretBytes::CopyOf(ByteView(preamble).first(kKeystreamKeyBytes)),
                             marked, marked);
  }

  std::unique_ptr<Aead> aead_;
  std::unique_ptr<Chameleon> chameleon_;
  audit::LsbPlane plane_;
  std::optional<AduMarks> marks_;
};

class ChameleonSuite final : public CipherSuite {
 public:
  std::string_view id() const override { return "chameleon"; }
  uint8_t wire_number() const override { return 4; }
  CipherProperties properties() const override {
    return {.secure = true, .authenticated = true, .marks = true};
  }
  size_t key_bytes() const override { return AeadKeyBytes(AeadAlgorithm::kAes128Gcm); }
  size_t GrowthBytes(size_t) const override { return kGrowth; }
  absl::StatusOr<std::unique_ptr<AduCipher>> Create(
      std::shared_ptr<const ChameleonBlock> block) const override {
    if (block == nullptr) {
      return absl::FailedPreconditionError("chameleon needs its block, and has none");
    }
    ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes128Gcm));
    ASSIGN_OR_RETURN(std::unique_ptr<Chameleon> chameleon, Chameleon::Create(std::move(block)));
    ASSIGN_OR_RETURN(audit::LsbPlane plane, audit::LsbPlane::Create());
    return std::unique_ptr<AduCipher>(std::make_unique<ChameleonAduCipher>(
        std::move(aead), std::move(chameleon), std::move(plane)));
  }
};

}  // namespace

const CipherSuite& ChameleonCipher() {
  static const ChameleonSuite suite;
  return suite;
}

}  // namespace nark::wire
