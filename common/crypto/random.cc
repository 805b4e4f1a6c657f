#include "common/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <climits>

#include "common/crypto/hash.h"
#include "common/crypto/openssl.h"

namespace nark {

absl::Status SystemRandom::Fill(MutableByteView out) {
  MutableByteView rest = out;
  while (!rest.empty()) {
    int take = static_cast<int>(std::min<size_t>(rest.size(), INT_MAX));
    // The generator that OpenSSL keeps for what must stay secret.
    if (RAND_priv_bytes(rest.data(), take) != 1) {
      Wipe(out);
      return OpenSslError("the system's random generator failed");
    }
    rest = rest.subspan(static_cast<size_t>(take));
  }
  return absl::OkStatus();
}

absl::Status SeededRandom::Fill(MutableByteView out) {
  while (!out.empty()) {
    std::array<uint8_t, 16> block;
    StoreBig64(block.data(), seed_);
    StoreBig64(block.data() + 8, counter_++);
    Digest bytes = Sha256(block);
    size_t take = std::min(out.size(), bytes.size());
    std::copy_n(bytes.begin(), take, out.begin());
    out = out.subspan(take);
  }
  return absl::OkStatus();
}

uint64_t SeededRandom::Below(uint64_t bound) {
  // Values from the incomplete last multiple of `bound` would favour the small ones.
  uint64_t excess = (UINT64_MAX % bound + 1) % bound;
  for (;;) {
    std::array<uint8_t, 8> bytes;
    Fill(bytes).IgnoreError();  // cannot fail
    uint64_t value = LoadBig64(bytes.data());
    if (value <= UINT64_MAX - excess) return value % bound;
  }
}

}  // namespace nark
