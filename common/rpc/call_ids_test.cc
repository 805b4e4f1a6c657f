#include "common/rpc/call_ids.h"

#include <gtest/gtest.h>

namespace nark::rpc {
namespace {

// The example of the W3C Recommendation, section 3.2.
constexpr char kTraceParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(CallIdsTest, ReadsATraceContext) {
  EXPECT_EQ(TraceIdOf(kTraceParent), "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(CallIdsTest, LeavesOutWhatIsNoTraceContext) {
  const std::string good = kTraceParent;
  EXPECT_EQ(TraceIdOf(""), "");
  for (size_t size = 0; size < good.size(); ++size) EXPECT_EQ(TraceIdOf(good.substr(0, size)), "");
  EXPECT_EQ(TraceIdOf(good + "0"), "");
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = at == 2 || at == 35 || at == 52 ? '0' : 'X';
    EXPECT_EQ(TraceIdOf(bad), "") << bad;
  }
  EXPECT_EQ(TraceIdOf("00-00000000000000000000000000000000-00f067aa0ba902b7-01"), "");
  EXPECT_EQ(TraceIdOf("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"), "");
}

TEST(CallIdsTest, TakesNoIdThatCouldForgeALogLine) {
  EXPECT_TRUE(IsRequestId("8f3a-B_7.c"));
  EXPECT_TRUE(IsRequestId(std::string(64, 'a')));
  for (const std::string& bad :
       {std::string(), std::string(65, 'a'), std::string("a b"), std::string("a\nb"),
        std::string("a\x1e"), std::string("\"a\""), std::string("\xc3\xa9")}) {
    EXPECT_FALSE(IsRequestId(bad)) << bad;
  }
}

}  // namespace
}  // namespace nark::rpc
