#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/net/datagram_io.h"

namespace nark::net {
namespace {

constexpr std::string_view kScheme = "udp://";
constexpr int kMulticastTtl = 1;
constexpr int kUnicastTtl = 64;
constexpr int kHeadersBytes = 48;       // IPv6 and UDP
constexpr int kLargestPayload = 65507;  // UDP over IPv4
constexpr int kSmallestMtu = 576;       // what IPv4 promises to carry
constexpr int kLargestMtu = 65536;      // that of lo
constexpr int kLargestBuffer = 1 << 30;

enum class Family { kNone, kIpv4, kIpv6 };

Family FamilyOf(const std::string& numeric) {
  uint8_t parsed[sizeof(in6_addr)];
  if (::inet_pton(AF_INET, numeric.c_str(), parsed) == 1) return Family::kIpv4;
  if (::inet_pton(AF_INET6, numeric.c_str(), parsed) == 1) return Family::kIpv6;
  return Family::kNone;
}

bool IsMulticast(const std::string& numeric) {
  in_addr v4;
  if (::inet_pton(AF_INET, numeric.c_str(), &v4) == 1) return IN_MULTICAST(ntohl(v4.s_addr));
  in6_addr v6;
  if (::inet_pton(AF_INET6, numeric.c_str(), &v6) == 1) return IN6_IS_ADDR_MULTICAST(&v6);
  return false;
}

bool IsHostName(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  bool letter = false;
  for (char c : text) {
    bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    letter = letter || alpha;
    if (!alpha && !(c >= '0' && c <= '9') && c != '-' && c != '.') return false;
  }
  // Digits and dots alone are a mistyped address.
  return letter && text.front() != '-' && text.front() != '.';
}

// Names of code points (RFC 2474, 2597, 3246, 5865, 8622).
struct CodePoint {
  std::string_view name;
  int value;
};
constexpr std::array<CodePoint, 25> kCodePoints = {
    {{"DF", 0},    {"BE", 0},    {"LE", 1},    {"EF", 46},   {"VA", 44},
     {"CS0", 0},   {"CS1", 8},   {"CS2", 16},  {"CS3", 24},  {"CS4", 32},
     {"CS5", 40},  {"CS6", 48},  {"CS7", 56},  {"AF11", 10}, {"AF12", 12},
     {"AF13", 14}, {"AF21", 18}, {"AF22", 20}, {"AF23", 22}, {"AF31", 26},
     {"AF32", 28}, {"AF33", 30}, {"AF41", 34}, {"AF42", 36}, {"AF43", 38}}};

// Parses one URI; every error begins with it.
class Parser {
 public:
  explicit Parser(std::string_view uri) : uri_(uri) {}

  absl::StatusOr<UdpAddress> Parse() {
    if (!uri_.starts_with(kScheme)) return Wrong("it must begin with udp://");
    std::string_view rest = uri_.substr(kScheme.size());
    for (char c : rest) {
      if (c <= ' ' || c >= 0x7f) return Wrong("it has a blank or an unprintable character");
    }
    size_t question = rest.find('?');
    RETURN_IF_ERROR(ParseAuthority(rest.substr(0, question)));
    address_.ttl = address_.multicast() ? kMulticastTtl : kUnicastTtl;
    if (question != std::string_view::npos) {
      RETURN_IF_ERROR(ParseParameters(rest.substr(question + 1)));
    }
    return address_;
  }

 private:
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(
        Absl(uri_), ": ", Absl(what), "; want udp://[SOURCE@]GROUP:PORT?adapter=IFACE&ttl=N"));
  }

  // One host, without brackets.
  absl::StatusOr<std::string> ParseHost(std::string_view text, std::string_view what) {
    bool bracketed = text.starts_with('[');
    if (bracketed) {
      if (!text.ends_with(']')) return Wrong("a bracket is not closed");
      text = text.substr(1, text.size() - 2);
      if (size_t percent = text.find('%'); percent != std::string_view::npos) {
        RETURN_IF_ERROR(SetZone(text.substr(percent + 1)));
        text = text.substr(0, percent);
      }
    }
    std::string host(text);
    Family family = FamilyOf(host);
    if (bracketed != (family == Family::kIpv6)) {
      return Wrong(absl::StrCat(
          "\"", host, "\" ",
          bracketed ? "is no IPv6 address" : "is an IPv6 address and belongs in brackets"));
    }
    if (family == Family::kNone && !IsHostName(host)) {
      return Wrong(absl::StrCat("the ", Absl(what), " \"", host, "\" is no address"));
    }
    return host;
  }

  absl::Status ParseAuthority(std::string_view text) {
    if (text.ends_with('/')) text.remove_suffix(1);
    std::string_view source;
    if (size_t at = text.find('@'); at != std::string_view::npos) {
      source = text.substr(0, at);
      text = text.substr(at + 1);
    }
    size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon < text.rfind(']') + 1) {
      return Wrong("it names no port");
    }
    ASSIGN_OR_RETURN(address_.address, ParseHost(text.substr(0, colon), "group"));
    ASSIGN_OR_RETURN(int port, ParseNumber("port", text.substr(colon + 1), 1, 65535));
    address_.port = static_cast<uint16_t>(port);
    // VLC's way of writing "from any source": udp://@GROUP:PORT.
    if (source.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(address_.source, ParseHost(source, "source"));
    if (FamilyOf(address_.source) == Family::kNone || IsMulticast(address_.source)) {
      return Wrong("the source must be the numeric address of one host");
    }
    Family to = FamilyOf(address_.address);
    if (to != Family::kNone && FamilyOf(address_.source) != to) {
      return Wrong("source and destination are of different IP versions");
    }
    return absl::OkStatus();
  }

  // The zone of RFC 4007, in a URI's spelling (%25, RFC 6874) or as people type it.
  absl::Status SetZone(std::string_view zone) {
    if (zone.starts_with("25")) zone.remove_prefix(2);
    if (!address_.adapter.empty() && address_.adapter != zone) {
      return Wrong("source and group are on different interfaces");
    }
    return SetAdapter(zone, address_.adapter);
  }

  absl::Status SetAdapter(std::string_view name, std::string& to) const {
    if (name.empty() || name.size() > 15 || name.find('/') != std::string_view::npos) {
      return Wrong(absl::StrCat("\"", Absl(name), "\" cannot be an interface's name"));
    }
    to = name;
    return absl::OkStatus();
  }

  absl::Status SetAdapters(std::string_view names) {
    std::vector<std::string> all = absl::StrSplit(Absl(names), ',');
    std::string first;
    RETURN_IF_ERROR(SetAdapter(all[0], first));
    if (!address_.adapter.empty() && address_.adapter != first) {
      return Wrong("adapter and the address's zone are different interfaces");
    }
    address_.adapter = first;
    for (size_t i = 1; i < all.size(); ++i) {
      if (std::count(all.begin(), all.end(), all[i]) > 1) {
        return Wrong(absl::StrCat("adapter ", all[i], " is named twice"));
      }
      RETURN_IF_ERROR(SetAdapter(all[i], address_.more_adapters.emplace_back()));
    }
    return absl::OkStatus();
  }

  absl::Status SetDscp(std::string_view value) {
    std::string name = absl::AsciiStrToUpper(Absl(value));
    for (const CodePoint& one : kCodePoints) {
      if (one.name == name) {
        address_.dscp = one.value;
        return absl::OkStatus();
      }
    }
    absl::Status status = SetNumber("dscp", value, 0, 63, address_.dscp);
    return status.ok() ? status
                       : Wrong(absl::StrCat("dscp \"", Absl(value),
                                            "\" is neither a number from 0 to 63 nor a name such "
                                            "as EF, AF41, CS5"));
  }

  absl::StatusOr<int> ParseNumber(std::string_view name, std::string_view text, int least,
                                  int most) const {
    int value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most ||
        text.front() == '-') {
      return Wrong(absl::StrCat(Absl(name), " \"", Absl(text), "\" is no number from ", least,
                                " to ", most));
    }
    return value;
  }

  absl::Status ParseParameters(std::string_view text) {
    std::set<std::string_view> seen;
    while (true) {
      size_t end = text.find('&');
      std::string_view one = text.substr(0, end);
      size_t equals = one.find('=');
      if (equals == std::string_view::npos || equals == 0 || equals + 1 == one.size()) {
        return Wrong(absl::StrCat("parameter \"", Absl(one), "\" is not NAME=VALUE"));
      }
      std::string_view name = one.substr(0, equals);
      if (!seen.insert(name).second) {
        return Wrong(absl::StrCat("parameter ", Absl(name), " is given twice"));
      }
      RETURN_IF_ERROR(SetParameter(name, one.substr(equals + 1)));
      if (end == std::string_view::npos) return absl::OkStatus();
      text = text.substr(end + 1);
    }
  }

  absl::Status SetNumber(std::string_view name, std::string_view value, int least, int most,
                         int& to) const {
    ASSIGN_OR_RETURN(to, ParseNumber(name, value, least, most));
    return absl::OkStatus();
  }

  absl::Status SetParameter(std::string_view name, std::string_view value) {
    if (name == "ttl") {
      // With 0 a group stays on this machine.
      return SetNumber(name, value, address_.multicast() ? 0 : 1, 255, address_.ttl);
    }
    if (name == "dscp") return SetDscp(value);
    if (name == "loop") {
      ASSIGN_OR_RETURN(int loop, ParseNumber(name, value, 0, 1));
      address_.loop = loop == 1 ? Loopback::kHeard : Loopback::kMuted;
      return absl::OkStatus();
    }
    if (name == "rcvbuf") {
      return SetNumber(name, value, 1, kLargestBuffer, address_.receive_buffer_bytes);
    }
    if (name == "sndbuf") {
      return SetNumber(name, value, 1, kLargestBuffer, address_.send_buffer_bytes);
    }
    if (name == "mtu") {
      ASSIGN_OR_RETURN(int mtu, ParseNumber(name, value, kSmallestMtu, kLargestMtu));
      address_.datagram_bytes = std::min(mtu - kHeadersBytes, kLargestPayload);
      address_.mtu_rule = MtuRule::kAsked;
      return absl::OkStatus();
    }
    if (name == "adapter") return SetAdapters(value);
    return Wrong(absl::StrCat("unknown parameter ", Absl(name),
                              " (known: adapter, ttl, dscp, loop, rcvbuf, sndbuf, mtu)"));
  }

  std::string_view uri_;
  UdpAddress address_;
};

}  // namespace

absl::StatusOr<UdpAddress> UdpAddress::Parse(std::string_view uri) { return Parser(uri).Parse(); }

bool UdpAddress::multicast() const { return IsMulticast(address); }

bool UdpAddress::source_specific() const {
  in_addr v4;
  if (::inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 232;
  in6_addr v6;
  return ::inet_pton(AF_INET6, address.c_str(), &v6) == 1 && v6.s6_addr[0] == 0xff &&
         v6.s6_addr[1] >> 4 == 3 && v6.s6_addr[2] == 0 && v6.s6_addr[3] == 0;
}

std::string UdpAddress::HostPort() const {
  bool brackets = address.find(':') != std::string::npos;
  return absl::StrCat(brackets ? "[" : "", address, brackets ? "]:" : ":", port);
}

}  // namespace nark::net
