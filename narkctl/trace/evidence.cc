#include "narkctl/trace/evidence.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/secret_bytes.h"

namespace nark::trace {
namespace {

// Beyond this the bound falls no further that matters, and exponentials overflow.
constexpr double kMostSlope = 200;

double NormOf(const Evidence& evidence) {
  double squares = 0;
  for (const double sum : evidence.sums) squares += sum * sum;
  return std::sqrt(squares);
}

}  // namespace

Scorer::Scorer(const Evidence& evidence, const audit::Family& family) {
  const double norm = NormOf(evidence);
  for (uint32_t i = 0; i < evidence.sums.size(); ++i) {
    if (evidence.sums[i] == 0) continue;
    const double bias = family.symbols()[i].bias(), odds = std::sqrt((1 - bias) / bias);
    const double weight = evidence.sums[i] / norm;
    of_zeros_ -= weight / odds;
    seen_.push_back({i, static_cast<float>(weight * (odds + 1 / odds))});
  }
}

double Scorer::ScoreOf(ByteView codeword) const {
  double score = of_zeros_;
  for (const Seen& seen : seen_) score += codeword[seen.symbol] * seen.of_one;
  return score;
}

InnocentBound::InnocentBound(const Evidence& evidence, const audit::Family& family) {
  const double norm = NormOf(evidence);
  std::map<std::pair<uint32_t, double>, double> counts;
  for (size_t i = 0; i < evidence.sums.size(); ++i) {
    const double sum = evidence.sums[i];
    // A bias and a sum, and the mirror of both, have the same distribution.
    const uint32_t ones = sum > 0 ? family.symbols()[i].ones : 65536 - family.symbols()[i].ones;
    if (sum != 0) counts[{ones, std::abs(sum)}] += 1;
  }
  groups_.reserve(counts.size());
  for (const auto& [key, count] : counts) {
    groups_.push_back({.bias = key.first / 65536.0, .sum = key.second / norm, .count = count});
  }
}

std::pair<double, double> InnocentBound::Cumulant(double t) const {
  double value = 0, slope = 0;
  for (const Group& group : groups_) {
    const double odds = std::sqrt((1 - group.bias) / group.bias);
    const double of_one = group.sum * odds, of_zero = -group.sum / odds;
    // Relative to the bit that weighs more, so that nothing overflows.
    const double zero = (1 - group.bias) * std::exp(-t * (of_one - of_zero));
    const double all = group.bias + zero;
    value += group.count * (t * of_one + std::log(all));
    slope += group.count * (group.bias * of_one + zero * of_zero) / all;
  }
  return {value, slope};
}

double InnocentBound::ThresholdFor(uint64_t candidates, double probability) const {
  const double needed =
      std::log(static_cast<double>(std::max<uint64_t>(candidates, 1))) - std::log(probability);
  if (groups_.empty()) return std::sqrt(2 * needed);
  // (value + needed) / t bounds for whatever t; it is least where t * slope - value = needed,
  // and left of that it falls.
  double low = 0, high = kMostSlope;
  for (int i = 0; i < 50; ++i) {
    const double t = (low + high) / 2;
    const auto [value, slope] = Cumulant(t);
    (t * slope - value < needed ? low : high) = t;
  }
  return (Cumulant(high).first + needed) / high;
}

double InnocentBound::ProbabilityOf(double score) const {
  if (groups_.empty() || score <= 0) return 1;
  double low = 0, high = kMostSlope;
  for (int i = 0; i < 50; ++i) {
    const double t = (low + high) / 2;
    (Cumulant(t).second < score ? low : high) = t;
  }
  return std::clamp(std::exp(Cumulant(high).first - high * score), kLeastProbability, 1.0);
}

absl::StatusOr<Accusation> Accuse(const Evidence& evidence, const audit::Family& family,
                                  std::vector<Digest> candidates, double error_probability) {
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  const InnocentBound bound(evidence, family);
  const Scorer scorer(evidence, family);
  Accusation accusation;
  accusation.threshold = bound.ThresholdFor(candidates.size(), error_probability);
  accusation.error_probability = error_probability;
  for (const Digest& id : candidates) {
    ASSIGN_OR_RETURN(const SecretBytes codeword, family.CodewordOf(id));
    accusation.candidates.push_back({id, scorer.ScoreOf(codeword.Reveal())});
  }
  std::stable_sort(accusation.candidates.begin(), accusation.candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  for (const Candidate& candidate : accusation.candidates) {
    // Not "less than": what is no number accuses nobody.
    if (evidence.observations == 0 || !(candidate.score >= accusation.threshold)) break;
    ++accusation.accused;
    accusation.chances.push_back(bound.ProbabilityOf(candidate.score));
  }
  return accusation;
}

}  // namespace nark::trace
