// Parity under loss, with the real programs: what comes out is exactly what the datagrams
// that passed the network allow, which with parity is nearly all.

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/datagram.h"
#include "tests/fec/loss_model.h"
#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

struct Lossy {
  std::string name;
  size_t adu_bytes;
  size_t adus;
  Words relay;
  size_t at_least;  // ADUs delivered
};

// The ADUs that can be put together, by id.
std::vector<uint64_t> Possible(const std::vector<Bytes>& sent, const std::vector<Bytes>& arrived) {
  std::map<uint64_t, std::vector<Bytes>> by_adu;
  for (const Bytes& one : sent) {
    by_adu[wire::ParseDatagram(one).prefix.adu_id].push_back(one);
  }
  std::map<Bytes, size_t> copies;
  for (const Bytes& one : arrived) ++copies[one];
  std::vector<uint64_t> possible;
  for (const auto& [id, datagrams] : by_adu) {
    std::vector<bool> lost;
    // Which of several equal datagrams is lost makes no difference.
    for (const Bytes& one : datagrams) {
      auto left = copies.find(one);
      lost.push_back(left == copies.end() || left->second == 0);
      if (!lost.back()) --left->second;
    }
    fec::LossModel model(datagrams);
    if (model.Judge(lost) == fec::LossModel::Outcome::kDelivered) possible.push_back(id);
  }
  return possible;
}

class FecTest : public testing::TestWithParam<Lossy> {
 protected:
  World world_;
};

TEST_P(FecTest, DeliversExactlyWhatTheLossAllows) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const size_t adu_bytes = GetParam().adu_bytes, adus = GetParam().adus;
  const Server replica = world_.StartKeyManager();
  const SessionFiles session =
      world_.MakeSession({replica.listen}, {"--adu", std::to_string(adu_bytes)});
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-99999");
  const std::string input = RandomBytes(adus * adu_bytes, seed);
  WriteAll(world_.Path("input"), input);

  const Group behind = NewGroup();
  Capture before(session.group.Uri()), after(behind.Uri());
  Words relay_words = {"--from", session.group.Uri(), "--to", behind.Uri(),
                       "--seed", std::to_string(seed)};
  relay_words.insert(relay_words.end(), GetParam().relay.begin(), GetParam().relay.end());
  const Server relay = world_.StartServer("bad-network", relay_words);
  auto join = world_.StartJoin(session, space, voucher, world_.Path("out"),
                               {"--input", behind.Uri(), "--playout-delay", "1s", "--statistics",
                                world_.Path("statistics")});
  world_.SendAll(session, world_.Path("input"), {"--pace", "20M", "--fec", "20"});
  const Outcome relayed = relay.process->Stop();
  ASSERT_EQ(relayed.status, 0) << relayed.ToString();
  const auto counts = nlohmann::json::parse(relayed.out);
  ASSERT_TRUE(Eventually([&] { return after.size() >= counts["sent"].get<uint64_t>(); }));
  ASSERT_EQ(before.lost() + after.lost(), 0u);
  ASSERT_GT(counts["lost"].get<uint64_t>(), 0u);

  const std::vector<uint64_t> possible = Possible(before.datagrams(), after.datagrams());
  EXPECT_GE(possible.size(), GetParam().at_least) << relayed.out;
  std::string expected;
  for (const uint64_t adu : possible) expected += input.substr(adu * adu_bytes, adu_bytes);
  EXPECT_TRUE(Eventually([&] { return ReadAll(world_.Path("out")).size() == expected.size(); },
                         std::chrono::seconds(10)));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(world_.Path("out")) == expected)
      << ReadAll(world_.Path("out")).size() << " bytes instead of " << expected.size() << "; "
      << relayed.out << end.ToString();

  const auto statistics = nlohmann::json::parse(ReadAll(world_.Path("statistics")));
  EXPECT_EQ(statistics["delivered"], possible.size()) << statistics;
  EXPECT_EQ(DeliveredIds(world_.Note(session, space)), possible);
  EXPECT_EQ(statistics["damaged"], 0) << statistics;
  EXPECT_EQ(statistics["wrong_parity"], 0) << statistics;
  EXPECT_TRUE(statistics["refused"].empty()) << statistics;
  if (adu_bytes < 1000) {
    // 3,000 a second: those of two milliseconds share a signature.
    EXPECT_LT(statistics["signatures_checked"].get<size_t>(), possible.size() / 3) << statistics;
  }
  if (adu_bytes > 100'000) {
    // Only in bursts does an ADU of this size come through unharmed.
    EXPECT_GT(statistics["repaired"].get<size_t>(), possible.size() / 2) << statistics;
    EXPECT_GT(statistics["repaired_fragments"].get<uint64_t>(), possible.size()) << statistics;
  }
}

INSTANTIATE_TEST_SUITE_P(Losses, FecTest,
                         testing::Values(
                             // 288 source fragments and 58 of parity: one in 16,000 is lost.
                             Lossy{"TenPercent", 400 << 10, 40, {"--loss", "10"}, 39},
                             // 439 and 88: two blocks.
                             Lossy{"TwoBlocks", 610 << 10, 20, {"--loss", "10"}, 19},
                             Lossy{"Bursts", 400 << 10, 40, {"--loss", "5", "--burst", "6"}, 30},
                             // Three copies each: one in 1,000 is lost.
                             Lossy{"OneDatagram", 800, 1000, {"--loss", "10"}, 980},
                             Lossy{"ReorderedAndDamaged",
                                   200 << 10,
                                   30,
                                   {"--loss", "5", "--reorder", "10", "--duplicate", "5",
                                    "--corrupt", "2"},
                                   28}),
                         [](const auto& info) { return info.param.name; });

TEST(SenderFlagsTest, AreRefusedInOneLineWhereTheyAreOutOfRange) {
  World world;
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--fec", "101"},
                                                        {"--batch-adus", "0"},
                                                        {"--batch-adus", "1025"},
                                                        {"--batch-time", "2s"}}) {
    const Outcome outcome =
        world.Try("nark-sender", {"--session", "none", "--input", "none", flag, value});
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_NE(outcome.err.find(flag), std::string::npos) << outcome.ToString();
  }
}

}  // namespace
}  // namespace nark::harness
