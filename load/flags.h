#ifndef NARK_LOAD_FLAGS_H_
#define NARK_LOAD_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace nark::load {

// "1200" or "0.5": joins a second, above 0.
absl::StatusOr<double> ParseJoinsPerSecond(const std::string& text);

// "5" or "0.1": a part of all, 0 to 100 percent, as 0 to 1.
absl::StatusOr<double> ParsePercent(const std::string& text);

// "FROM..TO:STEPS": so many rates (at least 2), both ends among them, evenly apart.
absl::StatusOr<std::vector<double>> ParseRates(const std::string& text);

}  // namespace nark::load

#endif  // NARK_LOAD_FLAGS_H_
