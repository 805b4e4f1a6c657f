// What FEC promises under loss: by counting for many losses, by a real receiver for fewer,
// each from a seed.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "common/base/sanitized.h"
#include "common/wire/datagram.h"
#include "receiver/reassembler.h"
#include "tests/fec/loss_model.h"
#include "tests/fec/recorded_sender.h"

namespace nark::fec {
namespace {

// Counting is a hundred times slower there, and touches nobody's memory: fewer are drawn.
constexpr uint64_t kFewer = kSanitized ? 50 : 1;

using Outcome = LossModel::Outcome;

constexpr double kLoss = 0.1;
constexpr uint32_t kPercent = 20;

uint64_t DrawSeed() {
  const uint64_t seed = std::random_device()();
  ::testing::Test::RecordProperty("seed", std::to_string(seed));
  return seed;
}

// How many of `trials` are not delivered.
uint64_t Failures(LossModel& model, double loss, uint64_t trials, std::mt19937_64& random) {
  uint64_t failures = 0;
  for (uint64_t i = 0; i < trials; ++i) {
    if (model.Judge(DrawLosses(model.datagrams(), loss, random)) != Outcome::kDelivered) ++failures;
  }
  return failures;
}

double Exact(const LossModel& model, double loss) {
  if (model.whole()) return std::pow(loss, model.copies());
  return 1 - (1 - ExactBlockFailure(model.spread(), loss)) *
                 (1 - ExactHeaderFailure(model.copies(), model.pages(), loss));
}

class DeliveryTest : public ::testing::Test {
 protected:
  LossModel Model(uint32_t source) {
    return LossModel(sender_.Send(RecordedSender::BytesFor(source)));
  }
  RecordedSender sender_{kPercent};
};

// The claim, for each size where it is nearest to the edge, and over all of them.
TEST_F(DeliveryTest, AtTenPercentLossTwentyPercentParityDelivers999OfAThousand) {
  const uint64_t seed = DrawSeed();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  uint64_t failures = 0, trials = 0;
  double worst = 0;
  for (uint32_t source = 200; source <= 400; ++source) {
    LossModel model = Model(source);
    ASSERT_EQ(model.header().source_fragments, source);
    const double exact = Exact(model, kLoss);
    EXPECT_LT(exact, 1e-3) << source << " fragments";
    worst = std::max(worst, exact);
    const uint64_t these = (source == 200 ? 100'000 : 1000) / kFewer;
    const uint64_t lost = Failures(model, kLoss, these, random);
    // At 200 some 50 are expected, so 100 are seven standard deviations off.
    if (source == 200 && kFewer == 1) {
      EXPECT_LT(lost, these / 1000);
    }
    failures += lost;
    trials += these;
  }
  if (kFewer > 1) return;
  EXPECT_LT(failures, trials / 1000) << "of " << trials;
  EXPECT_GT(failures, 0u) << "300,000 ADUs without one lost: the loss is not what it should be";
  RecordProperty("worst_exact", std::to_string(worst));
}

// A block must be what breaks first, wherever the copies are not at their limit.
TEST_F(DeliveryTest, MeasuredLossIsTheBinomials) {
  const uint64_t seed = DrawSeed();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  constexpr uint64_t kTrials = 20'000 / kFewer;
  for (const uint32_t source : {1, 2, 5, 10, 44, 100, 213, 430, 1000}) {
    LossModel model = Model(source);
    // Losing a page need not lose a large ADU, so the exact value is a bound there.
    for (const double loss : {0.1, 0.15}) {
      const double exact = Exact(model, loss);
      const double deviation = std::sqrt(exact * (1 - exact) * kTrials) + 1;
      const auto failures = static_cast<double>(Failures(model, loss, kTrials, random));
      EXPECT_LT(failures, exact * kTrials + 6 * deviation) << source << " at " << loss;
      const double at_least = ExactBlockFailure(model.spread(), loss);
      EXPECT_GT(failures, at_least * kTrials - 6 * deviation) << source << " at " << loss;
    }
  }
}

// The counting is right: a real receiver completes exactly what it says.
TEST_F(DeliveryTest, ARealReceiverCompletesWhatCountingSays) {
  const uint64_t seed = DrawSeed();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  std::map<bool, int> outcomes;
  for (const uint32_t source : {1, 3, 12, 60, 200, 300, 400, 430, 600}) {
    const std::vector<Bytes> datagrams = sender_.Send(RecordedSender::BytesFor(source));
    LossModel model(datagrams);
    for (int trial = 0; trial < 24; ++trial) {
      // From what is asked for to what can not be.
      const double loss = trial % 3 == 0 ? 0.1 : trial % 3 == 1 ? 0.16 : 0.2;
      const std::vector<bool> lost = DrawLosses(datagrams.size(), loss, random);
      receiver::Reassembler reassembler(sender_.session(), 0);
      std::vector<receiver::CompleteAdu> complete;
      for (size_t i = 0; i < datagrams.size(); ++i) {
        if (!lost[i]) reassembler.OnDatagram(datagrams[i], kTestTime, complete);
      }
      const bool delivered = model.Judge(lost) == Outcome::kDelivered;
      ASSERT_EQ(complete.size(), delivered ? 1u : 0u) << source << ", trial " << trial;
      ++outcomes[delivered];
    }
  }
  EXPECT_GT(outcomes[true], 24);
  EXPECT_GT(outcomes[false], 12);
}

// No gap as long as the parity of an ADU costs it, wherever it falls.
TEST_F(DeliveryTest, AGapAsLongAsTheParityIsAlwaysRepaired) {
  for (const uint32_t source : {10, 100, 213, 400, 430, 1000}) {
    LossModel model = Model(source);
    // A block more may have to give one more, and copies of headers take up room besides.
    const uint32_t gap =
        model.spread().parity() / model.spread().blocks() * model.spread().blocks();
    for (size_t begin = 0; begin + gap <= model.datagrams(); begin += kFewer) {
      std::vector<bool> lost(model.datagrams());
      std::fill_n(lost.begin() + static_cast<ptrdiff_t>(begin), gap, true);
      ASSERT_EQ(model.Judge(lost), Outcome::kDelivered) << source << ", gap at " << begin;
    }
  }
}

TEST_F(DeliveryTest, AnAduOfOneDatagramIsRepeatedToo) {
  EXPECT_EQ(sender_.Send(1000).size(), 3u);
  LossModel model(sender_.Send(1000));
  EXPECT_TRUE(model.whole());
  EXPECT_EQ(model.header().parity_fragments, 0);
  // Several together: the copies of one stand as far apart as the burst is long.
  const std::vector<Bytes> burst = sender_.SendTogether(20, 500);
  ASSERT_EQ(burst.size(), 60u);
  for (size_t i = 0; i < 60; ++i) EXPECT_EQ(burst[i], burst[i % 20]);
}

TEST(WithoutParityTest, EverythingIsAsItWas) {
  RecordedSender sender(0);
  EXPECT_EQ(sender.Send(1000).size(), 1u);
  for (const uint32_t source : {1, 10, 400, 2000}) {
    const std::vector<Bytes> datagrams = sender.Send(RecordedSender::BytesFor(source));
    LossModel model(datagrams);
    EXPECT_EQ(model.copies(), 2u);
    EXPECT_EQ(model.header().parity_fragments, 0);
    const size_t head = 1 + model.pages();
    ASSERT_EQ(datagrams.size(), source + 2 * head);
    for (size_t i = 0; i < head; ++i) EXPECT_EQ(datagrams[i], datagrams[head + source + i]);
  }
}

TEST(AnyParityTest, EveryPercentageIsPossibleAndRepairsWhatItPromises) {
  for (const uint32_t percent : {1, 5, 10, 50, 100}) {
    RecordedSender sender(percent);
    for (const uint32_t source : {1, 30, 500, 3000}) {
      LossModel model(sender.Send(RecordedSender::BytesFor(source)));
      const uint32_t parity = (source * percent + 99) / 100;
      EXPECT_EQ(model.header().parity_fragments, parity);
      EXPECT_GE(model.copies(), 2u);
      EXPECT_LE(model.copies(), 6u);
      std::vector<bool> lost(model.datagrams());
      EXPECT_EQ(model.Judge(lost), Outcome::kDelivered);
    }
  }
}

}  // namespace
}  // namespace nark::fec
