#include "narkctl/trace/comb.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace nark::trace {
namespace {

constexpr size_t kMostValues = 1000;
constexpr double kClipped = 32700;
// Twice what the finest factor may be off by at the largest value.
constexpr double kHalfway = 0.01;

// Distinct values that occur, each once, by size.
std::vector<double> ValuesOf(const std::vector<float>& samples) {
  std::vector<bool> seen(65536);
  for (const float sample : samples) {
    const long value = std::lround(sample);
    if (std::abs(value) < kClipped) seen[static_cast<size_t>(value + 32768)] = true;
  }
  std::vector<double> values;
  for (int magnitude = 2; magnitude < kClipped; ++magnitude) {
    for (const int value : {magnitude, -magnitude}) {
      if (seen[static_cast<size_t>(value + 32768)]) values.push_back(value);
    }
  }
  return values;
}

// The part of values that some integer becomes, times the factor and rounded.
double PartOnComb(const std::vector<double>& values, size_t count, double gain) {
  const size_t step = std::max<size_t>(1, count / kMostValues);
  // Halves are rounded up by some, away from zero by others, and to even by who computes in
  // floating point.
  size_t up = 0, away = 0, even = 0, all = 0;
  // Not at even steps, which would see every other tooth of twice the factor alone.
  std::minstd_rand hop(1);
  for (size_t i = 0; i < count; i += 1 + hop() % (2 * step - 1)) {
    double exact = std::round(values[i] / gain) * gain;
    // A factor that is off by little must not turn all halves the same way.
    const double halves = std::round(2 * exact);
    if (std::abs(2 * exact - halves) < kHalfway) exact = halves / 2;
    up += std::floor(exact + 0.5) == values[i] ? 1 : 0;
    away += std::round(exact) == values[i] ? 1 : 0;
    even += std::nearbyint(exact) == values[i] ? 1 : 0;
    ++all;
  }
  return all > 0 ? static_cast<double>(std::max({up, away, even})) / static_cast<double>(all) : 0;
}

}  // namespace

std::optional<double> GainOfComb(const std::vector<float>& samples) {
  const std::vector<double> values = ValuesOf(samples);
  if (values.size() < 200) return std::nullopt;
  // Small values tell roughly, larger ones ever more finely: a factor that is off by d moves a
  // value v by v d.
  std::vector<double> candidates;
  for (double gain = 1.04; gain < 8.001; gain += 1e-3) candidates.push_back(gain);
  // Exactly, as people choose them: many of their values are halves before they are rounded.
  for (int eighths = 9; eighths <= 64; ++eighths) candidates.push_back(eighths / 8.0);
  double resolution = 1e-3, reach = 100;
  while (true) {
    const auto beyond = std::find_if(values.begin(), values.end(),
                                     [&](double value) { return std::abs(value) > reach; });
    const auto count = static_cast<size_t>(beyond - values.begin());
    std::vector<std::pair<double, double>> rated;
    for (const double gain : candidates) {
      // By chance alone one in so many is on the comb: in standard deviations beyond it.
      const double part = PartOnComb(values, count, gain), chance = 1 / gain;
      rated.emplace_back((part - chance) / std::sqrt(chance * (1 - chance)), gain);
    }
    std::sort(rated.rbegin(), rated.rend());
    if (beyond == values.end() && resolution < 0.004 / reach) {
      const double gain = rated.front().second;
      const double part = PartOnComb(values, count, gain);
      if (part - 1 / gain < 0.4 * (1 - 1 / gain)) return std::nullopt;
      return gain;
    }
    rated.resize(std::min<size_t>(rated.size(), 400));
    if (beyond != values.end()) reach *= 3;
    // Each level tells three times as finely, so that about as many stay alike.
    candidates.clear();
    for (const auto& [rating, gain] : rated) {
      for (int i = -1; i <= 1; ++i) candidates.push_back(gain + i * resolution / 3);
    }
    resolution /= 3;
  }
}

}  // namespace nark::trace
