// The suite `des-cbc`, the cipher of the paper's prototype: insecure. What is encrypted
// is joined and padded (PKCS#7); as many bytes of its ciphertext as it had before
// padding stand where they stood, the rest at the end. Nothing is authenticated here:
// integrity, of clear bytes too, is that of the fragment hashes.

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/des_cbc.h"
#include "common/wire/cipher_suites.h"

namespace nark::wire {
namespace {

// A key encrypts one ADU, so the initialisation vector may be constant.
constexpr std::array<uint8_t, kDesBlockBytes> kZeroVector{};

class DesAduCipher final : public AduCipher {
 public:
  explicit DesAduCipher(std::unique_ptr<DesCbc> des) : des_(std::move(des)) {}

  absl::Status Seal(const SecretBytes& key, const ClearMap& clear, ByteView plaintext,
                    MutableByteView out) override {
    ASSIGN_OR_RETURN(const ClearRanges ranges, ResolveClearMap(clear, plaintext));
    const ClearRanges runs = Complement(ranges, static_cast<uint32_t>(plaintext.size()));
    const size_t encrypted = TotalBytes(runs);
    joined_.resize(DesCbc::PaddedBytes(encrypted));
    if (out.size() != plaintext.size() + joined_.size() - encrypted) {
      return absl::InvalidArgumentError("the ciphertext's buffer has another size");
    }
    Join(runs, plaintext);
    RETURN_IF_ERROR(des_->Encrypt(key, kZeroVector, ByteView(joined_).first(encrypted), joined_));
    CopyClear(ranges, plaintext, out);
    Part(runs, out);
    std::copy(joined_.begin() + static_cast<ptrdiff_t>(encrypted), joined_.end(),
              out.begin() + static_cast<ptrdiff_t>(plaintext.size()));
    return absl::OkStatus();
  }

  absl::Status Open(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                    MutableByteView out) override {
    absl::Status status = OpenInto(key, clear, ciphertext, out);
    if (!status.ok()) Wipe(out);
    return status;
  }

 private:
  absl::Status OpenInto(const SecretBytes& key, const ClearMap& clear, ByteView ciphertext,
                        MutableByteView out) {
    if (ciphertext.size() < out.size()) {
      return absl::InvalidArgumentError("the plaintext's buffer has another size");
    }
    const ByteView body = ciphertext.first(out.size()), rest = ciphertext.subspan(out.size());
    ASSIGN_OR_RETURN(const ClearRanges ranges, ResolveClearMap(clear, body));
    const ClearRanges runs = Complement(ranges, static_cast<uint32_t>(body.size()));
    const size_t encrypted = TotalBytes(runs);
    joined_.resize(encrypted + rest.size());
    Join(runs, body);
    std::copy(rest.begin(), rest.end(), joined_.begin() + static_cast<ptrdiff_t>(encrypted));
    RETURN_IF_ERROR(des_->Decrypt(key, kZeroVector, joined_, encrypted, joined_));
    CopyClear(ranges, body, out);
    Part(runs, out);
    return absl::OkStatus();
  }

  void Join(const ClearRanges& runs, ByteView from) {
    auto to = joined_.begin();
    for (const ClearRange& run : runs) {
      const ByteView bytes = from.subspan(run.offset, run.length);
      to = std::copy(bytes.begin(), bytes.end(), to);
    }
  }

  void Part(const ClearRanges& runs, MutableByteView to) const {
    auto from = joined_.begin();
    for (const ClearRange& run : runs) {
      std::copy_n(from, run.length, to.begin() + run.offset);
      from += run.length;
    }
  }

  static void CopyClear(const ClearRanges& clear, ByteView from, MutableByteView to) {
    if (from.data() == to.data()) return;
    for (const ClearRange& range : clear) {
      const ByteView bytes = from.subspan(range.offset, range.length);
      std::copy(bytes.begin(), bytes.end(), to.begin() + range.offset);
    }
  }

  std::unique_ptr<DesCbc> des_;
  Bytes joined_;  // what is encrypted; kept, so that an ADU allocates nothing
};

class DesSuite final : public CipherSuite {
 public:
  std::string_view id() const override { return "des-cbc"; }
  uint8_t wire_number() const override { return 5; }
  CipherProperties properties() const override { return {.secure = false, .authenticated = false}; }
  size_t key_bytes() const override { return kDesKeyBytes; }
  size_t GrowthBytes(size_t encrypted_bytes) const override {
    return DesCbc::PaddedBytes(encrypted_bytes) - encrypted_bytes;
  }
  absl::StatusOr<std::unique_ptr<AduCipher>> Create(
      std::shared_ptr<const ChameleonBlock> /*block*/) const override {
    ASSIGN_OR_RETURN(std::unique_ptr<DesCbc> des, DesCbc::Create());
    return std::unique_ptr<AduCipher>(std::make_unique<DesAduCipher>(std::move(des)));
  }
};

}  // namespace

const CipherSuite& DesCbcSuite() {
  static const DesSuite suite;
  return suite;
}

}  // namespace nark::wire
