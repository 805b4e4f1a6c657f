#include "common/crypto/chameleon_loop.h"

#ifdef __x86_64__

#include <immintrin.h>

#include <algorithm>
#include <array>

#define NARK_TARGET __attribute__((target("avx2,aes")))
#define NARK_TARGET_INLINE NARK_TARGET __attribute__((always_inline)) inline

namespace nark {
namespace {

// Four blocks of AES at a time, so that each round waits for none.
constexpr size_t kStrideBytes = 64;

// FIPS 197, 5.2: what one step adds to the round key before.
NARK_TARGET_INLINE __m128i NextRoundKey(__m128i key, __m128i assist) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, _mm_shuffle_epi32(assist, 0xff));
}

// The round constant must be known when this is compiled.
template <int constant>
NARK_TARGET_INLINE __m128i StoreNextRoundKey(__m128i key, uint8_t* out) {
  key = NextRoundKey(key, _mm_aeskeygenassist_si128(key, constant));
  _mm_store_si128(reinterpret_cast<__m128i*>(out), key);
  return key;
}

NARK_TARGET void Expand(const uint8_t* key, uint8_t* out) {
  __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key));
  _mm_store_si128(reinterpret_cast<__m128i*>(out), last);
  last = StoreNextRoundKey<0x01>(last, out + 16);
  last = StoreNextRoundKey<0x02>(last, out + 32);
  last = StoreNextRoundKey<0x04>(last, out + 48);
  last = StoreNextRoundKey<0x08>(last, out + 64);
  last = StoreNextRoundKey<0x10>(last, out + 80);
  last = StoreNextRoundKey<0x20>(last, out + 96);
  last = StoreNextRoundKey<0x40>(last, out + 112);
  last = StoreNextRoundKey<0x80>(last, out + 128);
  last = StoreNextRoundKey<0x1b>(last, out + 144);
  StoreNextRoundKey<0x36>(last, out + 160);
}

struct Indices {
  __m256i first, second;
};

NARK_TARGET_INLINE __m128i RoundKey(const AesRoundKeys& keys, size_t round) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(keys[round]));
}

// The counter's next block, in the byte order of SP 800-38A, as it enters the first round.
NARK_TARGET_INLINE __m128i NextBlock(__m128i& counter, __m128i key) {
  const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m128i block = _mm_xor_si128(_mm_shuffle_epi8(counter, reverse), key);
  counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
  return block;
}

NARK_TARGET_INLINE Indices NextIndices(const AesRoundKeys& keys, __m128i& counter) {
  __m128i key = RoundKey(keys, 0);
  __m128i a = NextBlock(counter, key), b = NextBlock(counter, key);
  __m128i c = NextBlock(counter, key), d = NextBlock(counter, key);
  for (size_t round = 1; round < AesRoundKeys::kRounds; ++round) {
    key = RoundKey(keys, round);
    a = _mm_aesenc_si128(a, key);
    b = _mm_aesenc_si128(b, key);
    c = _mm_aesenc_si128(c, key);
    d = _mm_aesenc_si128(d, key);
  }
  key = RoundKey(keys, AesRoundKeys::kRounds);
  a = _mm_aesenclast_si128(a, key);
  b = _mm_aesenclast_si128(b, key);
  c = _mm_aesenclast_si128(c, key);
  d = _mm_aesenclast_si128(d, key);
  return {_mm256_set_m128i(b, a), _mm256_set_m128i(d, c)};
}

NARK_TARGET_INLINE __m256i Gather(const uint64_t* block, __m256i mask, __m256i indices) {
  return _mm256_i64gather_epi64(reinterpret_cast<const long long*>(block),
                                _mm256_and_si256(indices, mask), 8);
}

// XORs four words of `in` into `out`.
NARK_TARGET_INLINE void Mix(const uint64_t* block, __m256i mask, __m256i indices, const uint8_t* in,
                            uint8_t* out) {
  __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
  word = _mm256_xor_si256(word, Gather(block, mask, indices));
  word = _mm256_xor_si256(word, Gather(block, mask, _mm256_srli_epi64(indices, 16)));
  word = _mm256_xor_si256(word, Gather(block, mask, _mm256_srli_epi64(indices, 32)));
  word = _mm256_xor_si256(word, Gather(block, mask, _mm256_srli_epi64(indices, 48)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), word);
}

}  // namespace

AesRoundKeys::AesRoundKeys(const SecretBytes& key) { Expand(key.Reveal().data(), keys_.data()); }

bool CanApplyAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes"); }

NARK_TARGET void ApplyAvx2(const ChameleonJob& job) {
  const AesRoundKeys keys(job.key);
  const __m256i mask = _mm256_set1_epi64x(static_cast<long long>(job.mask));
  __m128i counter = _mm_setzero_si128();
  // A stride ahead: nothing that is gathered waits for its rounds.
  Indices next = NextIndices(keys, counter);
  const uint8_t* in = job.in.data();
  uint8_t* out = job.out.data();
  size_t left = job.in.size();
  for (; left >= kStrideBytes; left -= kStrideBytes) {
    const Indices now = next;
    next = NextIndices(keys, counter);
    Mix(job.block, mask, now.first, in, out);
    Mix(job.block, mask, now.second, in + kStrideBytes / 2, out + kStrideBytes / 2);
    in += kStrideBytes;
    out += kStrideBytes;
  }
  std::array<uint8_t, kStrideBytes> last{};
  std::copy_n(in, left, last.begin());
  Mix(job.block, mask, next.first, last.data(), last.data());
  Mix(job.block, mask, next.second, &last[kStrideBytes / 2], &last[kStrideBytes / 2]);
  std::copy_n(last.begin(), left, out);
  // The rest of it is the output for which there is no input.
  Wipe(last);
}

}  // namespace nark

#endif  // __x86_64__
