#ifndef NARK_NARKCTL_TRACE_MASTER_ALIGNMENT_H_
#define NARK_NARKCTL_TRACE_MASTER_ALIGNMENT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "narkctl/trace/recording.h"

namespace nark::trace {

// A part of a leak that is a part of the master, maybe louder or softer and with noise on it.
struct Stretch {
  size_t at = 0;         // frame of the leak
  size_t frames = 0;     // of it
  size_t master_at = 0;  // frame of the master
  double gain = 1;       // by which the leak is louder, by least squares
};

// Finds by their waveforms where in the master a leak is from: cut anywhere, put together
// from anywhere, with foreign sound between. In the order of the leak. INVALID_ARGUMENT where
// the two have another sample rate or another number of channels.
absl::StatusOr<std::vector<Stretch>> AlignToMaster(
    const Recording& leak, const Recording& master,
    const std::function<void(size_t at, double part)>& progress);

// What the leak says of the least significant bit of each of the master's samples that it
// shows: in [-1, 1], positive for 1, 0 where it says nothing. As many as the leak's samples.
// The leak less what every copy has is the bit and noise; noise is weighed down where it is,
// in time and frequency, as the best linear estimate under noise of another colour has it
// (a matched filter after whitening). From leak and master alone: an innocent's codeword has
// no part in it.
std::vector<float> BitsAgainstMaster(const Recording& leak, const Recording& master,
                                     const std::vector<Stretch>& stretches);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_MASTER_ALIGNMENT_H_
