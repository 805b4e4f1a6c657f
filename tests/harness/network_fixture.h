#ifndef NARK_TESTS_HARNESS_NETWORK_FIXTURE_H_
#define NARK_TESTS_HARNESS_NETWORK_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/net/datagram_io.h"
#include "tests/harness/network_lab.h"
#include "tests/harness/wire_tap.h"
#include "tests/harness/world.h"

namespace nark::harness {

enum class Wires { kCable, kSwitch };
enum class Family { kIpv4, kIpv6 };
enum class Service { kAnySource, kOneSource };

// How a stream travels in a test.
struct Road {
  static constexpr int kHops = 7;
  static constexpr int kDscp = 34;  // AF41

  Wires wires = Wires::kCable;
  Family family = Family::kIpv4;
  Service service = Service::kAnySource;

  std::string group() const;
  std::string source() const;    // the sender's address
  std::string stranger() const;  // another one
  // To the group, as from `from` unless it is empty.
  std::string uri(const std::string& from, const std::string& more = "") const;
  // The session's.
  std::string uri() const;
  std::string Name() const;
};

// A sender, a viewer and, on a switch, somebody else; eth0 is each one's interface.
class NetworkTest : public testing::Test {
 protected:
  static constexpr size_t kAduBytes = 32 << 10;

  // A session, and a viewer who bought and has joined it.
  struct Viewing {
    Server key_manager;
    SessionFiles session;
    std::unique_ptr<Process> join;
    std::string output;
    std::string statistics;
  };

  static void SetUpTestSuite();
  // Skips where the machine permits no networks.
  void SetUp() override;

  void Wire(Wires wires);
  // Both families' addresses, where the host has not got them.
  static void Address(Host& host, int number, const std::string& interface = "eth0");

  static std::unique_ptr<net::DatagramSink> SinkAt(Host& host, const std::string& uri);
  static std::unique_ptr<net::DatagramSource> SourceAt(Host& host, const std::string& uri);
  static void SendTo(net::DatagramSink& sink, std::string_view text);
  static std::unique_ptr<WireTap> TapAt(Host& host, Direction direction,
                                        const std::string& interface = "eth0");

  // A program on a host: what World's calls take with "nsenter".
  static Words At(const Host& host, const std::string& program, const Words& arguments);
  // The key manager is beside the sender.
  Viewing Join(const std::string& transport, Family family, const Words& adus,
               const Words& more = {});
  std::unique_ptr<Process> StartSender(const Viewing& viewing, const std::string& input,
                                       const Words& more = {});

  std::string Input(size_t bytes);
  static size_t Size(const std::string& path);

  std::unique_ptr<World> world_;
  std::unique_ptr<NetworkLab> lab_;
  std::unique_ptr<Host> sender_;
  std::unique_ptr<Host> viewer_;
  std::unique_ptr<Host> other_;

 private:
  void WaitUntilItSnoops();
  static inline std::string why_not_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_NETWORK_FIXTURE_H_
