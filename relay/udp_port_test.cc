// Real sockets on the loopback interface.

#include "relay/udp_port.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/net/udp_conversation.h"

namespace nark::relay {
namespace {

class UdpPortTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto port = UdpPort::Open(GetParam() + ":0");
    ASSERT_TRUE(port.ok()) << port.status();
    port_ = *std::move(port);
  }
  // Somebody who talks to the port, over IPv4 where the port takes it.
  std::unique_ptr<net::UdpConversation> Somebody(const std::string& host) {
    net::UdpAddress address;
    address.address = host;
    int number = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(port_->address().substr(port_->address().rfind(':') + 1), &number));
    address.port = static_cast<uint16_t>(number);
    auto talk = net::OpenUdpConversation(address);
    EXPECT_TRUE(talk.ok()) << talk.status();
    return talk.ok() ? *std::move(talk) : nullptr;
  }
  static bool Readable(int fd) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, 5000) > 0;
  }
  // Who says hello.
  Endpoint Meet(net::UdpConversation& talk) {
    EXPECT_TRUE(talk.Send(Bytes(64, 7)).ok());
    Endpoint met;
    EXPECT_TRUE(Readable(port_->descriptor()));
    EXPECT_TRUE(port_
                    ->Receive(10,
                              [&](const Endpoint& from, ByteView message) {
                                met = from;
                                EXPECT_EQ(message.size(), 64u);
                              })
                    .ok());
    return met;
  }
  std::unique_ptr<UdpPort> port_;
};

TEST_P(UdpPortTest, CarriesRunsOfEverySizeToSeveral) {
  std::vector<std::unique_ptr<net::UdpConversation>> talks;
  std::vector<Endpoint> endpoints;
  const std::string v6 = GetParam() == "[::1]" ? "::1" : "127.0.0.1";
  for (int i = 0; i < 3; ++i) {
    talks.push_back(Somebody(v6));
    endpoints.push_back(Meet(*talks.back()));
  }
  std::vector<Bytes> datagrams;
  for (size_t i = 0; i < 100; ++i) {
    datagrams.emplace_back(i % 7 == 0 ? 64 + i : 1452, static_cast<uint8_t>(i));
  }
  const std::vector<ByteView> views(datagrams.begin(), datagrams.end());
  ASSERT_TRUE(port_->Send(endpoints, views).ok());
  for (auto& talk : talks) {
    std::vector<Bytes> got;
    while (got.size() < datagrams.size() && Readable(talk->source().descriptor())) {
      ASSERT_TRUE(talk->source()
                      .Receive(1000, [&](ByteView datagram) { got.push_back(ToBytes(datagram)); })
                      .ok());
    }
    EXPECT_TRUE(got == datagrams) << got.size() << " datagrams";
  }
  EXPECT_EQ(port_->lost(), 0u);
}

TEST_P(UdpPortTest, TellsWhoIsGoneAndStillServesTheOthers) {
  const std::string host = GetParam() == "[::1]" ? "::1" : "127.0.0.1";
  auto gone = Somebody(host), here = Somebody(host);
  const Endpoint gone_at = Meet(*gone), here_at = Meet(*here);
  gone.reset();
  int told = 0, got = 0;
  const Bytes datagram(100, 1);
  const ByteView views[] = {datagram};
  const std::vector<Endpoint> both = {gone_at, here_at};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(port_->Send(both, views).ok());
    port_->TakeUnreachable([&](const Endpoint& endpoint) {
      EXPECT_EQ(endpoint.ToString(), gone_at.ToString());
      ++told;
    });
  }
  while (got < 20 && Readable(here->source().descriptor())) {
    ASSERT_TRUE(here->source().Receive(64, [&](ByteView) { ++got; }).ok());
  }
  EXPECT_EQ(got, 20);
  EXPECT_GE(told, 3);
}

INSTANTIATE_TEST_SUITE_P(Families, UdpPortTest, testing::Values("127.0.0.1", "[::1]", "[::]"),
                         [](const auto& info) {
                           return info.param == "127.0.0.1" ? "Ipv4"
                                  : info.param == "[::1]"   ? "Ipv6"
                                                            : "Both";
                         });

TEST(UdpPortErrors, AddressesThatAreNoneAreRefused) {
  for (const std::string wrong : {"", "7500", "127.0.0.1", "127.0.0.1:", "host:1", "1.2.3.4:x"}) {
    EXPECT_EQ(UdpPort::Open(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  const auto first = UdpPort::Open("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(UdpPort::Open((*first)->address()).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nark::relay
