#include "receiver/play_range.h"

#include <gtest/gtest.h>

namespace nark::receiver {
namespace {

TEST(PlayRangeTest, IsEverythingUnlessTold) {
  const auto range = ParseRange({});
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_TRUE(range->everything());
}

TEST(PlayRangeTest, ReadsIdsAndBothKindsOfTimes) {
  const auto ids = ParseRange({.from_adu = 3, .to_adu = 3, .from_time = "", .to_time = ""});
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(ids->from_adu, 3u);
  EXPECT_EQ(ids->to_adu, 3u);
  const auto offset =
      ParseRange({.from_adu = {}, .to_adu = {}, .from_time = "", .to_time = "+1.5s"});
  ASSERT_TRUE(offset.ok()) << offset.status();
  EXPECT_EQ(offset->to_time_us, 1'500'000u);
  EXPECT_EQ(offset->origin, net::PlayRange::Origin::kBeginning);
  const auto time = ParseRange(
      {.from_adu = {}, .to_adu = {}, .from_time = "2026-01-01T00:00:00Z", .to_time = ""});
  ASSERT_TRUE(time.ok()) << time.status();
  EXPECT_EQ(time->from_time_us, 1767225600'000000u);
  EXPECT_EQ(time->origin, net::PlayRange::Origin::kEpoch);
}

TEST(PlayRangeTest, RefusesWhatIsNoRangeByTheFlag) {
  const std::pair<RangeFlags, const char*> cases[] = {
      {{.from_adu = 2, .to_adu = 1, .from_time = "", .to_time = ""}, "--to-adu"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "90s", .to_time = ""}, "--from-time"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "", .to_time = "+-1s"}, "--to-time"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "yesterday", .to_time = ""}, "--from-time"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "infinite-future", .to_time = ""},
       "--from-time"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "+2s", .to_time = "+1s"}, "--to-time"},
      {{.from_adu = {}, .to_adu = {}, .from_time = "+2s", .to_time = "2026-01-01T00:00:00Z"},
       "both"}};
  for (const auto& [flags, word] : cases) {
    const absl::Status status = ParseRange(flags).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(word), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace nark::receiver
