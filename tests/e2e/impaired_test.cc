// A bad network between sender and receiver: what comes out is exactly what
// could be put together, and no key is asked for in vain.

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kAduBytes = 8 << 10;

struct Impaired {
  std::string name;
  Words relay;
  Words session;
  bool everything_survives;
};

class ImpairedTest : public testing::TestWithParam<Impaired> {
 protected:
  World world_;
};

TEST_P(ImpairedTest, OutputIsExactlyTheIntactAdus) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Server replica = world_.StartKeyManager();
  Words more = {"--adu", "8KiB"};
  more.insert(more.end(), GetParam().session.begin(), GetParam().session.end());
  const SessionFiles session = world_.MakeSession({replica.listen}, more);
  const SecureSpaceFolder space = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-99999");
  const std::string input = RandomBytes(80 * kAduBytes, seed);
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
  world_.SendAll(session, world_.Path("input"), {"--pace", "4M"});
  const Outcome relayed = relay.process->Stop();
  ASSERT_EQ(relayed.status, 0) << relayed.ToString();
  const auto counts = nlohmann::json::parse(relayed.out);
  ASSERT_TRUE(Eventually([&] { return after.size() >= counts["sent"].get<uint64_t>(); }));
  ASSERT_EQ(before.lost() + after.lost(), 0u);

  std::string expected;
  const std::vector<uint64_t> intact = IntactAdus(before.datagrams(), after.datagrams());
  for (const uint64_t adu : intact) expected += input.substr(adu * kAduBytes, kAduBytes);
  EXPECT_EQ(intact.size() == 80, GetParam().everything_survives) << relayed.out;
  EXPECT_GE(intact.size(), 3u) << relayed.out;
  EXPECT_TRUE(Eventually([&] { return ReadAll(world_.Path("out")) == expected; },
                         std::chrono::seconds(10)));
  const Outcome end = join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(world_.Path("out")) == expected)
      << ReadAll(world_.Path("out")).size() << " bytes instead of " << expected.size() << "; "
      << relayed.out << end.ToString();

  const auto statistics = nlohmann::json::parse(ReadAll(world_.Path("statistics")));
  EXPECT_EQ(statistics["delivered"], intact.size()) << statistics;
  EXPECT_EQ(statistics["received"], intact.size()) << statistics;
  EXPECT_TRUE(statistics["refused"].empty()) << statistics;
  EXPECT_EQ(statistics["damaged"], 0) << statistics;
  EXPECT_EQ(statistics["datagrams"]["received"], counts["sent"]) << statistics;
  // The note says the same, to the last ADU.
  EXPECT_EQ(DeliveredIds(world_.Note(session, space)), intact);
}

INSTANTIATE_TEST_SUITE_P(
    Networks, ImpairedTest,
    testing::Values(Impaired{"Loss", {"--loss", "5"}, {}, false},
                    Impaired{"HeavyLoss", {"--loss", "25"}, {}, false},
                    // A key for every ADU, and none of them in vain.
                    Impaired{
                        "AsBadAsPromised",
                        {"--loss", "25", "--reorder", "10", "--duplicate", "5", "--corrupt", "2"},
                        {},
                        false},
                    Impaired{"AsBadAsPromisedInBursts",
                             {"--loss", "25", "--burst", "8", "--reorder", "10", "--duplicate", "5",
                              "--corrupt", "2"},
                             {},
                             false},
                    Impaired{"Duplicates", {"--duplicate", "50"}, {}, true},
                    Impaired{"Reordering", {"--reorder", "40", "--hold", "60ms"}, {}, true},
                    Impaired{"Jitter", {"--delay", "20ms", "--jitter", "40ms"}, {}, true},
                    Impaired{"FlippedBits", {"--corrupt", "8"}, {}, false},
                    Impaired{"Truncation", {"--truncate", "5"}, {}, false},
                    Impaired{"Junk", {"--junk", "60"}, {}, true},
                    Impaired{"Everything",
                             {"--loss", "2", "--duplicate", "10", "--reorder", "10", "--corrupt",
                              "3", "--truncate", "1", "--junk", "10", "--jitter", "10ms"},
                             {},
                             false},
                    Impaired{"EverythingOnCard",
                             {"--loss", "2", "--duplicate", "10", "--reorder", "10", "--corrupt",
                              "3", "--truncate", "1", "--junk", "10", "--jitter", "10ms"},
                             {"--release", "plaintext"},
                             false}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace nark::harness
