#ifndef NARK_NARKCTL_TRACE_TRACE_H_
#define NARK_NARKCTL_TRACE_TRACE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "nark/v1/session.pb.h"
#include "narkctl/trace/evidence.h"
#include "narkctl/trace/lsb_alignment.h"
#include "narkctl/trace/recording.h"

namespace nark::trace {

// A stream of the session, and what Family::StreamKey says of it.
struct StreamToSearch {
  uint32_t sub_session = 0;
  uint32_t sender_id = 0;
  SecretBytes key;
};

struct TraceSettings {
  v1::AduTiming timing;
  AduRange range;
  // The id of the ADU that the master begins with; searched in the range unless given.
  std::optional<uint64_t> master_adu;
  std::function<void(size_t at, double part)> progress;
};

enum class TraceMethod : uint8_t {
  kNone,              // nothing was aligned
  kLeastSignificant,  // the leak's own least significant bits
  kLessGain,          // the same once it is as loud as it was
  kAgainstMaster,     // what the leak has beside the master
};

struct TracedPiece {
  size_t stream = 0;  // of those that were searched
  Piece piece;
};

// What a leak shows.
struct Examination {
  explicit Examination(size_t codeword_symbols) : evidence(codeword_symbols) {}

  TraceMethod method = TraceMethod::kNone;
  double gain = 1;                  // of the leak
  std::vector<TracedPiece> pieces;  // in the order of the leak, stream by stream
  uint64_t samples = 0;             // of the leak
  uint64_t symbols_seen = 0;
  Evidence evidence;
};

// Aligns a leak, and observes; what cannot be aligned shows nothing. `master` may be none.
// Errors are those of AlignToMaster and AduLayout.
absl::StatusOr<Examination> Examine(const audit::Family& family,
                                    const std::vector<StreamToSearch>& streams,
                                    const Recording& leak, const Recording* master,
                                    const TraceSettings& settings);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_TRACE_H_
