#ifndef NARK_NARKCTL_TRACE_COMB_H_
#define NARK_NARKCTL_TRACE_COMB_H_

#include <optional>
#include <vector>

namespace nark::trace {

// The factor, 1.04 to 8, that 16-bit samples were made louder by before they were
// rounded to 16 bits again, if they were: then some values never occur, and which they are
// tells the factor. What is made quieter loses its least significant bits and has no factor.
std::optional<double> GainOfComb(const std::vector<float>& samples);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_COMB_H_
