#ifndef NARK_NARKCTL_TRACE_EVIDENCE_H_
#define NARK_NARKCTL_TRACE_EVIDENCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"

namespace nark::trace {

// What a recording shows of the codewords of those who made it: for each symbol a sum of
// observations in [-1, 1], positive for 1.
struct Evidence {
  explicit Evidence(size_t symbols) : sums(symbols) {}
  void Add(uint32_t symbol, double observation) {
    sums[symbol] += observation;
    ++observations;
  }

  std::vector<double> sums;
  uint64_t observations = 0;
};

// How a candidate's codeword fits the evidence d: sum of d_i U_i over the root of the sum of
// d_i^2, where U_i is sqrt((1-p)/p) for 1 and -sqrt(p/(1-p)) for 0: the symmetric score of
// Skoric, Katzenbeisser and Celik (2008) to Tardos' code (JACM 2008). Of an innocent it has
// mean 0 and variance 1, since its codeword is independent of whatever was recorded.
// Thread-safe.
class Scorer {
 public:
  Scorer(const Evidence& evidence, const audit::Family& family);
  // 0 of no evidence. `codeword`: Family::CodewordOf's.
  double ScoreOf(ByteView codeword) const;

 private:
  struct Seen {
    uint32_t symbol;
    float of_one;  // more than for 0
  };
  std::vector<Seen> seen_;
  double of_zeros_ = 0;  // the score of all 0
};

// The chance of an innocent to reach a score, given the evidence, is bounded by Chernoff:
//   ln P(S >= z) <= min over t > 0 of  sum of ln E[exp(t d_i U_i)] - t z
// where each expectation is over a bit that is 1 with the symbol's bias. That is exact for
// the codewords at hand: nothing is taken to be normal.
class InnocentBound {
 public:
  // What a double can not tell from nothing is still no certainty.
  static constexpr double kLeastProbability = 1e-300;

  InnocentBound(const Evidence& evidence, const audit::Family& family);

  // The least score with which `candidates` innocents all stay below, but with this
  // probability. Of no evidence: what a normal score would need.
  double ThresholdFor(uint64_t candidates, double probability) const;
  // Bounds the probability that one innocent scores at least this; never below
  // kLeastProbability.
  double ProbabilityOf(double score) const;

 private:
  // Symbols of one bias and one sum.
  struct Group {
    double bias, sum, count;
  };
  // The logarithm of the expectation, and its slope.
  std::pair<double, double> Cumulant(double t) const;

  std::vector<Group> groups_;
};

struct Candidate {
  Digest id{};
  double score = 0;
};

// Whom the evidence accuses.
struct Accusation {
  std::vector<Candidate> candidates;  // highest score first
  size_t accused = 0;                 // so many of them
  double threshold = 0;
  // Of this accusation to name any innocent, whoever made the recording.
  double error_probability = 0;
  // For each accused: of one innocent to score as high, at most.
  std::vector<double> chances;
};

// Scores every candidate, and accuses those above the threshold. Ids that occur twice count
// once. Errors are Family's.
absl::StatusOr<Accusation> Accuse(const Evidence& evidence, const audit::Family& family,
                                  std::vector<Digest> candidates, double error_probability);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_EVIDENCE_H_
