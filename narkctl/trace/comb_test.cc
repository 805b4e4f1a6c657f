#include "narkctl/trace/comb.h"

#include <gtest/gtest.h>

#include <cmath>

#include "narkctl/trace/testing.h"

namespace nark::trace {
namespace {

std::vector<float> Louder(const Pcm& samples, double gain) {
  std::vector<float> louder;
  for (const int16_t sample : samples) {
    louder.push_back(static_cast<float>(std::floor(sample * gain + 0.5)));
  }
  return louder;
}

TEST(CombTest, TellsByHowMuchSamplesWereMadeLouder) {
  Studio studio({.seed = 31});
  const Pcm samples = studio.MasterOf(AduRange{0, 1});
  for (const double gain :
       {1.1, 1.25, 1.4, std::pow(10, 3 / 20.0), 361 / 256.0, 1.5, 1.75, 2.0, 2.5, 3.37, 8.0}) {
    const auto found = GainOfComb(Louder(samples, gain));
    ASSERT_TRUE(found.has_value()) << gain;
    size_t wrong = 0;
    const std::vector<float> louder = Louder(samples, gain);
    for (size_t i = 0; i < samples.size(); ++i) {
      wrong += std::lround(louder[i] / *found) != samples[i] ? 1 : 0;
    }
    EXPECT_LT(wrong, samples.size() / 15) << gain << " found " << *found;
  }
}

TEST(CombTest, RoundsHalvesAsWhoeverMadeThem) {
  Studio studio({.seed = 33});
  const Pcm samples = studio.MasterOf(AduRange{0, 1});
  for (const double gain : {1.25, 1.5, 1.75, 2.5}) {
    std::vector<float> away, even;
    for (const int16_t sample : samples) {
      away.push_back(static_cast<float>(std::round(sample * gain)));
      even.push_back(static_cast<float>(std::nearbyint(sample * gain)));
    }
    for (const auto& louder : {away, even}) {
      const auto found = GainOfComb(louder);
      ASSERT_TRUE(found.has_value()) << gain;
      size_t wrong = 0;
      for (size_t i = 0; i < samples.size(); ++i) {
        wrong += std::lround(louder[i] / *found) != samples[i] ? 1 : 0;
      }
      EXPECT_LT(wrong, samples.size() / 15) << gain << " found " << *found;
    }
  }
}

TEST(CombTest, SeesNoneWhereThereIsNone) {
  Studio studio({.seed = 32});
  const Pcm samples = studio.MasterOf(AduRange{0, 1});
  EXPECT_FALSE(GainOfComb(Louder(samples, 1)).has_value());
  EXPECT_FALSE(GainOfComb(Louder(samples, 0.7)).has_value());
  EXPECT_FALSE(GainOfComb(std::vector<float>(1000, 4)).has_value());
}

}  // namespace
}  // namespace nark::trace
