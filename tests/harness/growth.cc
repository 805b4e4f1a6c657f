#include "tests/harness/growth.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>

namespace nark::harness {
namespace {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double MedianAmount(std::span<const Reading> readings) {
  std::vector<double> amounts;
  for (const Reading& reading : readings) amounts.push_back(reading.amount);
  return Median(std::move(amounts));
}

double MedianSlope(const std::vector<Reading>& readings) {
  std::vector<double> slopes;
  for (size_t i = 0; i < readings.size(); ++i) {
    for (size_t j = i + 1; j < readings.size(); ++j) {
      const double work = readings[j].work - readings[i].work;
      if (work > 0) slopes.push_back((readings[j].amount - readings[i].amount) / work);
    }
  }
  if (slopes.empty()) throw std::runtime_error("no work was done between the readings");
  return Median(std::move(slopes));
}

}  // namespace

Growth GrowthOf(const std::vector<Reading>& readings) {
  constexpr size_t kLeast = 9;
  if (readings.size() < kLeast) throw std::runtime_error("too few readings to tell a growth");
  const std::span<const Reading> all(readings);
  const size_t third = all.size() / 3;
  return {.start = MedianAmount(all.first(third)),
          .end = MedianAmount(all.last(third)),
          .work = readings.back().work - readings.front().work,
          .per_work = MedianSlope(readings)};
}

}  // namespace nark::harness
