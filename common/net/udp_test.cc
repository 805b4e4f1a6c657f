// Real sockets on the loopback interface.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "common/net/descriptor.h"

namespace nark::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A port that nobody uses at the moment.
uint16_t FreePort() {
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in any{};
  any.sin_family = AF_INET;
  EXPECT_EQ(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
  socklen_t size = sizeof any;
  EXPECT_EQ(::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&any), &size), 0);
  return ntohs(any.sin_port);
}

// Another group for every test process and use.
std::string FreshGroup() {
  static int used = 0;
  return absl::StrCat("239.255.", ::getpid() % 250 + 1, ".", ++used);
}

UdpAddress OnLoopback(const std::string& group, uint16_t port) {
  UdpAddress address;
  address.address = group;
  address.port = port;
  address.adapter = "lo";
  return address;
}

std::unique_ptr<DatagramSink> Sink(const UdpAddress& address) {
  absl::StatusOr<std::unique_ptr<DatagramSink>> sink = OpenUdpSink(address);
  if (!sink.ok()) ADD_FAILURE() << sink.status();
  return sink.ok() ? *std::move(sink) : nullptr;
}

std::unique_ptr<DatagramSource> Source(const UdpAddress& address) {
  absl::StatusOr<std::unique_ptr<DatagramSource>> source = OpenUdpSource(address);
  if (!source.ok()) ADD_FAILURE() << source.status();
  return source.ok() ? *std::move(source) : nullptr;
}

// Reads until `count` datagrams have come, or none comes for two seconds.
std::vector<Bytes> Collect(DatagramSource& source, size_t count, size_t at_once = 7) {
  std::vector<Bytes> got;
  while (got.size() < count) {
    pollfd readable{.fd = source.descriptor(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, 2000) <= 0) break;
    size_t received = at_once;
    while (received == at_once) {
      absl::StatusOr<size_t> n =
          source.Receive(at_once, [&](ByteView datagram) { got.push_back(ToBytes(datagram)); });
      if (!n.ok()) {
        ADD_FAILURE() << n.status();
        return got;
      }
      received = *n;
    }
  }
  return got;
}

std::vector<ByteView> Views(const std::vector<Bytes>& datagrams) {
  return {datagrams.begin(), datagrams.end()};
}

// Sizes as ADUs make them: runs of one size with a shorter last one, between others.
std::vector<Bytes> Datagrams(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Bytes> datagrams;
  for (int run = 0; run < 20; ++run) {
    size_t size = 1 + random() % 1452;
    size_t length = 1 + random() % 90;
    for (size_t i = 0; i <= length; ++i) {
      Bytes one(i < length ? size : 1 + random() % size);
      for (uint8_t& byte : one) byte = static_cast<uint8_t>(random());
      datagrams.push_back(std::move(one));
    }
  }
  return datagrams;
}

class UdpTest : public ::testing::TestWithParam<std::tuple<Offload, Offload>> {};

TEST_P(UdpTest, DeliversEveryDatagramWholeAndInOrder) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  address.offload = std::get<1>(GetParam());
  auto source = Source(address);
  address.offload = std::get<0>(GetParam());
  auto sink = Sink(address);
  ASSERT_TRUE(source && sink);
  uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::vector<Bytes> sent = Datagrams(seed);
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  std::vector<Bytes> got = Collect(*source, sent.size());
  ASSERT_EQ(got.size(), sent.size());
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(sink->lost(), 0u);
  EXPECT_EQ(source->lost(), 0u);
}

TEST_P(UdpTest, GatheredPiecesArriveAsOneDatagram) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  address.offload = std::get<1>(GetParam());
  auto source = Source(address);
  address.offload = std::get<0>(GetParam());
  auto sink = Sink(address);
  ASSERT_TRUE(source && sink);
  Bytes head = {1, 2, 3};
  Bytes body = {4, 5, 6, 7};
  std::vector<GatheredDatagram> datagrams = {{head, body}, {head, body}, {head, {}}, {{}, body}};
  ASSERT_TRUE(sink->SendGathered(datagrams).ok());
  Bytes joined = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_THAT(Collect(*source, 4), ElementsAre(joined, joined, head, body));
}

INSTANTIATE_TEST_SUITE_P(SinkAndSource, UdpTest,
                         ::testing::Combine(::testing::Values(Offload::kUse, Offload::kRefuse),
                                            ::testing::Values(Offload::kUse, Offload::kRefuse)));

TEST(UdpOffloadTest, DatagramsTooLargeToBeCutByTheKernelStillArrive) {
  // Two of them are more than a message holds, so each is one by itself.
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  auto source = Source(address);
  auto sink = Sink(address);
  ASSERT_TRUE(source && sink);
  std::vector<Bytes> sent(5, Bytes(65500, 7));
  sent.push_back(Bytes(10, 1));
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  EXPECT_TRUE(Collect(*source, sent.size()) == sent);
}

TEST(UdpSourceTest, SeesNoStrayDatagramsOfOtherGroupsOnItsPort) {
  uint16_t port = FreePort();
  UdpAddress mine = OnLoopback(FreshGroup(), port);
  UdpAddress other = OnLoopback(FreshGroup(), port);
  auto my_source = Source(mine);
  auto other_source = Source(other);  // so that this machine is a member of both
  auto my_sink = Sink(mine);
  auto other_sink = Sink(other);
  UdpAddress unicast;
  unicast.address = "127.0.0.1";
  unicast.port = port;
  auto unicast_sink = Sink(unicast);
  ASSERT_TRUE(my_source && other_source && my_sink && other_sink && unicast_sink);
  Bytes stray = {9};
  Bytes wanted = {1};
  for (DatagramSink* sink : {other_sink.get(), unicast_sink.get(), my_sink.get()}) {
    std::vector<ByteView> one = {sink == my_sink.get() ? wanted : stray};
    ASSERT_TRUE(sink->Send(one).ok());
  }
  EXPECT_THAT(Collect(*my_source, 1), ElementsAre(wanted));
  EXPECT_THAT(Collect(*other_source, 1), ElementsAre(stray));
}

TEST(UdpSourceTest, TwoReceiversOfAGroupBothGetEveryDatagram) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  auto first = Source(address);
  auto second = Source(address);
  auto sink = Sink(address);
  ASSERT_TRUE(first && second && sink);
  std::vector<Bytes> sent = {{1}, {2}, {3}};
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  EXPECT_THAT(Collect(*first, 3), ElementsAre(Bytes{1}, Bytes{2}, Bytes{3}));
  EXPECT_THAT(Collect(*second, 3), ElementsAre(Bytes{1}, Bytes{2}, Bytes{3}));
}

TEST(UdpSourceTest, ReceivesNothingWithoutBlocking) {
  auto source = Source(OnLoopback(FreshGroup(), FreePort()));
  ASSERT_TRUE(source);
  absl::StatusOr<size_t> n = source->Receive(10, [](ByteView) { FAIL(); });
  ASSERT_TRUE(n.ok()) << n.status();
  EXPECT_EQ(*n, 0u);
}

TEST(UdpSourceTest, HandsOverAnEmptyDatagram) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  auto source = Source(address);
  auto sink = Sink(address);
  ASSERT_TRUE(source && sink);
  std::vector<Bytes> sent = {{}, {1}};
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  EXPECT_THAT(Collect(*source, 2), ElementsAre(IsEmpty(), Bytes{1}));
}

TEST(UdpSourceTest, CountsWhatAFullBufferDropped) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  address.receive_buffer_bytes = 1;  // the kernel's minimum
  auto source = Source(address);
  auto sink = Sink(address);
  ASSERT_TRUE(source && sink);
  std::vector<Bytes> sent(64, Bytes(1400));
  for (const Bytes& one : sent) {
    std::vector<ByteView> single = {one};
    ASSERT_TRUE(sink->Send(single).ok());
  }
  size_t got = Collect(*source, 1).size();
  ASSERT_GT(got, 0u);
  ASSERT_LT(got, sent.size());
  // The count travels with the next datagram that fits.
  std::vector<ByteView> one = {sent[0]};
  ASSERT_TRUE(sink->Send(one).ok());
  ASSERT_THAT(Collect(*source, 1), ElementsAre(sent[0]));
  EXPECT_EQ(source->lost(), sent.size() - got);
}

TEST(UdpSourceTest, JoinsOneSourceOnly) {
  uint16_t port = FreePort();
  UdpAddress from_here = OnLoopback("232.255.42.7", port);
  from_here.source = "127.0.0.1";
  UdpAddress from_elsewhere = from_here;
  from_elsewhere.source = "127.0.0.99";
  auto here = Source(from_here);
  auto elsewhere = Source(from_elsewhere);
  auto sink = Sink(from_here);
  ASSERT_TRUE(here && elsewhere && sink);
  std::vector<Bytes> sent = {{5}};
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  EXPECT_THAT(Collect(*here, 1), ElementsAre(Bytes{5}));
  absl::StatusOr<size_t> n = elsewhere->Receive(1, [](ByteView) {});
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(*n, 0u);
}

TEST(UdpSinkTest, SendsFromTheAddressOfLoopback) {
  UdpAddress address = OnLoopback(FreshGroup(), FreePort());
  auto sink = Sink(address);
  address.source = "127.0.0.1";  // heard from there only
  auto source = Source(address);
  ASSERT_TRUE(source && sink);
  std::vector<Bytes> sent = {{1}};
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  EXPECT_THAT(Collect(*source, 1), ElementsAre(Bytes{1}));
}

TEST(UdpSinkTest, SendsToAHostFromTheSourceNamed) {
  UdpAddress address;
  address.address = "127.0.0.1";
  address.port = FreePort();
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(address.port);
  ASSERT_EQ(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  address.source = "127.0.0.77";
  auto sink = Sink(address);
  ASSERT_TRUE(sink);
  std::vector<Bytes> sent = {{1}};
  ASSERT_TRUE(sink->Send(Views(sent)).ok());
  sockaddr_in from{};
  socklen_t size = sizeof from;
  uint8_t byte = 0;
  ASSERT_EQ(::recvfrom(socket.fd(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&from), &size), 1);
  EXPECT_EQ(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK - 1 + 77);
}

TEST(UdpSinkTest, ALostUnicastDatagramIsNoError) {
  UdpAddress nobody;
  nobody.address = "127.0.0.1";
  nobody.port = FreePort();
  auto sink = Sink(nobody);
  ASSERT_TRUE(sink);
  std::vector<Bytes> one = {{1}};
  // The first comes back as "connection refused", reported with a later one.
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(sink->Send(Views(one)).ok());
  EXPECT_GT(sink->lost(), 0u);
}

TEST(UdpErrorTest, AnInterfaceThatDoesNotExistIsNamed) {
  UdpAddress address = OnLoopback(FreshGroup(), 5004);
  address.adapter = "nark-none0";
  absl::Status status = OpenUdpSink(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nark-none0"));
  EXPECT_EQ(OpenUdpSource(address).status(), status);
}

TEST(UdpErrorTest, AGroupThatIsNoneOfThisMachinesAddressesIsNamed) {
  UdpAddress address;
  address.address = "203.0.113.9";
  address.port = 5004;
  absl::Status status = OpenUdpSource(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("203.0.113.9:5004"));
}

TEST(UdpErrorTest, APortInUseIsNamed) {
  UdpAddress address;
  address.address = "127.0.0.1";
  address.port = FreePort();
  auto holder = Source(address);
  ASSERT_TRUE(holder);
  absl::Status status = OpenUdpSource(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address.HostPort()));
}

TEST(UdpErrorTest, ASourceThatIsNotThisMachinesCannotBeSentFrom) {
  UdpAddress address = OnLoopback("232.1.2.3", 5004);
  address.source = "203.0.113.9";
  absl::Status status = OpenUdpSink(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("203.0.113.9"));
}

TEST(UdpErrorTest, AHostThatDoesNotExistIsNamed) {
  UdpAddress address;
  address.address = "nark.invalid";
  address.port = 5004;
  absl::Status status = OpenUdpSink(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nark.invalid"));
}

TEST(UdpErrorTest, SeveralAdaptersAreForReceivers) {
  UdpAddress address = OnLoopback(FreshGroup(), 5004);
  address.more_adapters = {"lo"};
  absl::Status status = OpenUdpSink(address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("only receivers"));
}

TEST(UdpErrorTest, AUnicastSourceHearsEverybody) {
  UdpAddress address;
  address.address = "127.0.0.1";
  address.port = FreePort();
  address.source = "127.0.0.1";
  EXPECT_EQ(OpenUdpSource(address).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(UdpErrorTest, ALinkLocalGroupNeedsAnAdapter) {
  UdpAddress address;
  address.address = "ff12::42";
  address.port = 5004;
  for (const absl::Status& status :
       {OpenUdpSink(address).status(), OpenUdpSource(address).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("?adapter=IFACE"));
  }
}

TEST(UdpNotifyTest, AGroupOfSourceSpecificMulticastWantsASource) {
  UdpAddress address = OnLoopback("232.1.2.3", FreePort());
  std::vector<std::string> told;
  Notify notify = [&](const std::string& line) { told.push_back(line); };
  ASSERT_TRUE(OpenUdpSource(address, notify).ok());
  EXPECT_THAT(told, ::testing::Contains(HasSubstr("SOURCE@GROUP")));
  told.clear();
  address.source = "127.0.0.1";
  ASSERT_TRUE(OpenUdpSource(address, notify).ok());
  EXPECT_THAT(told, ::testing::Not(::testing::Contains(HasSubstr("SOURCE@GROUP"))));
}

}  // namespace
}  // namespace nark::net
