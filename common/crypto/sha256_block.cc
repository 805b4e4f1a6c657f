#include "common/crypto/sha256_block.h"

// The one-block interface has no successor in OpenSSL 3's EVP, and a general hash
// costs several times the compression itself.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

namespace nark {
namespace {

constexpr size_t kNodeBytes = 32;
constexpr size_t kMessageBits = (kNodeBytes + 1) * 8;

}  // namespace

// FIPS 180-4, 5.1.1: the message, a one bit, zeros, the length in bits as 64 bits.
Sha256Node::Sha256Node() : block_{}, state_{}, initial_{} {
  static_assert(sizeof(SHA256_CTX) == sizeof(state_));
  static_assert(alignof(SHA256_CTX) <= 8);
  block_[kNodeBytes + 1] = 0x80;
  StoreBig64(block_.data() + 56, kMessageBits);
  auto* context = reinterpret_cast<SHA256_CTX*>(state_.data());
  SHA256_Init(context);
  std::copy_n(context->h, initial_.size(), initial_.begin());
}

Sha256Node::~Sha256Node() {
  OPENSSL_cleanse(block_.data(), block_.size());
  OPENSSL_cleanse(state_.data(), state_.size());
}

void Sha256Node::Hash(const uint8_t* node, uint8_t last, uint8_t* child) {
  auto* context = reinterpret_cast<SHA256_CTX*>(state_.data());
  // One compression reads and writes the chaining value alone.
  std::copy(initial_.begin(), initial_.end(), context->h);
  std::memcpy(block_.data(), node, kNodeBytes);
  block_[kNodeBytes] = last;
  SHA256_Transform(context, block_.data());
  for (size_t i = 0; i < 8; ++i) StoreBig32(child + 4 * i, context->h[i]);
}

}  // namespace nark
