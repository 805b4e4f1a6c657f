#include "tests/harness/network_fixture.h"

#include <filesystem>
#include <stdexcept>
#include <utility>

namespace nark::harness {
namespace {

std::string Bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

std::string Road::group() const {
  const bool one = service == Service::kOneSource;
  if (family == Family::kIpv4) return one ? "232.91.0.1" : "239.91.0.1";
  return one ? "ff35::91:1" : "ff15::91:1";
}

std::string Road::source() const { return family == Family::kIpv4 ? "10.91.0.1" : "fd91::1"; }

std::string Road::stranger() const { return family == Family::kIpv4 ? "10.91.0.66" : "fd91::66"; }

std::string Road::uri(const std::string& from, const std::string& more) const {
  return "udp://" + (from.empty() ? "" : Bracketed(from) + "@") + Bracketed(group()) +
         ":5004?adapter=eth0" + more;
}

std::string Road::uri() const {
  return uri(service == Service::kOneSource ? source() : "",
             "&ttl=" + std::to_string(kHops) + "&dscp=AF41");
}

std::string Road::Name() const {
  return std::string(wires == Wires::kCable ? "Cable" : "Switch") +
         (family == Family::kIpv4 ? "Ipv4" : "Ipv6") +
         (service == Service::kAnySource ? "AnySource" : "OneSource");
}

void NetworkTest::SetUpTestSuite() { why_not_ = NetworkLab::Enter(); }

void NetworkTest::SetUp() {
  if (!why_not_.empty()) GTEST_SKIP() << why_not_;
  world_ = std::make_unique<World>();
  lab_ = std::make_unique<NetworkLab>(world_->Path("logs"));
  sender_ = lab_->NewHost();
  viewer_ = lab_->NewHost();
}

void NetworkTest::Wire(Wires wires) {
  if (wires == Wires::kCable) {
    lab_->Connect(*sender_, "eth0", *viewer_, "eth0");
  } else {
    lab_->StartSwitch();
    other_ = lab_->NewHost();
    lab_->Plug(*sender_, "eth0", "to-sender");
    lab_->Plug(*viewer_, "eth0", "to-viewer");
    lab_->Plug(*other_, "eth0", "to-other");
  }
  Address(*sender_, 1);
  Address(*viewer_, 2);
  if (other_ == nullptr) return;
  Address(*other_, 3);
  WaitUntilItSnoops();
}

void NetworkTest::Address(Host& host, int number, const std::string& interface) {
  const std::string n = std::to_string(number);
  host.Ip({"addr", "replace", "10.91.0." + n + "/24", "dev", interface});
  host.Ip({"addr", "replace", "fd91::" + n + "/64", "dev", interface, "nodad"});
  NetworkLab::WaitForAddresses(host);
}

// A querier counts only after a while, and until then a bridge floods. What goes to all
// hosts comes everywhere, and behind what was sent before it.
void NetworkTest::WaitUntilItSnoops() {
  WireTap port("to-other", Direction::kOut);
  for (const auto& groups : std::initializer_list<std::pair<std::string, std::string>>{
           {"239.91.9.9", "224.0.0.1"}, {"ff15::99:9", "ff02::1"}}) {
    // References, as clang 14 lets no lambda capture a structured binding.
    const auto &group = groups.first, &all = groups.second;
    auto probe = SinkAt(*sender_, "udp://" + Bracketed(group) + ":9?adapter=eth0");
    auto marker = SinkAt(*sender_, "udp://" + Bracketed(all) + ":9?adapter=eth0");
    const bool snoops = Eventually([&] {
      const size_t probes = port.Datagrams(group).size();
      const size_t markers = port.Datagrams(all).size();
      SendTo(*probe, "probe");
      SendTo(*marker, "marker");
      return Eventually([&] { return port.Datagrams(all).size() > markers; }) &&
             port.Datagrams(group).size() == probes;
    });
    if (!snoops) throw std::runtime_error("the switch floods " + group + "\n" + lab_->Groups());
  }
}

std::unique_ptr<net::DatagramSink> NetworkTest::SinkAt(Host& host, const std::string& uri) {
  std::unique_ptr<net::DatagramSink> sink;
  host.Within([&] {
    auto opened = net::OpenUdpSink(*net::UdpAddress::Parse(uri));
    if (!opened.ok()) throw std::runtime_error(std::string(opened.status().message()));
    sink = *std::move(opened);
  });
  return sink;
}

std::unique_ptr<net::DatagramSource> NetworkTest::SourceAt(Host& host, const std::string& uri) {
  std::unique_ptr<net::DatagramSource> source;
  host.Within([&] {
    auto opened = net::OpenUdpSource(*net::UdpAddress::Parse(uri));
    if (!opened.ok()) throw std::runtime_error(std::string(opened.status().message()));
    source = *std::move(opened);
  });
  return source;
}

void NetworkTest::SendTo(net::DatagramSink& sink, std::string_view text) {
  const ByteView one[] = {AsBytes(text)};
  EXPECT_TRUE(sink.Send(one).ok());
}

std::unique_ptr<WireTap> NetworkTest::TapAt(Host& host, Direction direction,
                                            const std::string& interface) {
  std::unique_ptr<WireTap> tap;
  host.Within([&] { tap = std::make_unique<WireTap>(interface, direction); });
  return tap;
}

Words NetworkTest::At(const Host& host, const std::string& program, const Words& arguments) {
  Words words = host.Enter(program);
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

NetworkTest::Viewing NetworkTest::Join(const std::string& transport, Family family,
                                       const Words& adus, const Words& more) {
  Viewing viewing;
  viewing.key_manager = world_->StartServer(
      "nsenter", At(*sender_, "nark-keymanager",
                    {"--pool", world_->pool(), "--issuer", world_->issuer() + "/issuer.pem",
                     "--listen", family == Family::kIpv4 ? "10.91.0.1:0" : "[fd91::1]:0"}));
  viewing.session = world_->MakeSessionAt(transport, {viewing.key_manager.listen}, adus);
  const SecureSpaceFolder space = world_->MakeSecureSpace();
  const std::string voucher = world_->MakeVoucher(viewing.session, space.id, "0-99999");
  viewing.output = world_->NewPath("out");
  viewing.statistics = world_->NewPath("statistics");
  const std::string ready = world_->NewPath("ready");
  Words words = world_->JoinArguments(viewing.session, space, voucher, viewing.output);
  words.insert(words.end(), {"--statistics", viewing.statistics, "--ready-file", ready});
  words.insert(words.end(), more.begin(), more.end());
  viewing.join = world_->Start("nsenter", At(*viewer_, "nark-receiver", words));
  const bool joined =
      Eventually([&] { return std::filesystem::exists(ready) || !viewing.join->running(); });
  if (!joined || !viewing.join->running()) {
    throw std::runtime_error("no join: " + viewing.join->Kill().ToString());
  }
  return viewing;
}

std::unique_ptr<Process> NetworkTest::StartSender(const Viewing& viewing, const std::string& input,
                                                  const Words& more) {
  Words words = {"--session", viewing.session.sender, "--input", input};
  words.insert(words.end(), more.begin(), more.end());
  return world_->Start("nsenter", At(*sender_, "nark-sender", words));
}

std::string NetworkTest::Input(size_t bytes) {
  const std::string path = world_->NewPath("input");
  WriteAll(path, RandomBytes(bytes, 1));
  return path;
}

size_t NetworkTest::Size(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace nark::harness
