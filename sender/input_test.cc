#include "sender/input.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/net/datagram_io.h"
#include "common/net/descriptor.h"

namespace nark::sender {
namespace {

using ::testing::HasSubstr;

Bytes ReadAll(Input& input) {
  Bytes all;
  for (;;) {
    absl::StatusOr<Input::State> state =
        input.Read([&](ByteView bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
    if (!state.ok()) ADD_FAILURE() << state.status();
    if (!state.ok() || *state == Input::State::kEnded) return all;
  }
}

TEST(InputTest, ReadsAFileByEveryName) {
  std::string path = ::testing::TempDir() + "/input";
  Bytes content(3'000'000, 7);
  ASSERT_TRUE(WriteFile(path, content, FileMode::kPublic).ok());
  for (const std::string& uri : {path, "file:" + path, "file://" + path}) {
    auto input = OpenInput(uri);
    ASSERT_TRUE(input.ok()) << input.status();
    EXPECT_TRUE(ReadAll(**input) == content) << uri;
  }
}

TEST(InputTest, StdinHasTwoNames) {
  EXPECT_TRUE(OpenInput("-").ok());
  EXPECT_TRUE(OpenInput("file://con").ok());
}

TEST(InputTest, WhatCannotBeReadIsNamed) {
  absl::Status status = OpenInput("/nark-none/film.ts").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nark-none/film.ts"));
  for (const char* uri : {"", "file:", "http://host/film.ts", "udp://nonsense", "/tmp"}) {
    EXPECT_EQ(OpenInput(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
}

class UdpInputTest : public ::testing::Test {
 protected:
  UdpInputTest() {
    // A port that was free a moment ago.
    net::Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    to_.address = "127.0.0.1";
    to_.port = ntohs(at.sin_port);
  }

  void Open() {
    auto input = OpenInput("udp://" + to_.HostPort());
    ASSERT_TRUE(input.ok()) << input.status();
    input_ = *std::move(input);
    auto sink = net::OpenUdpSink(to_);
    ASSERT_TRUE(sink.ok()) << sink.status();
    sink_ = *std::move(sink);
  }
  void Send(const Bytes& datagram) {
    std::vector<ByteView> one = {datagram};
    ASSERT_TRUE(sink_->Send(one).ok());
  }

  net::UdpAddress to_;
  std::unique_ptr<Input> input_;
  std::unique_ptr<net::DatagramSink> sink_;
};

TEST_F(UdpInputTest, ThePayloadsJoinedAreTheInput) {
  Open();
  EXPECT_EQ(input_->kind(), Input::Kind::kLive);
  Bytes sent;
  for (uint8_t i = 0; i < 100; ++i) {
    Bytes datagram(1 + i * 13, i);
    Send(datagram);
    sent.insert(sent.end(), datagram.begin(), datagram.end());
  }
  // What had arrived when it was closed counts.
  input_->Close();
  EXPECT_TRUE(ReadAll(*input_) == sent);
  EXPECT_EQ(input_->counters().datagrams, 100u);
  EXPECT_EQ(input_->counters().dropped, 0u);
}

TEST_F(UdpInputTest, IsReadableOnceSomethingHasArrived) {
  Open();
  pollfd readable{.fd = input_->descriptor(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  Send({1, 2, 3});
  ASSERT_EQ(::poll(&readable, 1, 10'000), 1);
  Bytes got;
  auto state = input_->Read([&](ByteView bytes) { got = ToBytes(bytes); });
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(*state, Input::State::kOpen);
  EXPECT_EQ(got, (Bytes{1, 2, 3}));
  // It does not stay readable with nothing in it.
  ASSERT_TRUE(input_->Read([](ByteView) { FAIL(); }).ok());
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
}

TEST_F(UdpInputTest, TakesRtpOffAndCountsWhatIsMissing) {
  Open();
  Bytes sent;
  for (uint8_t sequence : {7, 8, 11, 12}) {
    Bytes datagram = {0x80, 33, 0, sequence, 0, 0, 0, 0, 1, 1, 1, 1};
    Bytes packet(188, sequence);
    packet[0] = 0x47;
    datagram.insert(datagram.end(), packet.begin(), packet.end());
    sent.insert(sent.end(), packet.begin(), packet.end());
    Send(datagram);
  }
  input_->Close();
  EXPECT_TRUE(ReadAll(*input_) == sent);
  EXPECT_EQ(input_->counters().missing, 2u);
}

TEST_F(UdpInputTest, DropsAndCountsWhatNobodyReads) {
  Open();
  // Larger than what it keeps, and it must have taken in all that came to be counted.
  Bytes datagram(60'000, 5);
  size_t count = (40u << 20) / datagram.size();
  for (size_t i = 0; i < count; ++i) {
    Send(datagram);
    while (input_->counters().datagrams <= i) std::this_thread::yield();
  }
  input_->Close();
  EXPECT_LE(ReadAll(*input_).size(), 32u << 20);
  EXPECT_GT(input_->counters().dropped, 0u);
  EXPECT_EQ(input_->counters().dropped, count - (32u << 20) / datagram.size());
}

TEST_F(UdpInputTest, SeveralAdaptersWouldBringEverythingTwice) {
  absl::Status status = OpenInput("udp://239.1.1.1:5004?adapter=lo,eth0").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("name one"));
}

}  // namespace
}  // namespace nark::sender
