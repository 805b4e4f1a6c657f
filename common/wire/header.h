#ifndef NARK_COMMON_WIRE_HEADER_H_
#define NARK_COMMON_WIRE_HEADER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/signature.h"
#include "common/wire/batch_tree.h"
#include "common/wire/clear_map.h"
#include "common/wire/datagram.h"

namespace nark::wire {

// The signed header of an ADU (big-endian). "Core" is everything before the
// control block: keys are bound to it.
//
//    0  header version      1  1
//    1  flags               1  bit 0: random access point; others 0
//    2  cipher              1  wire number of the registered cipher
//    3  fragment hash       1  1: SHA-256 truncated to 16 bytes
//    4  session tag         8
//   12  sender id           4
//   16  ADU id              8
//   24  signed time         8  microseconds since the Unix epoch, never decreasing
//   32  deadline            8  the same; 0 where the session has none
//   40  plaintext bytes     4
//   44  ciphertext bytes    4
//   48  fragment bytes      2  size of every source fragment but the last, and of
//                              every parity fragment
//   50  source fragments    2
//   52  parity fragments    2
//   54  fresh bytes        16  random for every ADU
//   70  control block size  2
//   72  clear map entries   1  0 to 32, or 255 for a rule
//   73  clear map           entries: 8 each, u32 offset, u32 length; ascending, disjoint
//                           rule: u8 phase, u8 number of PIDs, u16 each, u32 encrypted
//                           bytes (wire/clear_map.h)
//       control block          ciphertext with tag
//       hash count          2
//       hashes              16 each: of the fragments (source, then parity), or of
//                              the topmost pages of hashes (see LevelSizes)
//
// Authentication field, after the header:
//   single:  u8 1 || signature[64]
//   batch:   u8 2 || u16 index || u16 count || u8 path length ||
//            path[32 each] || signature[64]
// Both signatures are ECDSA P-256 over a DSSE pre-authentication encoding, of
// type kAduHeader over (session context[32] || header), or of type kAduBatch
// over (session context[32] || u32 sender id || u16 count || root[32]). The tree
// is that of RFC 6962: leaf SHA-256(0 || pre-authentication encoding of the
// header), node SHA-256(1 || left || right).
inline constexpr uint8_t kHeaderVersion = 1;
inline constexpr uint8_t kFragmentHashSha256 = 1;
inline constexpr size_t kMaxRootHashes = 48;
inline constexpr size_t kMinControlBlockBytes = 80;   // plaintext
inline constexpr size_t kMaxControlBlockBytes = 256;  // plaintext
inline constexpr size_t kMaxBatch = 1024;
// Fragments are a multiple of 16 bytes, so that pages of hashes fill them, and
// large enough that a header fits one of its own ADU's datagrams.
inline constexpr uint16_t kMinFragmentBytes = 512;
inline constexpr uint32_t kMaxFragments = 65535;  // source and parity together
// The most by which a ciphertext exceeds its plaintext, whatever the cipher.
inline constexpr uint32_t kMaxCipherGrowth = 256;
inline constexpr size_t kCoreBytes = 73;  // without clear map
inline constexpr size_t kMaxAuthenticationBytes = 6 + 32 * 10 + 64;
inline constexpr size_t kMaxSignedHeaderBytes = 2 + kCoreBytes + 8 * kMaxClearRanges +
                                                kMaxControlBlockBytes + 16 + 2 +
                                                16 * kMaxRootHashes + kMaxAuthenticationBytes;

struct Header {
  bool random_access = false;
  uint8_t cipher = 0;
  uint64_t session_tag = 0;
  uint32_t sender_id = 0;
  uint64_t adu_id = 0;
  uint64_t signed_time_us = 0;
  uint64_t deadline_us = 0;
  uint32_t plaintext_bytes = 0;
  uint32_t ciphertext_bytes = 0;
  uint16_t fragment_bytes = 0;
  uint16_t source_fragments = 0;
  uint16_t parity_fragments = 0;
  std::array<uint8_t, 16> fresh{};
  ClearMap clear_map;
  Bytes control_block;  // ciphertext
  std::vector<FragmentHash> hashes;
};

// How many hashes a header holds at most where fragments have this size:
// kMaxRootHashes, or fewer so that they fill at most half a fragment.
size_t MaxRootHashes(uint16_t fragment_bytes);

// How many hashes stand on each level for `fragments` fragments (at least 1): the
// first entry is `fragments` itself, each next one the pages that hold the level
// below, the last at most MaxRootHashes and in the header. A page holds
// fragment_bytes / 16 hashes, the last page of a level what is left. Pages travel
// as kHashes datagrams, numbered through from the level above the fragments
// upwards. `fragment_bytes` is at least kMinFragmentBytes.
std::vector<uint32_t> LevelSizes(uint32_t fragments, uint16_t fragment_bytes);
// The last of them alone.
uint32_t TopLevelSize(uint32_t fragments, uint16_t fragment_bytes);

// The bytes that keys are bound to; control_block_bytes is the ciphertext's size.
Bytes SerialiseCore(const Header& header, uint16_t control_block_bytes);
// How many they are.
size_t CoreBytes(const Header& header);
// The whole header without authentication. Its control block and hashes have been
// filled in; ParseSignedHeader refuses what does not fit together.
Bytes SerialiseHeader(const Header& header);

// INVALID_ARGUMENT where sizes, counts, times or maps contradict each other:
//   1 <= plaintext bytes <= kMaxAduBytes; plaintext bytes <= ciphertext bytes <=
//   plaintext bytes + kMaxCipherGrowth (exactly the cipher's: wire/cipher.h,
//   CheckAgainstCipher); fragment bytes a multiple of 16, >= kMinFragmentBytes;
//   source fragments == ceil(ciphertext bytes / fragment bytes); no more
//   parity than source fragments, and at most kMaxFragments in all; deadline 0 or >= signed time;
//   CheckClearMap; control block of kMinControlBlockBytes to kMaxControlBlockBytes, and 16 for its
//   tag; as many hashes as TopLevelSize.
absl::Status CheckHeader(const Header& header);

// Whether a datagram's prefix names the ADU of the header.
inline bool MatchesPrefix(const Header& header, const Prefix& prefix) {
  return header.session_tag == prefix.session_tag && header.sender_id == prefix.sender_id &&
         header.adu_id == prefix.adu_id;
}

// Views into a header as received.
struct ParsedHeader {
  Header header;
  ByteView bytes;           // the header itself: what is signed
  ByteView core;            // its part before the control block
  ByteView authentication;  // the field behind it
};

// Parses `u16 header bytes || header || authentication` (as in a kHeader
// datagram's payload and in ReleaseKeys). Strict: every inconsistency of sizes,
// counts and maps, every reserved bit and every trailing byte is refused. For
// kWhole datagrams see ParseWhole.
// INVALID_ARGUMENT. The views point into `signed_header`.
absl::StatusOr<ParsedHeader> ParseSignedHeader(ByteView signed_header);

// A kWhole payload: u16 signed-header bytes || signed header || ciphertext. The
// ADU has one source fragment, no parity, and its ciphertext hashes to the
// header's one hash: the caller checks that once the header has verified.
struct ParsedWhole {
  ByteView signed_header;
  ByteView ciphertext;
};
Bytes SerialiseWhole(ByteView signed_header, ByteView ciphertext);
absl::StatusOr<ParsedWhole> ParseWhole(ByteView payload);

// A batch authentication without its signature: where a header stands.
struct BatchPlace {
  uint16_t index = 0;
  uint16_t count = 0;
  std::vector<Digest> path;
};
struct ParsedAuthentication {
  std::optional<BatchPlace> batch;  // empty for a single signature
  Signature signature{};
};
// Strict: the path has exactly the length that index and count give.
absl::StatusOr<ParsedAuthentication> ParseAuthentication(ByteView field);

// Signs headers: Single for one; Batch for up to kMaxBatch headers (as
// serialised) of one sender and session, one signature for all. Each result is
// `u16 header bytes || header || authentication`.
absl::StatusOr<Bytes> SignSingle(const Digest& session_context, ByteView header,
                                 const PrivateKey& key);
absl::StatusOr<std::vector<Bytes>> SignBatch(const Digest& session_context, uint32_t sender_id,
                                             const std::vector<Bytes>& headers,
                                             const PrivateKey& key);

struct AuthenticationParts;  // layout.h

// Verifies headers of one session; remembers the last roots (bounded, per
// sender) so that the signature of a batch, and of a header that repeats, is
// checked once, and nodes below the last of them so that paths are not hashed
// to their ends. One thread only.
class HeaderVerifier {
 public:
  explicit HeaderVerifier(const Digest& session_context) : context_(session_context) {}
  // UNAUTHENTICATED where it does not verify under `sender_key`, the key of the
  // header's sender id, or carries another session's tag.
  absl::Status Verify(const ParsedHeader& header, const PublicKey& sender_key);
  // Signatures really checked, for statistics and tests.
  uint64_t signatures_checked() const { return signatures_checked_; }
  // Batches of which nodes are remembered: at most 8, whatever comes.
  size_t batches_remembered() const { return batches_.size(); }

 private:
  // A batch whose root has verified under this signature and key.
  struct VerifiedBatch {
    Digest key_id;
    uint32_t sender_id;
    Signature signature;
    BatchTree tree;
  };
  Digest LeafHash(ByteView header);
  absl::Status VerifyBatch(const ParsedHeader& header, const AuthenticationParts& parts,
                           const PublicKey& key);
  absl::Status VerifyOnce(std::string_view type, ByteView payload, ByteView signature,
                          const PublicKey& key);

  Digest context_;
  Sha256Stream leaf_start_;  // for headers of leaf_bytes_: most have the size of the last
  size_t leaf_bytes_ = 0;
  std::deque<VerifiedBatch> batches_;  // the oldest first
  std::vector<Digest> seen_;           // of (key id, message, signature), only what has verified
  size_t next_ = 0;                    // the oldest, once seen_ is full
  uint64_t signatures_checked_ = 0;
};

// What a control block says (plaintext layout, constant size, zero padded):
//   entries: u8 action || u64 issue time us or contact sequence ||
//            u8 target bytes (16 to 32) || target
//   action 1 stop, 2 contact; action 3 is a digest of an earlier ADU:
//            u8 3 || u64 ADU id || u8 32 || digest[32]
//   action 0 ends the list; every byte after it is 0.
struct ControlEntry {
  uint8_t action = 0;
  uint64_t number = 0;
  Bytes target;
};
absl::StatusOr<Bytes> SerialiseControlBlock(const std::vector<ControlEntry>& entries,
                                            size_t plaintext_bytes);
absl::StatusOr<std::vector<ControlEntry>> ParseControlBlock(ByteView plaintext);

}  // namespace nark::wire

#endif  // NARK_COMMON_WIRE_HEADER_H_
