#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/net/datagram_io.h"

namespace nark::net {
namespace {

using ::testing::HasSubstr;

UdpAddress Parsed(std::string_view uri) {
  absl::StatusOr<UdpAddress> address = UdpAddress::Parse(uri);
  EXPECT_TRUE(address.ok()) << address.status();
  return address.ok() ? *address : UdpAddress{};
}

TEST(UdpAddressTest, ReadsAGroupWithItsDefaults) {
  UdpAddress address = Parsed("udp://239.255.42.1:5004");
  EXPECT_EQ(address.address, "239.255.42.1");
  EXPECT_EQ(address.port, 5004);
  EXPECT_EQ(address.adapter, "");
  EXPECT_EQ(address.source, "");
  EXPECT_EQ(address.ttl, 1);
  EXPECT_EQ(address.datagram_bytes, 1452);
  EXPECT_TRUE(address.multicast());
  EXPECT_EQ(address.HostPort(), "239.255.42.1:5004");
}

TEST(UdpAddressTest, ReadsEveryParameter) {
  UdpAddress address =
      Parsed("udp://10.0.0.7@232.1.2.3:5000?adapter=eth0&ttl=16&rcvbuf=100&sndbuf=200&mtu=9000");
  EXPECT_EQ(address.source, "10.0.0.7");
  EXPECT_EQ(address.adapter, "eth0");
  EXPECT_EQ(address.ttl, 16);
  EXPECT_EQ(address.receive_buffer_bytes, 100);
  EXPECT_EQ(address.send_buffer_bytes, 200);
  EXPECT_EQ(address.datagram_bytes, 8952);
  EXPECT_EQ(address.mtu_rule, MtuRule::kAsked);
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?loop=0").loop, Loopback::kMuted);
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?loop=1").loop, Loopback::kHeard);
}

TEST(UdpAddressTest, ReadsCodePointsByNumberAndName) {
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004").dscp, 0);
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?dscp=63").dscp, 63);
  // RFC 3246; RFC 2597: 8 times the class, 2 times the drop precedence; RFC 2474.
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?dscp=EF").dscp, 0b101110);
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?dscp=ef").dscp, 0b101110);
  for (int c = 1; c <= 4; ++c) {
    for (int drop = 1; drop <= 3; ++drop) {
      std::string name = "AF" + std::to_string(c) + std::to_string(drop);
      EXPECT_EQ(Parsed("udp://239.1.1.1:5004?dscp=" + name).dscp, 8 * c + 2 * drop) << name;
    }
  }
  for (int c = 0; c <= 7; ++c) {
    EXPECT_EQ(Parsed("udp://239.1.1.1:5004?dscp=cs" + std::to_string(c)).dscp, 8 * c);
  }
}

TEST(UdpAddressTest, ReadsSeveralAdapters) {
  UdpAddress address = Parsed("udp://239.1.1.1:5004?adapter=eth0,eth1,eth2");
  EXPECT_EQ(address.adapter, "eth0");
  EXPECT_THAT(address.more_adapters, ::testing::ElementsAre("eth1", "eth2"));
}

TEST(UdpAddressTest, AZoneIsTheAdapter) {
  EXPECT_EQ(Parsed("udp://[ff12::42%eth0]:5004").adapter, "eth0");
  EXPECT_EQ(Parsed("udp://[ff12::42%25eth0]:5004").adapter, "eth0");
  EXPECT_EQ(Parsed("udp://[ff12::42%eth0]:5004").address, "ff12::42");
  EXPECT_EQ(Parsed("udp://[fe80::1%eth0]@[ff32::42%eth0]:5004?adapter=eth0").adapter, "eth0");
}

TEST(UdpAddressTest, AUnicastSinkMayHaveASource) {
  EXPECT_EQ(Parsed("udp://10.0.0.1@10.0.0.2:5004").source, "10.0.0.1");
}

TEST(UdpAddressTest, KnowsTheRangesOfSourceSpecificMulticast) {
  for (const char* group : {"232.0.0.1", "232.255.255.255", "[ff32::1]", "[ff3e::8000:1]"}) {
    EXPECT_TRUE(Parsed(std::string("udp://") + group + ":5004").source_specific()) << group;
  }
  for (const char* group :
       {"231.255.255.255", "233.0.0.1", "[ff12::1]", "[ff3e:20::1]", "10.0.0.1", "[fd30::1]"}) {
    EXPECT_FALSE(Parsed(std::string("udp://") + group + ":5004").source_specific()) << group;
  }
}

TEST(UdpAddressTest, ReadsIpv6InBrackets) {
  UdpAddress address = Parsed("udp://[fe80::1]@[ff15::42]:5004?adapter=lo");
  EXPECT_EQ(address.source, "fe80::1");
  EXPECT_EQ(address.address, "ff15::42");
  EXPECT_TRUE(address.multicast());
  EXPECT_EQ(address.HostPort(), "[ff15::42]:5004");
}

TEST(UdpAddressTest, ReadsUnicastWithATtlThatLeavesTheSubnet) {
  EXPECT_EQ(Parsed("udp://127.0.0.1:5004").ttl, 64);
  EXPECT_FALSE(Parsed("udp://127.0.0.1:5004").multicast());
  EXPECT_EQ(Parsed("udp://player.example:5004").address, "player.example");
}

TEST(UdpAddressTest, ReadsTheSpellingsOfPlayers) {
  EXPECT_EQ(Parsed("udp://@239.1.1.1:5004").source, "");
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004/?ttl=2").ttl, 2);
}

TEST(UdpAddressTest, MtuNeverMakesADatagramThatUdpCannotCarry) {
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?mtu=65536").datagram_bytes, 65488);
  EXPECT_EQ(Parsed("udp://239.1.1.1:5004?mtu=1500").datagram_bytes, 1452);
}

struct Wrong {
  const char* uri;
  const char* cause;
};

class UdpAddressRefusalTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(UdpAddressRefusalTest, NamesTheUriAndWhatIsWrong) {
  absl::StatusOr<UdpAddress> address = UdpAddress::Parse(GetParam().uri);
  ASSERT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().uri;
  std::string message(address.status().message());
  EXPECT_TRUE(message.starts_with(GetParam().uri)) << message;
  EXPECT_THAT(message, HasSubstr(GetParam().cause));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    All, UdpAddressRefusalTest,
    ::testing::Values(
        Wrong{"", "begin with udp://"}, Wrong{"239.1.1.1:5004", "begin with udp://"},
        Wrong{"UDP://239.1.1.1:5004", "begin with udp://"}, Wrong{"udp://", "no port"},
        Wrong{"udp://239.1.1.1", "no port"}, Wrong{"udp://239.1.1.1:", "port"},
        Wrong{"udp://239.1.1.1:0", "port"}, Wrong{"udp://239.1.1.1:65536", "port"},
        Wrong{"udp://239.1.1.1:-1", "port"}, Wrong{"udp://239.1.1.1:50x", "port"},
        Wrong{"udp://239.1.1.1:99999999999999999999", "port"}, Wrong{"udp://239.1.1.1: 5", "blank"},
        Wrong{"udp://300.1.1.1:5004", "no address"}, Wrong{"udp://239.1.1:5004", "no address"},
        Wrong{"udp://:5004", "no address"}, Wrong{"udp://ff15::1:5004", "belongs in brackets"},
        Wrong{"udp://[ff15::1:5004", "bracket is not closed"},
        Wrong{"udp://[ff15::1]5004", "no port"}, Wrong{"udp://[239.1.1.1]:5004", "no IPv6"},
        Wrong{"udp://[239.1.1.1%lo]:5004", "no IPv6"},
        Wrong{"udp://[ff15::1%]:5004", "interface's name"},
        Wrong{"udp://[ff15::1%a/b]:5004", "interface's name"},
        Wrong{"udp://[ff15::1%lo]:5004?adapter=eth0", "different interfaces"},
        Wrong{"udp://[fe80::1%lo]@[ff15::1%eth0]:5004", "different interfaces"},
        Wrong{"udp://[]:5004", "no IPv6"}, Wrong{"udp://10.0.0.1@[fd00::2]:5004", "IP versions"},
        Wrong{"udp://239.1.1.2@239.1.1.1:5004", "one host"},
        Wrong{"udp://host.example@239.1.1.1:5004", "one host"},
        Wrong{"udp://[fe80::1]@239.1.1.1:5004", "IP versions"},
        Wrong{"udp://239.1.1.1:5004?", "NAME=VALUE"},
        Wrong{"udp://239.1.1.1:5004?ttl", "NAME=VALUE"},
        Wrong{"udp://239.1.1.1:5004?ttl=", "NAME=VALUE"},
        Wrong{"udp://239.1.1.1:5004?=1", "NAME=VALUE"},
        Wrong{"udp://239.1.1.1:5004?ttl=1&", "NAME=VALUE"},
        Wrong{"udp://239.1.1.1:5004?ttl=256", "ttl"},
        Wrong{"udp://239.1.1.1:5004?ttl=1&ttl=1", "twice"},
        Wrong{"udp://10.1.1.1:5004?ttl=0", "ttl"}, Wrong{"udp://239.1.1.1:5004?dscp=64", "dscp"},
        Wrong{"udp://239.1.1.1:5004?dscp=-1", "dscp"},
        Wrong{"udp://239.1.1.1:5004?dscp=AF14", "such as EF, AF41, CS5"},
        Wrong{"udp://239.1.1.1:5004?dscp=CS8", "dscp"},
        Wrong{"udp://239.1.1.1:5004?loop=2", "loop"}, Wrong{"udp://239.1.1.1:5004?loop=no", "loop"},
        Wrong{"udp://239.1.1.1:5004?adapter=,lo", "interface's name"},
        Wrong{"udp://239.1.1.1:5004?adapter=lo,", "interface's name"},
        Wrong{"udp://239.1.1.1:5004?adapter=lo,lo", "named twice"},
        Wrong{"udp://239.1.1.1:5004?rcvbuf=0", "rcvbuf"},
        Wrong{"udp://239.1.1.1:5004?mtu=100", "mtu"},
        Wrong{"udp://239.1.1.1:5004?adaptor=lo",
              "unknown parameter adaptor (known: adapter, ttl, dscp, loop, rcvbuf, sndbuf, mtu)"},
        Wrong{"udp://239.1.1.1:5004?adapter=a-name-that-is-too-long", "interface's name"}));

}  // namespace
}  // namespace nark::net
