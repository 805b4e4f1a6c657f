#include "narkctl/trace/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/sanitized.h"
#include "narkctl/trace/testing.h"

namespace nark::trace {
namespace {

constexpr size_t kSecond = 88200;  // samples

Pcm Part(const Pcm& all, size_t first, size_t count) {
  return Pcm(all.begin() + static_cast<int64_t>(first),
             all.begin() + static_cast<int64_t>(first + count));
}

TEST(TraceTest, FindsEverySingleLeakerAndNobodyElse) {
  constexpr uint32_t kReceivers = kSanitized ? 20 : 1000, kTrials = kSanitized ? 5 : 1000;
  constexpr size_t kExcerpt = kSecond / 50;  // 20 ms
  // Small, so that a thousand codewords fit into the cache.
  Studio studio({.seed = 41, .words_log2 = 13});
  const Court court(studio.family(), kReceivers, 1e-6);
  const Pcm masters[] = {studio.MasterOf(0), studio.MasterOf(1), studio.MasterOf(2)};
  for (uint32_t trial = 0; trial < kTrials; ++trial) {
    const auto leaker = static_cast<uint32_t>(studio.random()() % kReceivers);
    const uint64_t adu = studio.random()() % 3;
    const size_t first = studio.random()() % (kSecond - kExcerpt);
    const Pcm leak = Part(studio.CopyOf(leaker, adu, masters[adu]), first, kExcerpt);
    const Examination shown = studio.ExaminationOf(leak, {0, 2});
    EXPECT_EQ(court.Judge(shown.evidence), std::vector<uint32_t>{leaker})
        << "trial " << trial << ", ADU " << adu << ", sample " << first;
  }
}

TEST(TraceTest, AccusesNobodyWhereTheLeakerIsNoCandidate) {
  Studio studio({.seed = 42, .words_log2 = 13});
  const Court court(studio.family(), 100, 1e-6);
  for (uint32_t leaker = 100; leaker < 110; ++leaker) {
    const Examination shown = studio.ExaminationOf(studio.CopyOf(leaker, {4, 5}), {0, 8});
    EXPECT_EQ(shown.method, TraceMethod::kLeastSignificant);
    EXPECT_TRUE(court.Judge(shown.evidence).empty()) << leaker;
  }
}

TEST(TraceTest, AccusesNobodyOfWhatIsNotFromTheSession) {
  Studio studio({.seed = 43, .words_log2 = 12});
  const Examination shown = studio.ExaminationOf(studio.MasterOf(AduRange{0, 1}), {0, 4});
  EXPECT_EQ(shown.method, TraceMethod::kNone);
  EXPECT_EQ(shown.evidence.observations, 0u);
  EXPECT_TRUE(Court(studio.family(), 10, 1e-6).Judge(shown.evidence).empty());
}

class CoalitionTest : public testing::TestWithParam<Collusion> {};

TEST_P(CoalitionTest, IsFoundAndNobodyElse) {
  constexpr uint32_t kReceivers = kSanitized ? 20 : 500;
  Studio studio({.seed = 44});
  const Court court(studio.family(), kReceivers, 1e-6);
  const AduRange excerpt = {2, kSanitized ? 3 : 11};
  std::vector<Pcm> copies;
  std::vector<uint32_t> coalition = {3, 7, 11, 19};
  for (const uint32_t colluder : coalition) copies.push_back(studio.CopyOf(colluder, excerpt));
  const Pcm leak = Collude(copies, GetParam(), kSecond / 20, studio.random());
  const std::vector<uint32_t> accused = court.Judge(studio.ExaminationOf(leak, {0, 15}).evidence);
  EXPECT_FALSE(accused.empty());
  EXPECT_TRUE(std::includes(coalition.begin(), coalition.end(), accused.begin(), accused.end()));
}

std::string NameOf(const testing::TestParamInfo<Collusion>& way) {
  constexpr const char* kNames[] = {"Pieces", "Random", "Majority", "Average"};
  return kNames[static_cast<size_t>(way.param)];
}
INSTANTIATE_TEST_SUITE_P(Ways, CoalitionTest,
                         testing::Values(Collusion::kPieces, Collusion::kRandom,
                                         Collusion::kMajority, Collusion::kAverage),
                         NameOf);

// Four whose part in 10 ms nobody could tell, and in 100 ms everybody.
TEST(TraceTest, APassageInALoopDoesNotDrownTheRest) {
  constexpr uint32_t kReceivers = kSanitized ? 20 : 500;
  Studio studio({.seed = 46});
  const Court court(studio.family(), kReceivers, 1e-6);
  const std::vector<uint32_t> coalition = {3, 7, 11, 19};
  const Pcm master = studio.MasterOf(0);
  std::vector<Pcm> copies;
  for (const uint32_t colluder : coalition) copies.push_back(studio.CopyOf(colluder, 0, master));
  const Pcm mixed = Collude(copies, Collusion::kRandom, 1, studio.random());
  Pcm leak = Part(mixed, 20000, kSecond / 10);
  const Examination once = studio.ExaminationOf(leak, {0, 2});
  const std::vector<uint32_t> accused = court.Judge(once.evidence);
  EXPECT_FALSE(accused.empty());
  const Pcm passage = Part(leak, 0, kSecond / 100);
  for (int i = 0; i < 100; ++i) leak.insert(leak.end(), passage.begin(), passage.end());
  const Examination again = studio.ExaminationOf(leak, {0, 2});
  EXPECT_GT(again.pieces.size(), once.pieces.size() + 90);
  // But for the seams, where some bits fit by chance.
  EXPECT_LT(again.evidence.observations, once.evidence.observations + 200);
  EXPECT_EQ(court.Judge(again.evidence), accused);
}

class DistortionTest : public testing::Test {
 protected:
  std::vector<uint32_t> Accused(const Recording& leak, const Recording* master) {
    return court_.Judge(studio_.ExaminationOf(leak, master, {0, 8}).evidence);
  }
  Recording Distorted(const std::function<double(double)>& change) {
    Recording leak = studio_.RecordingOf(Part(studio_.CopyOf(5, {2, 5}), 1234, 3 * kSecond));
    for (float& sample : leak.samples) sample = static_cast<float>(change(sample));
    return leak;
  }

  Studio studio_{{.seed = 45, .words_log2 = 13}};
  const Court court_{studio_.family(), 50, 1e-6};
  // The master begins with ADU 1.
  const Recording master_ = studio_.RecordingOf(studio_.MasterOf(AduRange{1, 6}));
  const std::vector<uint32_t> leaker_ = {5};
};

TEST_F(DistortionTest, LouderIsFoundWithoutTheMaster) {
  // Where halves are rounded, too.
  for (const double gain : {1.25, 1.4, std::pow(10, 3 / 20.0), 1.5, 1.75, 2.5, 8.0}) {
    const Recording leak = Distorted([&](double sample) { return std::round(sample * gain); });
    EXPECT_EQ(Accused(leak, nullptr), leaker_) << gain;
  }
}

TEST_F(DistortionTest, SofterIsFoundWithTheMasterAlone) {
  const Recording leak =
      Distorted([](double sample) { return std::round(sample * std::pow(10, -3 / 20.0)); });
  EXPECT_TRUE(Accused(leak, nullptr).empty());
  EXPECT_EQ(Accused(leak, &master_), leaker_);
}

TEST_F(DistortionTest, NoiseOfSeveralStepsIsFoundWithTheMaster) {
  std::normal_distribution<double> noise(0, 3);
  const Recording leak =
      Distorted([&](double sample) { return std::round(sample + noise(studio_.random())); });
  EXPECT_TRUE(Accused(leak, nullptr).empty());
  EXPECT_EQ(Accused(leak, &master_), leaker_);
}

TEST_F(DistortionTest, NobodyIsAccusedForAnotherWithTheMaster) {
  const Recording leak = Distorted([](double sample) { return std::round(sample * 0.7); });
  const Examination shown = studio_.ExaminationOf(leak, &master_, {0, 8});
  EXPECT_EQ(shown.method, TraceMethod::kAgainstMaster);
  EXPECT_TRUE(Court(studio_.family(), 5, 1e-6).Judge(shown.evidence).empty());
}

TEST_F(DistortionTest, RandomLeastSignificantBitsTellNothing) {
  const Recording leak = Distorted([&](double sample) {
    return 2 * std::floor(sample / 2) + static_cast<double>(studio_.random()() & 1);
  });
  EXPECT_TRUE(Accused(leak, nullptr).empty());
  EXPECT_TRUE(Accused(leak, &master_).empty());
}

TEST_F(DistortionTest, AMasterThatBeginsElsewhereThanGivenIsRefused) {
  const Recording leak = Distorted([](double sample) { return std::round(sample * 0.7); });
  TraceSettings settings;
  settings.timing = studio_.timing();
  settings.range = {0, 8};
  const auto examine = [&](uint64_t first) {
    settings.master_adu = first;
    return Examine(studio_.family(), studio_.Streams(), leak, &master_, settings);
  };
  const auto right = examine(1);
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_EQ(court_.Judge(right->evidence), leaker_);
  for (const uint64_t wrong : {0, 2, 5}) {
    const absl::Status refused = examine(wrong).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_NE(std::string(refused.message()).find(absl::StrCat("begins with ADU ", wrong)),
              std::string::npos)
        << refused;
  }
}

// Chance is no likelier for being heard a hundred times.
TEST_F(DistortionTest, APassageInALoopDoesNotMakeAWrongPlaceFit) {
  Recording leak = Distorted([](double sample) { return std::round(sample * 0.7); });
  leak.samples.resize(kSecond / 2);
  const std::vector<float> passage = leak.samples;
  for (int i = 0; i < 60; ++i) {
    leak.samples.insert(leak.samples.end(), passage.begin(), passage.end());
  }
  TraceSettings settings;
  settings.timing = studio_.timing();
  settings.range = {20, 60};  // all of them wrong
  const auto shown = Examine(studio_.family(), studio_.Streams(), leak, &master_, settings);
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->method, TraceMethod::kNone);
  EXPECT_EQ(Accused(leak, &master_), leaker_);
}

TEST_F(DistortionTest, AMasterOfAnotherShapeIsRefused) {
  Recording other = master_;
  other.sample_rate = 48000;
  const Recording leak = Distorted([](double sample) { return sample / 2; });
  TraceSettings settings;
  settings.timing = studio_.timing();
  settings.range = {0, 2};
  const auto shown = Examine(studio_.family(), studio_.Streams(), leak, &other, settings);
  ASSERT_EQ(shown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(shown.status().message()).find("ffmpeg"), std::string::npos);
}

}  // namespace
}  // namespace nark::trace
