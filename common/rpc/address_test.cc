#include "common/rpc/address.h"

#include <gtest/gtest.h>

#include <string>

namespace nark::rpc {
namespace {

TEST(AddressTest, TakesHostsWithPorts) {
  for (const std::string text : {"127.0.0.1:7400", "localhost:0", "[::1]:65535", "a-b.example:1",
                                 "unix:/run/nark/socket", "unix:socket"}) {
    const auto address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << text << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ParseAddress("[::1]:5")->host, "::1");
  EXPECT_EQ(ParseAddress("[::1]:5")->port, 5);
  EXPECT_EQ(ParseAddress("unix:/a")->unix_path, "/a");
}

TEST(AddressTest, RefusesEverythingElse) {
  for (const std::string text :
       {"", ":", "host", "host:", ":7400", "host:x", "host:-1", "host:65536", "host:1 ", " host:1",
        "::1:7400", "[::1]", "[]:1", "[host]:1", "host:+1", "host:99999999999999999999",
        "unix:", "http://host:1", "a/b:1"}) {
    EXPECT_EQ(ParseAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(AddressTest, RefusesASocketPathThatDoesNotFit) {
  EXPECT_TRUE(ParseAddress("unix:" + std::string(107, 'x')).ok());
  const auto status = ParseAddress("unix:" + std::string(108, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("107"), absl::string_view::npos);
}

}  // namespace
}  // namespace nark::rpc
