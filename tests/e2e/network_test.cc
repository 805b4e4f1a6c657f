// The real programs on hosts of their own, with cables and a switch between them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/harness/network_fixture.h"

namespace nark::harness {
namespace {

using ::testing::HasSubstr;

const Words kAdus = {"--adu", "32KiB"};

class RoadsTest : public NetworkTest, public testing::WithParamInterface<Road> {};

// A report that asks for the group from any source, or from this one.
bool Asks(const SeenReport& report, const Road& road) {
  if (report.group != road.group()) return false;
  if (road.service == Service::kAnySource) {
    return (report.type == 2 || report.type == 4) && report.sources.empty();
  }
  return (report.type == 1 || report.type == 3 || report.type == 5) &&
         report.sources == std::vector<std::string>{road.source()};
}

// Datagrams that are no Nark datagrams: the stranger's.
uint64_t Strange(const std::string& statistics) {
  return nlohmann::json::parse(ReadAll(statistics))["datagrams"]["dropped"]["short"];
}

TEST_P(RoadsTest, TheStreamComesWholeAndToNobodyElse) {
  const Road& road = GetParam();
  Wire(road.wires);
  const bool one_source = road.service == Service::kOneSource;
  sender_->Ip({"addr", "add", road.stranger() + (road.family == Family::kIpv4 ? "/24" : "/64"),
               "dev", "eth0"});
  NetworkLab::WaitForAddresses(*sender_);
  auto reports = TapAt(*viewer_, Direction::kOut);
  auto arriving = TapAt(*viewer_, Direction::kIn);
  std::unique_ptr<WireTap> elsewhere;
  if (other_ != nullptr) elsewhere = TapAt(*other_, Direction::kIn);

  Viewing viewing = Join(road.uri(), road.family, kAdus);
  // The membership report on the wire, and what the switch makes of it.
  EXPECT_TRUE(Eventually([&] {
    const auto seen = reports->Reports();
    return std::any_of(seen.begin(), seen.end(),
                       [&](const SeenReport& report) { return Asks(report, road); });
  }));
  for (const SeenReport& report : reports->Reports()) {
    if (report.group != road.group()) continue;
    EXPECT_TRUE(Asks(report, road)) << report.type;
  }
  if (road.wires == Wires::kSwitch) {
    const auto line_of = [&](const std::string& port) {
      std::istringstream lines(lab_->Groups());
      for (std::string line; std::getline(lines, line);) {
        if (line.find("port " + port + " ") == std::string::npos) continue;
        if (line.find("grp " + road.group() + " ") == std::string::npos) continue;
        if (one_source && line.find("src " + road.source() + " ") == std::string::npos) continue;
        return line;
      }
      return std::string();
    };
    EXPECT_TRUE(Eventually([&] { return !line_of("to-viewer").empty(); })) << lab_->Groups();
    EXPECT_EQ(line_of("to-other"), "");
  }

  // Somebody else sends to the group first; it comes in front of all of the stream.
  constexpr size_t kStrange = 5;
  constexpr std::string_view kStranger = "no datagram";
  auto stranger = SinkAt(*sender_, road.uri(road.stranger()));
  for (size_t i = 0; i < kStrange; ++i) SendTo(*stranger, kStranger);
  const std::string input = Input(20 * kAduBytes + 77);
  const Outcome sent = StartSender(viewing, "file:" + input, {"--pace", "40M"})->Wait();
  EXPECT_EQ(sent.status, 0) << sent.ToString();
  EXPECT_TRUE(Eventually([&] { return Size(viewing.output) == Size(input); }));
  const Outcome end = viewing.join->Stop();
  EXPECT_EQ(end.status, 0) << end.ToString();
  EXPECT_TRUE(ReadAll(viewing.output) == ReadAll(input)) << end.ToString();
  EXPECT_EQ(Strange(viewing.statistics), one_source ? 0 : kStrange) << ReadAll(viewing.statistics);

  size_t datagrams = 0;
  for (const SeenDatagram& one : arriving->Datagrams(road.group())) {
    if (AsText(one.payload) == kStranger) continue;
    ++datagrams;
    EXPECT_TRUE(one.from == road.source() || !one_source) << one.from;
    EXPECT_EQ(one.port, 5004);
    EXPECT_EQ(one.hops, Road::kHops);
    EXPECT_EQ(one.dscp, Road::kDscp);
    EXPECT_FALSE(one.fragment);
    EXPECT_FALSE(one.may_be_cut);
    EXPECT_LE(one.bytes, 1452u);
  }
  EXPECT_GT(datagrams, 0u);
  EXPECT_EQ(arriving->lost(), 0u);
  if (elsewhere != nullptr) {
    EXPECT_EQ(elsewhere->Datagrams(road.group()).size(), 0u) << "the switch floods";
    EXPECT_EQ(elsewhere->lost(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RoadsTest,
                         testing::Values(Road{Wires::kCable, Family::kIpv4, Service::kAnySource},
                                         Road{Wires::kCable, Family::kIpv4, Service::kOneSource},
                                         Road{Wires::kCable, Family::kIpv6, Service::kAnySource},
                                         Road{Wires::kCable, Family::kIpv6, Service::kOneSource},
                                         Road{Wires::kSwitch, Family::kIpv4, Service::kAnySource},
                                         Road{Wires::kSwitch, Family::kIpv4, Service::kOneSource},
                                         Road{Wires::kSwitch, Family::kIpv6, Service::kAnySource},
                                         Road{Wires::kSwitch, Family::kIpv6, Service::kOneSource}),
                         [](const auto& info) { return info.param.Name(); });

}  // namespace
}  // namespace nark::harness
