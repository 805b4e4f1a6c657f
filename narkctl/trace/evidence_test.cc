#include "narkctl/trace/evidence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "narkctl/trace/testing.h"

namespace nark::trace {
namespace {

// A codeword's every bit seen `times` times, with so many of a hundred wrong.
Evidence Seen(const audit::Family& family, const Digest& id, size_t symbols, int wrong,
              std::mt19937_64& random) {
  Evidence evidence(family.symbols().size());
  const SecretBytes codeword = *family.CodewordOf(id);
  for (uint32_t i = 0; i < symbols; ++i) {
    const bool flip = random() % 100 < static_cast<uint64_t>(wrong);
    evidence.Add(i, (codeword.Reveal()[i] == 1) != flip ? 1 : -1);
  }
  return evidence;
}

TEST(EvidenceTest, AccusesWhoseCodewordWasSeen) {
  Studio studio({.seed = 11, .words_log2 = 12});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(7), 600, 10, studio.random());
  const auto accusation = Accuse(evidence, studio.family(), Studio::Ids(200), 1e-6);
  ASSERT_TRUE(accusation.ok()) << accusation.status();
  ASSERT_EQ(accusation->accused, 1u);
  EXPECT_EQ(accusation->candidates[0].id, Studio::IdOf(7));
  EXPECT_EQ(accusation->candidates.size(), 200u);
  EXPECT_LE(accusation->chances[0], 1e-6 / 200);
}

TEST(EvidenceTest, AccusesNobodyWhoseCodewordWasNotSeen) {
  Studio studio({.seed = 12, .words_log2 = 12});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(7), 4096, 0, studio.random());
  std::vector<Digest> others = Studio::Ids(200);
  others.erase(others.begin() + 7);
  const auto accusation = Accuse(evidence, studio.family(), others, 1e-6);
  ASSERT_TRUE(accusation.ok()) << accusation.status();
  EXPECT_EQ(accusation->accused, 0u);
}

TEST(EvidenceTest, AccusesNobodyOfNothing) {
  Studio studio({.seed = 13, .words_log2 = 10});
  const auto accusation =
      Accuse(Evidence(1024), studio.family(), {Studio::IdOf(1), Studio::IdOf(1)}, 1e-6);
  ASSERT_TRUE(accusation.ok()) << accusation.status();
  EXPECT_EQ(accusation->accused, 0u);
  EXPECT_EQ(accusation->candidates.size(), 1u);
  EXPECT_GT(accusation->threshold, 0);
}

TEST(EvidenceTest, AFewObservationsAccuseNobodyEvenIfAllFit) {
  Studio studio({.seed = 14, .words_log2 = 10});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(0), 8, 0, studio.random());
  const auto accusation = Accuse(evidence, studio.family(), Studio::Ids(1000), 1e-6);
  ASSERT_TRUE(accusation.ok()) << accusation.status();
  EXPECT_EQ(accusation->accused, 0u);
}

TEST(EvidenceTest, InnocentScoresHaveMeanNoughtAndVarianceOne) {
  Studio studio({.seed = 15, .words_log2 = 12});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(5000), 4096, 0, studio.random());
  double sum = 0, squares = 0;
  constexpr uint32_t kInnocents = 1000;
  for (uint32_t i = 0; i < kInnocents; ++i) {
    const SecretBytes codeword = *studio.family().CodewordOf(Studio::IdOf(i));
    const double score = Scorer(evidence, studio.family()).ScoreOf(codeword.Reveal());
    sum += score;
    squares += score * score;
  }
  // Five standard errors.
  EXPECT_NEAR(sum / kInnocents, 0, 5 / std::sqrt(kInnocents));
  EXPECT_NEAR(squares / kInnocents, 1, 5 * std::sqrt(2.0 / kInnocents) * 1.5);
}

TEST(InnocentBoundTest, IsAboveWhatIsCounted) {
  Studio studio({.seed = 16, .words_log2 = 10});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(9000), 100, 0, studio.random());
  const InnocentBound bound(evidence, studio.family());
  constexpr uint32_t kInnocents = 2000;
  std::vector<double> scores;
  for (uint32_t i = 0; i < kInnocents; ++i) {
    const SecretBytes codeword = *studio.family().CodewordOf(Studio::IdOf(i));
    scores.push_back(Scorer(evidence, studio.family()).ScoreOf(codeword.Reveal()));
  }
  for (const double score : {1.0, 2.0, 3.0}) {
    const auto above =
        std::count_if(scores.begin(), scores.end(), [&](double other) { return other >= score; });
    const double counted = static_cast<double>(above) / kInnocents;
    EXPECT_LE(counted, bound.ProbabilityOf(score) + 4 * std::sqrt(counted / kInnocents)) << score;
    EXPECT_GT(bound.ProbabilityOf(score), counted / 10) << score;
  }
}

TEST(InnocentBoundTest, ThresholdAndProbabilityAreInverses) {
  Studio studio({.seed = 17, .words_log2 = 12});
  const Evidence evidence = Seen(studio.family(), Studio::IdOf(1), 2000, 20, studio.random());
  const InnocentBound bound(evidence, studio.family());
  const double threshold = bound.ThresholdFor(1000, 1e-6);
  EXPECT_NEAR(std::log10(bound.ProbabilityOf(threshold)), -9, 0.01);
  // A normal score's would be sqrt(2 ln 10^9) = 6.44; few and rare symbols take more.
  EXPECT_GT(threshold, 6);
  EXPECT_LT(threshold, 8);
  EXPECT_LT(threshold, bound.ThresholdFor(1000, 1e-9));
  EXPECT_EQ(bound.ProbabilityOf(1e9), InnocentBound::kLeastProbability);
}

}  // namespace
}  // namespace nark::trace
