#ifndef NARK_LOAD_ARRIVALS_H_
#define NARK_LOAD_ARRIVALS_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "load/uniform.h"

namespace nark::load {

// How many joins a second are meant to begin: a rate that goes linearly from one to the
// other. All patterns are of this form.
struct RateProfile {
  double from_per_second = 0;
  double to_per_second = 0;
  std::chrono::microseconds duration{0};

  double seconds() const { return std::chrono::duration<double>(duration).count(); }
  // The joins of the whole profile, on average.
  double joins() const { return (from_per_second + to_per_second) / 2 * seconds(); }
  double mean_per_second() const { return (from_per_second + to_per_second) / 2; }
};

// The start of a programme as the paper has it (section 2.1): "ten million viewers for a
// popular Internet pay-TV channel. Even if just 10% of the audience tuned in or out within a
// fifteen minute period, this would potentially cause thousands of secure joins or leaves
// per second." A tenth of `audience` joins within fifteen minutes, from nobody at their
// beginning to twice the mean when the programme starts, at their end: of ten million
// 1,111 joins a second on average and 2,222 at the end. Another `duration` compresses the
// shape and keeps the rates.
inline constexpr uint64_t kPaperAudience = 10'000'000;
inline constexpr std::chrono::minutes kPaperPeriod{15};
RateProfile ProgrammeStart(uint64_t audience, std::chrono::microseconds duration);

// How joins are spread around the rate.
enum class Spacing {
  kEven,     // as far from each other as the rate says
  kPoisson,  // independently of each other, as people do
};

// The intended starts of all joins, in order, counted from the run's beginning: a function
// of profile, spacing and seed, and of nothing that happens meanwhile. One thread only.
class ArrivalProcess {
 public:
  // INVALID_ARGUMENT for a rate that is negative, zero throughout or above a million a
  // second, or a duration that is not positive.
  static absl::StatusOr<ArrivalProcess> Create(const RateProfile& profile, Spacing spacing,
                                               uint64_t seed);

  // The next intended start; nullopt once the profile is over.
  std::optional<std::chrono::microseconds> Next();

 private:
  ArrivalProcess(const RateProfile& profile, Spacing spacing, uint64_t seed)
      : profile_(profile), spacing_(spacing), uniform_(seed) {}

  RateProfile profile_;
  Spacing spacing_;
  Uniform uniform_;
  bool begun_ = false;
  double expected_ = 0;  // joins until the last start, on average
};

}  // namespace nark::load

#endif  // NARK_LOAD_ARRIVALS_H_
