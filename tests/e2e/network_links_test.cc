// Interfaces that go down, are made anew, and carry more or less than usual.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "tests/harness/network_fixture.h"

namespace nark::harness {
namespace {

using ::testing::HasSubstr;

const Words kAdus = {"--adu", "32KiB"};

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

enum class End { kSender, kViewer };
enum class Break {
  kDown,       // the interface is switched off
  kUnplugged,  // it loses its carrier
  kRemade,     // it goes away, and another one of its name comes
};

struct Fault {
  End end;
  Break what;
  Road road;
  std::string Name() const {
    static const std::map<Break, std::string> names = {
        {Break::kDown, "Down"}, {Break::kUnplugged, "Unplugged"}, {Break::kRemade, "Remade"}};
    return (end == End::kSender ? "Sender" : "Viewer") + names.at(what) + road.Name();
  }
};

class FaultTest : public NetworkTest, public testing::WithParamInterface<Fault> {
 protected:
  Host& broken() { return GetParam().end == End::kSender ? *sender_ : *viewer_; }
  std::string port() const { return GetParam().end == End::kSender ? "to-sender" : "to-viewer"; }

  void Break() {
    switch (GetParam().what) {
      case Break::kDown:
        broken().Ip({"link", "set", "eth0", "down"});
        break;
      case Break::kUnplugged:
        lab_->Unplug(port());
        break;
      case Break::kRemade:
        broken().Ip({"link", "del", "eth0"});
        break;
    }
  }
  void Mend() {
    switch (GetParam().what) {
      case Break::kDown:
        broken().Ip({"link", "set", "eth0", "up"});
        break;
      case Break::kUnplugged:
        lab_->PlugInAgain(port());
        break;
      case Break::kRemade:
        lab_->Plug(broken(), "eth0", port());
        break;
    }
    // As a machine's own configuration would: IPv6 addresses go with the link.
    Address(broken(), GetParam().end == End::kSender ? 1 : 2);
  }

  // The ids of the ADUs that make up the output; empty where it is anything else.
  std::vector<size_t> Adus(const std::string& output, const std::string& input) {
    std::map<std::string_view, size_t> ids;
    for (size_t at = 0; at + kAduBytes <= input.size(); at += kAduBytes) {
      ids[std::string_view(input).substr(at, kAduBytes)] = at / kAduBytes;
    }
    std::vector<size_t> found;
    for (size_t at = 0; at + kAduBytes <= output.size(); at += kAduBytes) {
      const auto id = ids.find(std::string_view(output).substr(at, kAduBytes));
      if (id == ids.end()) return {};
      found.push_back(id->second);
    }
    return found;
  }
};

TEST_P(FaultTest, TheStreamGoesOnByItself) {
  const Road& road = GetParam().road;
  Wire(road.wires);
  Viewing viewing = Join(road.uri(), road.family, kAdus);
  const std::string input = Input(2000 * kAduBytes);
  auto sender = StartSender(viewing, "file:" + input, {"--pace", "8M"});
  ASSERT_TRUE(Eventually([&] { return Size(viewing.output) >= 5 * kAduBytes; }))
      << viewing.join->err();

  Break();
  const bool sends = GetParam().end == End::kSender;
  const auto log = [&] { return sends ? sender->err() : viewing.join->err(); };
  const std::string begins = sends ? "datagrams are dropped until" : "eth0 is down or gone";
  const std::string ends = sends ? "works again after" : "eth0 is up: joined";
  EXPECT_TRUE(Eventually([&] { return Count(log(), begins) > 0; })) << log();
  // An outage that some ADUs fall into, however soon it is noticed.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  Mend();
  EXPECT_TRUE(Eventually([&] { return Count(log(), ends) > 0; })) << log();
  const size_t then = Size(viewing.output);
  EXPECT_TRUE(Eventually([&] { return Size(viewing.output) >= then + 10 * kAduBytes; }))
      << viewing.join->err() << sender->err();

  const Outcome sent = sender->Stop();
  EXPECT_EQ(sent.status, 0) << sent.ToString();
  const Outcome end = viewing.join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_EQ(Count(log(), begins), 1u) << log();
  EXPECT_EQ(Count(log(), ends), 1u) << log();
  const std::vector<size_t> adus = Adus(ReadAll(viewing.output), ReadAll(input));
  ASSERT_GE(adus.size(), 15u);
  EXPECT_TRUE(std::is_sorted(adus.begin(), adus.end()));
  EXPECT_GT(adus.back(), adus.size() - 1) << "nothing was lost: it was not down";
}

constexpr Road kIpv4{Wires::kSwitch, Family::kIpv4, Service::kAnySource};
constexpr Road kIpv6{Wires::kSwitch, Family::kIpv6, Service::kAnySource};
constexpr Road kSource4{Wires::kSwitch, Family::kIpv4, Service::kOneSource};
constexpr Road kSource6{Wires::kSwitch, Family::kIpv6, Service::kOneSource};

INSTANTIATE_TEST_SUITE_P(All, FaultTest,
                         testing::Values(Fault{End::kViewer, Break::kDown, kIpv4},
                                         Fault{End::kViewer, Break::kDown, kSource6},
                                         Fault{End::kViewer, Break::kUnplugged, kSource4},
                                         Fault{End::kViewer, Break::kUnplugged, kIpv6},
                                         Fault{End::kViewer, Break::kRemade, kSource4},
                                         Fault{End::kViewer, Break::kRemade, kSource6},
                                         Fault{End::kSender, Break::kDown, kSource4},
                                         Fault{End::kSender, Break::kDown, kIpv6},
                                         Fault{End::kSender, Break::kRemade, kIpv4},
                                         Fault{End::kSender, Break::kRemade, kSource6}),
                         [](const auto& info) { return info.param.Name(); });

class MtuTest : public NetworkTest, public testing::WithParamInterface<Family> {
 protected:
  Road road() const { return {Wires::kCable, GetParam(), Service::kAnySource}; }
  size_t headers() const { return GetParam() == Family::kIpv4 ? 28 : 48; }
  void SetMtu(int mtu) {
    for (Host* host : {sender_.get(), viewer_.get()}) {
      host->Ip({"link", "set", "eth0", "mtu", std::to_string(mtu)});
    }
  }
  // Fragments are cut in whole steps.
  static void ExpectJustBelow(size_t bytes, size_t limit) {
    EXPECT_LE(bytes, limit);
    EXPECT_GT(bytes, limit - 32);
  }
  // Sends 20 ADUs, all of which arrive; returns the largest datagram's size.
  size_t SendAll(const Viewing& viewing, const Words& more, std::string* log = nullptr) {
    auto tap = TapAt(*viewer_, Direction::kIn);
    const std::string input = Input(20 * kAduBytes);
    Words words = {"--pace", "40M"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome sent = StartSender(viewing, "file:" + input, words)->Wait();
    EXPECT_EQ(sent.status, 0) << sent.ToString();
    if (log != nullptr) *log = sent.err;
    EXPECT_TRUE(Eventually([&] { return Size(viewing.output) == Size(input); }));
    EXPECT_TRUE(ReadAll(viewing.output) == ReadAll(input));
    size_t largest = 0;
    for (const SeenDatagram& one : tap->Datagrams(road().group())) {
      EXPECT_FALSE(one.fragment);
      largest = std::max(largest, one.bytes);
    }
    return largest;
  }
};

TEST_P(MtuTest, DatagramsFitAnInterfaceThatCarriesLess) {
  Wire(Wires::kCable);
  SetMtu(1400);
  Viewing viewing = Join(road().uri(), GetParam(), kAdus);
  std::string log;
  ExpectJustBelow(SendAll(viewing, {}, &log), 1400 - headers());
  EXPECT_EQ(Count(log, std::to_string(1400 - headers()) + " bytes instead of 1452"), 1u) << log;
}

TEST_P(MtuTest, JumboFramesAreUsedWhereAskedFor) {
  Wire(Wires::kCable);
  SetMtu(9000);
  Viewing viewing = Join(road().uri(), GetParam(), kAdus);
  ExpectJustBelow(SendAll(viewing, {"--output", road().uri("", "&mtu=9000")}), 9000 - 48);
}

TEST_P(MtuTest, MoreThanTheInterfaceCarriesIsRefused) {
  Wire(Wires::kCable);
  Viewing viewing = Join(road().uri(), GetParam(), kAdus);
  const Outcome refused =
      StartSender(viewing, "file:" + Input(10), {"--output", road().uri("", "&mtu=9000")})->Wait();
  EXPECT_EQ(refused.status, 1) << refused.ToString();
  EXPECT_THAT(refused.err, HasSubstr("use ?mtu=1500")) << refused.ToString();
}

TEST_P(MtuTest, AnInterfaceThatShrinksEndsTheSenderWithTheSizeToUse) {
  Wire(Wires::kCable);
  Viewing viewing = Join(road().uri(), GetParam(), kAdus);
  auto sender = StartSender(viewing, "file:" + Input(2000 * kAduBytes), {"--pace", "8M"});
  ASSERT_TRUE(Eventually([&] { return Size(viewing.output) >= 3 * kAduBytes; }));
  SetMtu(1300);
  const Outcome end = sender->Wait();
  EXPECT_EQ(end.status, 1) << end.ToString();
  EXPECT_THAT(end.err, HasSubstr("start again with ?mtu=1300")) << end.ToString();
}

TEST_P(MtuTest, ARouterThatCarriesLessIsToldOfAndStopsNothing) {
  // sender - router - viewer; the second cable carries 1300 bytes.
  const bool v4 = GetParam() == Family::kIpv4;
  other_ = lab_->NewHost();
  lab_->Connect(*sender_, "eth0", *other_, "eth0");
  lab_->Connect(*other_, "eth1", *viewer_, "eth0");
  Address(*sender_, 1);
  Address(*other_, 254);
  const std::string to = v4 ? "10.92.0." : "fd92::", mask = v4 ? "/24" : "/64";
  other_->Ip({"addr", "add", to + "1" + mask, "dev", "eth1"});
  viewer_->Ip({"addr", "add", to + "2" + mask, "dev", "eth0"});
  other_->Do({"sh", "-c",
              v4 ? "echo 1 > /proc/sys/net/ipv4/ip_forward"
                 : "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"});
  const std::string version = v4 ? "-4" : "-6";
  sender_->Ip({version, "route", "add", "default", "via", v4 ? "10.91.0.254" : "fd91::254"});
  viewer_->Ip({version, "route", "add", "default", "via", to + "1"});
  for (Host* host : {other_.get(), viewer_.get()}) NetworkLab::WaitForAddresses(*host);
  other_->Ip({"link", "set", "eth1", "mtu", "1300"});
  viewer_->Ip({"link", "set", "eth0", "mtu", "1300"});

  const std::string uri = "udp://" + (v4 ? to + "2" : "[" + to + "2]") + ":5004";
  Viewing viewing = Join(road().uri(), GetParam(), kAdus, {"--input", uri});
  const std::string input = Input(20 * kAduBytes);
  // The second time the kernel remembers what the router said; it is not obeyed then either.
  for (int time = 0; time < 2; ++time) {
    const Outcome lossy =
        StartSender(viewing, "file:" + input, {"--output", uri, "--pace", "20M"})->Wait();
    EXPECT_EQ(lossy.status, 0) << lossy.ToString();
    EXPECT_EQ(Count(lossy.err, "send with ?mtu=1300"), 1u) << lossy.ToString();
    EXPECT_EQ(Count(lossy.err, "instead of 1452"), 0u) << lossy.ToString();
  }
  EXPECT_EQ(Size(viewing.output), 0u);
  const Outcome whole =
      StartSender(viewing, "file:" + input, {"--output", uri + "?mtu=1300", "--pace", "20M"})
          ->Wait();
  EXPECT_EQ(whole.status, 0) << whole.ToString();
  EXPECT_TRUE(Eventually([&] { return Size(viewing.output) == Size(input); }));
  EXPECT_TRUE(ReadAll(viewing.output) == ReadAll(input));
}

INSTANTIATE_TEST_SUITE_P(All, MtuTest, testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& info) {
                           return info.param == Family::kIpv4 ? "Ipv4" : "Ipv6";
                         });

// What a source hears until nothing more comes for a moment after `last`.
std::vector<std::string> HeardUntil(net::DatagramSource& source, const std::string& last) {
  std::vector<std::string> heard;
  Eventually([&] {
    pollfd readable{source.descriptor(), POLLIN, 0};
    poll(&readable, 1, 100);
    EXPECT_TRUE(source.Receive(100, [&](ByteView one) { heard.push_back(ToText(one)); }).ok());
    return std::find(heard.begin(), heard.end(), last) != heard.end();
  });
  return heard;
}

TEST_F(NetworkTest, AMutedSenderIsNotHeardOnItsOwnMachine) {
  Wire(Wires::kCable);
  for (const std::string uri :
       {"udp://239.91.0.7:7?adapter=eth0", "udp://[ff15::91:7]:7?adapter=eth0"}) {
    auto here = SourceAt(*sender_, uri), there = SourceAt(*viewer_, uri);
    SendTo(*SinkAt(*sender_, uri + "&loop=0"), "muted");
    SendTo(*SinkAt(*sender_, uri), "heard");
    EXPECT_THAT(HeardUntil(*here, "heard"), testing::ElementsAre("heard")) << uri;
    EXPECT_THAT(HeardUntil(*there, "heard"), testing::ElementsAre("muted", "heard")) << uri;
  }
}

TEST_F(NetworkTest, AReceiverMayJoinOnSeveralAdapters) {
  Wire(Wires::kCable);
  lab_->Connect(*sender_, "eth1", *viewer_, "eth1");
  NetworkLab::WaitForAddresses(*sender_);
  for (const std::string group : {"udp://239.91.0.8:7?adapter=", "udp://[ff15::91:8]:7?adapter="}) {
    auto both = SourceAt(*viewer_, group + "eth0,eth1");
    auto one = SourceAt(*viewer_, group + "eth1");
    SendTo(*SinkAt(*sender_, group + "eth0"), "zero");
    EXPECT_THAT(HeardUntil(*both, "zero"), testing::ElementsAre("zero")) << group;
    SendTo(*SinkAt(*sender_, group + "eth1"), "one");
    EXPECT_THAT(HeardUntil(*both, "one"), testing::ElementsAre("one")) << group;
    EXPECT_THAT(HeardUntil(*one, "one"), testing::ElementsAre("one")) << group;
  }
}

TEST_F(NetworkTest, ALinkLocalGroupTravelsOnItsLink) {
  Wire(Wires::kCable);
  const std::string uri = "udp://[ff12::91:9%eth0]:7";
  auto there = SourceAt(*viewer_, uri);
  SendTo(*SinkAt(*sender_, uri), "link");
  EXPECT_THAT(HeardUntil(*there, "link"), testing::ElementsAre("link"));
  // The membership and the bind are the link's: both are made anew with it.
  viewer_->Ip({"link", "del", "eth0"});
  lab_->Connect(*sender_, "eth0", *viewer_, "eth0");
  NetworkLab::WaitForAddresses(*sender_);
  NetworkLab::WaitForAddresses(*viewer_);
  auto again = SinkAt(*sender_, uri);
  viewer_->Within([&] {
    EXPECT_TRUE(Eventually([&] {
      SendTo(*again, "again");
      bool heard = false;
      EXPECT_TRUE(there->Receive(100, [&](ByteView) { heard = true; }).ok());
      return heard;
    }));
  });
}

TEST_F(NetworkTest, WithoutAnAdapterTheRoutesChoose) {
  Wire(Wires::kCable);
  for (Host* host : {sender_.get(), viewer_.get()}) {
    host->Ip({"route", "add", "default", "dev", "eth0"});
  }
  for (const std::string uri : {"udp://239.91.0.9:7", "udp://[ff15::91:a]:7"}) {
    auto there = SourceAt(*viewer_, uri);
    SendTo(*SinkAt(*sender_, uri), "routed");
    EXPECT_THAT(HeardUntil(*there, "routed"), testing::ElementsAre("routed")) << uri;
  }
}

TEST_F(NetworkTest, ABufferThatTheKernelCutsIsToldOnceWithTheRemedy) {
  Wire(Wires::kCable);
  const std::string uri = "udp://239.91.0.9:5004?adapter=eth0";
  Viewing cut = Join(uri, Family::kIpv4, kAdus, {"--input", uri + "&rcvbuf=1073741823"});
  EXPECT_EQ(cut.join->Stop().status, 0);
  EXPECT_EQ(Count(cut.join->err(), "net.core.rmem_max"), 1u) << cut.join->err();
  Viewing small = Join(uri, Family::kIpv4, kAdus, {"--input", uri + "&rcvbuf=65536"});
  EXPECT_EQ(small.join->Stop().status, 0);
  EXPECT_EQ(Count(small.join->err(), "rmem_max"), 0u) << small.join->err();
}

TEST_F(NetworkTest, AnAdapterThatDoesNotExistIsAnErrorAtTheStart) {
  Wire(Wires::kCable);
  const std::string uri = "udp://239.91.0.9:5004?adapter=eth7";
  EXPECT_THROW(
      {
        try {
          Join(uri, Family::kIpv4, kAdus);
        } catch (const std::exception& error) {
          EXPECT_THAT(error.what(), HasSubstr("no network interface is named eth7"));
          EXPECT_THAT(error.what(), HasSubstr("exit status 1"));
          throw;
        }
      },
      std::runtime_error);
}

}  // namespace
}  // namespace nark::harness
