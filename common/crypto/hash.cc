#include "common/crypto/hash.h"

// OpenSSL 3 deprecates this interface in favour of EVP's, which allocates a context
// and, however it is used, takes twice as long for a message of one block: the size
// that the key schedule hashes millions of times a second. The code beneath is the
// same.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstring>
#include <limits>

#include "common/crypto/openssl.h"

namespace nark {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kHash = 32;
constexpr size_t kMaxExpand = 255 * kHash;

static_assert(sizeof(SHA256_CTX) <= sizeof(Sha256Stream));
static_assert(alignof(SHA256_CTX) <= alignof(Sha256Stream));
static_assert(std::is_trivially_copyable_v<SHA256_CTX>);

// A last message that is hashed at once: OpenSSL buffers parts one by one, which costs a
// short one as much as hashing it.
constexpr size_t kShortBytes = 6 * kBlock;
constexpr size_t kPadding = 1 + 8;  // at least

size_t SizeOf(std::initializer_list<ByteView> parts) {
  size_t size = 0;
  for (ByteView part : parts) size += part.size();
  return size;
}

void CheckRoom(MutableByteView out) {
  CheckOpenSsl(out.size() == kHash, "the result of SHA-256 takes 32 bytes");
}

}  // namespace

Sha256Stream::Sha256Stream() {
  CheckOpenSsl(SHA256_Init(reinterpret_cast<SHA256_CTX*>(state_.data())), "SHA-256");
}

Sha256Stream::~Sha256Stream() { Wipe(state_); }

void Sha256Stream::Update(ByteView bytes) {
  if (bytes.empty()) return;
  CheckOpenSsl(
      SHA256_Update(reinterpret_cast<SHA256_CTX*>(state_.data()), bytes.data(), bytes.size()),
      "SHA-256");
}

void Sha256Stream::Finish(MutableByteView out) {
  CheckRoom(out);
  CheckOpenSsl(SHA256_Final(out.data(), reinterpret_cast<SHA256_CTX*>(state_.data())), "SHA-256");
}

Digest Sha256Stream::Finish() {
  Digest digest;
  Finish(digest);
  return digest;
}

// FIPS 180-4, 5.1.1: the message, a one bit, zeros, the length in bits as 64 bits.
void Sha256Stream::FinishWith(std::initializer_list<ByteView> parts, MutableByteView out) {
  auto* context = reinterpret_cast<SHA256_CTX*>(state_.data());
  const size_t waiting = context->num, added = SizeOf(parts);
  if (added > kShortBytes || waiting + added > kShortBytes - kPadding) {
    for (ByteView part : parts) Update(part);
    Finish(out);
    return;
  }
  CheckRoom(out);
  alignas(kBlock) uint8_t blocks[kShortBytes];
  std::memcpy(blocks, context->data, waiting);
  size_t size = waiting;
  for (ByteView part : parts) {
    if (!part.empty()) std::memcpy(blocks + size, part.data(), part.size());
    size += part.size();
  }
  const size_t padded = (size + kPadding + kBlock - 1) / kBlock * kBlock;
  std::memset(blocks + size, 0, padded - size);
  blocks[size] = 0x80;
  const uint64_t bits_before = uint64_t{context->Nh} << 32 | context->Nl;
  StoreBig64(blocks + padded - 8, bits_before + 8 * added);
  context->num = 0;
  CheckOpenSsl(SHA256_Update(context, blocks, padded), "SHA-256");
  for (size_t i = 0; i < kHash / 4; ++i) StoreBig32(out.data() + 4 * i, context->h[i]);
  Wipe({blocks, padded});
}

Digest Sha256(ByteView data) { return Sha256({data}); }

Digest Sha256(std::initializer_list<ByteView> parts) {
  Digest digest;
  Sha256Into(parts, digest);
  return digest;
}

void Sha256Into(std::initializer_list<ByteView> parts, MutableByteView out) {
  Sha256Stream().FinishWith(parts, out);
}

Bytes LabelledEncoding(std::string_view label, std::initializer_list<ByteView> parts) {
  // Labels are constants of the code, and no message of ours has 4 GiB: a length
  // that does not fit is a defect, and must not make the encoding ambiguous.
  CheckOpenSsl(label.size() <= std::numeric_limits<uint16_t>::max(), "label too long");
  size_t size = 2 + label.size();
  for (ByteView part : parts) {
    CheckOpenSsl(part.size() <= std::numeric_limits<uint32_t>::max(), "part too long");
    size += 4 + part.size();
  }
  Bytes encoding(size);
  uint8_t* at = encoding.data();
  StoreBig16(at, static_cast<uint16_t>(label.size()));
  at = std::copy(label.begin(), label.end(), at + 2);
  for (ByteView part : parts) {
    StoreBig32(at, static_cast<uint32_t>(part.size()));
    at = std::copy(part.begin(), part.end(), at + 4);
  }
  return encoding;
}

Digest LabelledHash(std::string_view label, std::initializer_list<ByteView> parts) {
  return Sha256(LabelledEncoding(label, parts));
}

HmacSha256Key::HmacSha256Key(ByteView key) {
  std::array<uint8_t, kBlock> block{};
  if (key.size() > kBlock) {
    Sha256Into({key}, MutableByteView(block).first(kHash));
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  for (uint8_t& b : block) b ^= 0x36;
  inner_.Update(block);
  for (uint8_t& b : block) b ^= 0x36 ^ 0x5c;
  outer_.Update(block);
  Wipe(block);
}

void HmacSha256Key::MacInto(std::initializer_list<ByteView> parts, MutableByteView out) const {
  Sha256Stream(inner_).FinishWith(parts, out);
  Sha256Stream(outer_).FinishWith({out}, out);
}

Digest HmacSha256Key::Mac(std::initializer_list<ByteView> parts) const {
  Digest mac;
  MacInto(parts, mac);
  return mac;
}

Digest HmacSha256(const SecretBytes& key, std::initializer_list<ByteView> parts) {
  return HmacSha256Key(key.Reveal()).Mac(parts);
}

bool ConstantTimeEqual(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

SecretBytes HkdfExtract(ByteView salt, std::initializer_list<ByteView> input_key) {
  SecretBytes pseudorandom_key(kHash);
  // An absent salt is a block of zeros (RFC 5869 section 2.2), as is an empty key.
  HmacSha256Key(salt).MacInto(input_key, pseudorandom_key.RevealMutable());
  return pseudorandom_key;
}

SecretBytes HkdfExtract(ByteView salt, ByteView input_key) {
  return HkdfExtract(salt, {input_key});
}

absl::StatusOr<SecretBytes> HkdfExpand(const SecretBytes& pseudorandom_key, ByteView info,
                                       size_t length) {
  if (length > kMaxExpand) {
    return absl::InvalidArgumentError("HKDF-SHA-256 yields at most 8160 bytes");
  }
  HmacSha256Key key(pseudorandom_key.Reveal());
  SecretBytes output(length);
  SecretBytes block(kHash);
  MutableByteView rest = output.RevealMutable();
  ByteView previous;
  for (uint8_t counter = 1; !rest.empty(); ++counter) {
    key.MacInto({previous, info, ByteView(&counter, 1)}, block.RevealMutable());
    size_t take = std::min(rest.size(), kHash);
    std::memcpy(rest.data(), block.Reveal().data(), take);
    rest = rest.subspan(take);
    previous = block.Reveal();
  }
  return output;
}

absl::StatusOr<SecretBytes> Hkdf(ByteView salt, const SecretBytes& input_key, ByteView info,
                                 size_t length) {
  return HkdfExpand(HkdfExtract(salt, input_key.Reveal()), info, length);
}

}  // namespace nark
