#ifndef NARK_NARKCTL_CANDIDATES_H_
#define NARK_NARKCTL_CANDIDATES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/object/session.h"

namespace nark::narkctl {

// Who may have leaked.
struct Candidates {
  std::vector<Digest> secure_spaces;
  // Files of the folder that are no vouchers of the session, by name: whose voucher was
  // damaged is not among the candidates.
  std::vector<std::string> left_out;
  // ADU ids from the least to the greatest that vouchers name, where vouchers are at hand.
  std::optional<std::pair<uint64_t, uint64_t>> range;
};

// Of a folder: to whom its voucher files of this session are made out; what else lies there,
// and in folders in it, is ignored. Nothing is signed for: a voucher that nobody sold adds a
// candidate, and accuses nobody. Of a file: a voucher, or secure-space ids in hexadecimal
// digits, a line each, empty lines and what follows a '#' apart. Of an empty path: those to whom
// the provider's folder has vouchers issued, of any session of the same family of blocks.
// INVALID_ARGUMENT where there is nobody.
absl::StatusOr<Candidates> ReadCandidates(const std::string& path, const std::string& provider,
                                          const VerifiedSession& session);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_CANDIDATES_H_
