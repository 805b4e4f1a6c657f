#include "common/crypto/chameleon_loop.h"

#ifdef __x86_64__

#ifndef __clang__
// GCC 12 takes the undefined operands of its own intrinsics for forgotten ones.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>

#define NARK_TARGET __attribute__((target("avx512f,avx512bw,aes,vaes")))
#define NARK_TARGET_INLINE NARK_TARGET __attribute__((always_inline)) inline

namespace nark {
namespace {

// Of which one register holds indices: eight words, four blocks of AES.
constexpr size_t kVectorBytes = 64;
constexpr size_t kStrideBytes = 2 * kVectorBytes;

struct Indices {
  __m512i first, second;
};

NARK_TARGET_INLINE __m512i RoundKey(const AesRoundKeys& keys, size_t round) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(keys[round])));
}

// The counters' next four blocks, in the byte order of SP 800-38A, as they enter the first
// round.
NARK_TARGET_INLINE __m512i NextBlocks(__m512i& counters, __m512i key) {
  const __m512i reverse =
      _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i blocks = _mm512_xor_si512(_mm512_shuffle_epi8(counters, reverse), key);
  counters = _mm512_add_epi64(counters, _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4));
  return blocks;
}

NARK_TARGET_INLINE Indices NextIndices(const AesRoundKeys& keys, __m512i& counters) {
  __m512i key = RoundKey(keys, 0);
  __m512i a = NextBlocks(counters, key), b = NextBlocks(counters, key);
  for (size_t round = 1; round < AesRoundKeys::kRounds; ++round) {
    key = RoundKey(keys, round);
    a = _mm512_aesenc_epi128(a, key);
    b = _mm512_aesenc_epi128(b, key);
  }
  key = RoundKey(keys, AesRoundKeys::kRounds);
  return {_mm512_aesenclast_epi128(a, key), _mm512_aesenclast_epi128(b, key)};
}

NARK_TARGET_INLINE __m512i Gather(const uint64_t* block, __m512i mask, __m512i indices) {
  return _mm512_i64gather_epi64(_mm512_and_si512(indices, mask), block, 8);
}

NARK_TARGET_INLINE __m512i XorOfThree(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

NARK_TARGET_INLINE __m512i Mix(const uint64_t* block, __m512i mask, __m512i indices, __m512i word) {
  word = XorOfThree(word, Gather(block, mask, indices),
                    Gather(block, mask, _mm512_srli_epi64(indices, 16)));
  return XorOfThree(word, Gather(block, mask, _mm512_srli_epi64(indices, 32)),
                    Gather(block, mask, _mm512_srli_epi64(indices, 48)));
}

// The first `bytes` of a register.
NARK_TARGET_INLINE __mmask64 FirstBytes(size_t bytes) {
  return bytes >= kVectorBytes ? ~__mmask64{0} : (__mmask64{1} << bytes) - 1;
}

bool HasVaes() {
  unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_VAES) != 0;
}

}  // namespace

bool CanApplyAvx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("aes") && HasVaes();
}

NARK_TARGET void ApplyAvx512(const ChameleonJob& job) {
  const AesRoundKeys keys(job.key);
  const __m512i mask = _mm512_set1_epi64(static_cast<long long>(job.mask));
  __m512i counters = _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
  // A stride ahead: nothing that is gathered waits for its rounds.
  Indices next = NextIndices(keys, counters);
  const uint8_t* in = job.in.data();
  uint8_t* out = job.out.data();
  size_t left = job.in.size();
  for (; left >= kStrideBytes; left -= kStrideBytes) {
    const Indices now = next;
    next = NextIndices(keys, counters);
    const __m512i first = _mm512_loadu_si512(in);
    const __m512i second = _mm512_loadu_si512(in + kVectorBytes);
    _mm512_storeu_si512(out, Mix(job.block, mask, now.first, first));
    _mm512_storeu_si512(out + kVectorBytes, Mix(job.block, mask, now.second, second));
    in += kStrideBytes;
    out += kStrideBytes;
  }
  for (const __m512i& indices : {next.first, next.second}) {
    const size_t part = std::min(left, kVectorBytes);
    const __mmask64 bytes = FirstBytes(part);
    const __m512i word = _mm512_maskz_loadu_epi8(bytes, in);
    _mm512_mask_storeu_epi8(out, bytes, Mix(job.block, mask, indices, word));
    in += part;
    out += part;
    left -= part;
  }
}

}  // namespace nark

#endif  // __x86_64__
