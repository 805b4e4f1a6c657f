// An encoder that sends a transport stream to the sender over UDP and RTP.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/harness/network_fixture.h"

namespace nark::harness {
namespace {

using ::testing::HasSubstr;

constexpr size_t kRtpHeaderBytes = 12;

struct Feed {
  std::string name;
  std::string format;   // of ffmpeg's output
  std::string to;       // the address that it sends to
  std::string encoder;  // ffmpeg's URL
  std::string input;    // the sender's
  size_t header_bytes;
};

class FeedTest : public NetworkTest, public testing::WithParamInterface<Feed> {};

TEST_P(FeedTest, TheViewerGetsWhatTheEncoderSent) {
  const Feed& feed = GetParam();
  Wire(Wires::kCable);
  auto encoder = lab_->NewHost();
  lab_->Connect(*encoder, "eth0", *sender_, "in0");
  for (const auto& [host, interface, number] :
       {std::tuple(encoder.get(), "eth0", "1"), std::tuple(sender_.get(), "in0", "2")}) {
    host->Ip({"addr", "add", std::string("10.93.0.") + number + "/24", "dev", interface});
    host->Ip({"addr", "add", std::string("fd93::") + number + "/64", "dev", interface, "nodad"});
    NetworkLab::WaitForAddresses(*host);
  }
  encoder->Ip({"route", "add", "default", "dev", "eth0"});
  const Road road{Wires::kCable, Family::kIpv4, Service::kAnySource};
  Viewing viewing = Join(road.uri(), road.family, {"--adu", "gop"});
  const std::string ready = world_->NewPath("ready");
  auto sender = StartSender(viewing, feed.input, {"--ready-file", ready});
  ASSERT_TRUE(Eventually([&] { return !ReadAll(ready).empty() || !sender->running(); }));
  auto wire = TapAt(*encoder, Direction::kOut);

  Words words = {"-v",
                 "error",
                 "-re",
                 "-f",
                 "lavfi",
                 "-i",
                 "testsrc2=size=320x180:rate=25:duration=3",
                 "-f",
                 "lavfi",
                 "-i",
                 "sine=duration=3",
                 "-c:v",
                 "libx264",
                 "-preset",
                 "ultrafast",
                 "-g",
                 "25",
                 "-c:a",
                 "aac",
                 "-f",
                 feed.format,
                 feed.encoder};
  const Outcome encoded = world_->Start("nsenter", At(*encoder, "ffmpeg", words))->Wait();
  ASSERT_EQ(encoded.status, 0) << encoded.ToString();
  // The sender is told to stop, and what had come by then is sent.
  const Outcome sent = sender->Stop();
  EXPECT_EQ(sent.status, 0) << sent.ToString();

  std::string expected;
  size_t datagrams = 0;
  for (const SeenDatagram& one : wire->Datagrams(feed.to)) {
    if (one.port != 1234) continue;  // RTCP
    ++datagrams;
    expected += ToText(ByteView(one.payload).subspan(feed.header_bytes));
  }
  ASSERT_EQ(wire->lost(), 0u);
  ASSERT_GT(expected.size(), 100'000u);
  ASSERT_EQ(expected[0], 0x47);
  EXPECT_THAT(sent.err, HasSubstr("input: " + std::to_string(datagrams) +
                                  " datagrams (0 missing, 0 dropped)"));
  EXPECT_TRUE(Eventually([&] { return Size(viewing.output) == expected.size(); }))
      << Size(viewing.output) << " of " << expected.size();
  const Outcome end = viewing.join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(viewing.output) == expected) << end.ToString();
}

INSTANTIATE_TEST_SUITE_P(
    All, FeedTest,
    testing::Values(Feed{"UdpGroupIpv4", "mpegts", "239.93.0.1",
                         "udp://239.93.0.1:1234?pkt_size=1316&ttl=3",
                         "udp://239.93.0.1:1234?adapter=in0", 0},
                    Feed{"UdpOneSourceIpv4", "mpegts", "232.93.0.1",
                         "udp://232.93.0.1:1234?pkt_size=1316&ttl=3",
                         "udp://10.93.0.1@232.93.0.1:1234?adapter=in0", 0},
                    Feed{"UdpUnicastIpv6", "mpegts", "fd93::2",
                         "udp://[fd93::2]:1234?pkt_size=1316", "udp://[fd93::2]:1234", 0},
                    Feed{"RtpUnicastIpv4", "rtp_mpegts", "10.93.0.2", "rtp://10.93.0.2:1234",
                         "udp://10.93.0.2:1234", kRtpHeaderBytes}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace nark::harness
