#include "receiver/drop.h"

namespace nark::receiver {

std::string_view Name(Drop drop) {
  switch (drop) {
    case Drop::kShort:
      return "short";
    case Drop::kMagic:
      return "magic";
    case Drop::kVersion:
      return "version";
    case Drop::kKind:
      return "kind";
    case Drop::kSession:
      return "session";
    case Drop::kSender:
      return "sender";
    case Drop::kBehind:
      return "behind";
    case Drop::kRange:
      return "range";
    case Drop::kHeaderMalformed:
      return "header_malformed";
    case Drop::kHeaderMismatch:
      return "header_mismatch";
    case Drop::kHeaderSignature:
      return "header_signature";
    case Drop::kHeaderRate:
      return "header_rate";
    case Drop::kForged:
      return "forged";
    case Drop::kIndex:
      return "index";
    case Drop::kDuplicate:
      return "duplicate";
    case Drop::kGivenUp:
      return "given_up";
    case Drop::kParity:
      return "parity";
    case Drop::kMemory:
      return "memory";
    case Drop::kUnverified:
      return "unverified";
  }
  return "unknown";
}

}  // namespace nark::receiver
