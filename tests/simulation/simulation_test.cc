#include "tests/simulation/simulation.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace nark::simulation {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

uint64_t FirstSeed() { return FromEnvironment("NARK_FIRST_SEED", 1); }
uint64_t Seeds() { return FromEnvironment("NARK_SEEDS", 100); }

std::string Describe(const Report& report) {
  std::string text;
  for (const std::string& violation : report.violations) text += violation + "\n";
  return text + "last events:\n" + report.tail;
}

class SimulationTest : public testing::TestWithParam<uint64_t> {};

TEST_P(SimulationTest, HoldsTheInvariants) {
  const Report report = Simulate({.seed = GetParam()});
  EXPECT_TRUE(report.violations.empty())
      << "seed " << GetParam() << " (./tests/run simulate --seeds 1 --first " << GetParam() << ")\n"
      << Describe(report);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationTest,
                         testing::Range<uint64_t>(FirstSeed(), FirstSeed() + Seeds()));

TEST(SimulationItselfTest, RepeatsItselfToTheLastEvent) {
  for (const uint64_t seed : {FirstSeed(), FirstSeed() + 1, FirstSeed() + 2}) {
    const Report once = Simulate({.seed = seed}), again = Simulate({.seed = seed});
    EXPECT_EQ(once.events, again.events) << "seed " << seed;
    EXPECT_EQ(once.events_hash, again.events_hash) << "seed " << seed;
  }
  EXPECT_NE(Simulate({.seed = FirstSeed()}).events_hash,
            Simulate({.seed = FirstSeed() + 1}).events_hash);
}

TEST(SimulationItselfTest, MuchHappens) {
  // Otherwise the invariants would hold over nothing.
  uint64_t sent = 0, delivered = 0, datagrams = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Report report = Simulate({.seed = seed});
    sent += report.adus_sent;
    datagrams += report.datagrams_sent;
    delivered += report.adus_delivered;
  }
  EXPECT_GT(sent, 5 * 60u);
  EXPECT_GT(datagrams, 5 * 300u);
  EXPECT_GT(delivered, 5 * 40u);
}

TEST(SimulationItselfTest, AJoinCausesNoMessageToTheSender) {
  // The sender does the same to the last datagram, whether nobody listens or many.
  const Report alone = Simulate({.seed = 5, .viewers = 0});
  const Report watched = Simulate({.seed = 5, .viewers = 4});
  EXPECT_EQ(alone.station_hash, watched.station_hash);
  EXPECT_EQ(alone.datagrams_sent, watched.datagrams_sent);
  EXPECT_EQ(alone.adus_sent, watched.adus_sent);
}

}  // namespace
}  // namespace nark::simulation
