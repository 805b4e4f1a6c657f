#include "receiver/output_address.h"

#include <gtest/gtest.h>

namespace nark::receiver {
namespace {

TEST(OutputAddressTest, TakesEverySenderOfTheMainStreamUnlessTold) {
  for (const char* text : {"-", "file:a.ts", "file:take #3.ts", "file:a#sender", "udp://[::1]:9"}) {
    const auto address = OutputAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->uri, text);
    EXPECT_TRUE(address->filter.Takes(0, 1));
    EXPECT_TRUE(address->filter.Takes(0, 77));
    EXPECT_FALSE(address->filter.Takes(1, 1));
  }
}

TEST(OutputAddressTest, TakesOneStreamWhereTold) {
  const auto sender = OutputAddress::Parse("file:take #3.ts#sender=7");
  ASSERT_TRUE(sender.ok()) << sender.status();
  EXPECT_EQ(sender->uri, "file:take #3.ts");
  EXPECT_TRUE(sender->filter.Takes(0, 7));
  EXPECT_FALSE(sender->filter.Takes(0, 8));
  EXPECT_FALSE(sender->filter.Takes(1, 7));
  const auto adverts = OutputAddress::Parse("-#sub-session=4294967295");
  ASSERT_TRUE(adverts.ok()) << adverts.status();
  EXPECT_EQ(adverts->uri, "-");
  EXPECT_TRUE(adverts->filter.Takes(4294967295u, 7));
  const auto both = OutputAddress::Parse("file:x#sub-session=1&sender=7");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_TRUE(both->filter.Takes(1, 7));
  EXPECT_FALSE(both->filter.Takes(1, 6));
  EXPECT_FALSE(both->filter.Takes(0, 7));
}

TEST(OutputAddressTest, RefusesWhatIsNoId) {
  for (const char* text :
       {"file:x#sender=", "file:x#sender=a", "file:x#sender=4294967296", "file:x#sender=-1",
        "file:x#sender=1&sender=2", "file:x#sub-session=1&", "file:x#sender=1&colour=red"}) {
    EXPECT_EQ(OutputAddress::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace nark::receiver
