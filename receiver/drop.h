#ifndef NARK_RECEIVER_DROP_H_
#define NARK_RECEIVER_DROP_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nark::receiver {

// Why a datagram was of no use. Each is a counter, under the name that Name gives.
enum class Drop : uint8_t {
  kShort,            // shorter than a prefix
  kMagic,            // no datagram of Nark's
  kVersion,          // of another version
  kKind,             // of an unknown kind
  kSession,          // of another session
  kSender,           // of a sender without a certificate in the descriptor
  kBehind,           // of an ADU that play-out has passed
  kRange,            // of an ADU outside of what is to be played of a recording
  kHeaderMalformed,  // the header does not parse
  kHeaderMismatch,   // the header speaks of another ADU or of what the terms do not allow
  kHeaderSignature,  // the header does not verify
  kHeaderRate,       // more bad headers than may be checked in this time
  kForged,           // fragment or page of hashes does not match the signed header
  kIndex,            // the header has no such fragment or page
  kDuplicate,        // was here before
  kGivenUp,          // of an ADU that was given up
  kParity,           // parity that was not needed any more
  kMemory,           // no room for more that waits for its header, or gave way
  kUnverified,       // waited for a header that never came
};
inline constexpr size_t kDrops = 19;
// "short", "header_signature", ...
std::string_view Name(Drop drop);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_DROP_H_
