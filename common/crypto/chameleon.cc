#include "common/crypto/chameleon.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/chameleon_loop.h"

namespace nark {

absl::StatusOr<ChameleonBlock> ChameleonBlock::Of(SecretBytes bytes) {
  const size_t words = bytes.size() / sizeof(uint64_t);
  if (bytes.size() % sizeof(uint64_t) != 0 || !std::has_single_bit(words) ||
      words < size_t{1} << kMinWordsLog2 || words > size_t{1} << kMaxWordsLog2) {
    return absl::InvalidArgumentError("a chameleon block has 2^10 to 2^16 words of 64 bits");
  }
  return ChameleonBlock(std::move(bytes), static_cast<uint32_t>(std::countr_zero(words)));
}

std::vector<ChameleonLoop> ChameleonLoops() {
  std::vector<ChameleonLoop> loops = {ChameleonLoop::kPortable};
#ifdef __x86_64__
  if (CanApplyAvx2()) loops.push_back(ChameleonLoop::kAvx2);
  if (CanApplyAvx512()) loops.push_back(ChameleonLoop::kAvx512);
#endif
  return loops;
}

std::string_view NameOf(ChameleonLoop loop) {
  switch (loop) {
    case ChameleonLoop::kPortable:
      return "portable";
    case ChameleonLoop::kAvx2:
      return "avx2";
    case ChameleonLoop::kAvx512:
      return "avx512";
  }
  return "unknown";
}

Chameleon::Chameleon(std::shared_ptr<const ChameleonBlock> block,
                     std::unique_ptr<Keystream> keystream, ChameleonLoop loop)
    : block_(std::move(block)), keystream_(std::move(keystream)), loop_(loop) {}

absl::StatusOr<std::unique_ptr<Chameleon>> Chameleon::Create(
    std::shared_ptr<const ChameleonBlock> block) {
  return Create(std::move(block), ChameleonLoops().back());
}

absl::StatusOr<std::unique_ptr<Chameleon>> Chameleon::Create(
    std::shared_ptr<const ChameleonBlock> block, ChameleonLoop loop) {
  const std::vector<ChameleonLoop> loops = ChameleonLoops();
  if (std::find(loops.begin(), loops.end(), loop) == loops.end()) {
    return absl::UnimplementedError(
        absl::StrCat("this processor has no ", std::string(NameOf(loop)), " loop of chameleon"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Keystream> keystream, Keystream::Create());
  return std::unique_ptr<Chameleon>(new Chameleon(std::move(block), std::move(keystream), loop));
}

absl::Status Chameleon::Apply(const SecretBytes& key, ByteView in, MutableByteView out) {
  if (in.size() != out.size()) {
    return absl::InvalidArgumentError("the output's buffer has another size");
  }
  if (key.size() != kKeystreamKeyBytes) {
    return absl::InvalidArgumentError("a key of chameleon has 16 bytes");
  }
  const auto* block = reinterpret_cast<const uint64_t*>(block_->bytes().Reveal().data());
  const ChameleonJob job{key, block, block_->words() - 1, in, out};
  switch (loop_) {
    case ChameleonLoop::kPortable:
      return ApplyPortable(*keystream_, job);
#ifdef __x86_64__
    case ChameleonLoop::kAvx2:
      ApplyAvx2(job);
      return absl::OkStatus();
    case ChameleonLoop::kAvx512:
      ApplyAvx512(job);
      return absl::OkStatus();
#else
    default:
      break;
#endif
  }
  return absl::InternalError("no such loop of chameleon");
}

}  // namespace nark
