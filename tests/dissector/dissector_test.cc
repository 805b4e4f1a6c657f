// Wireshark's dissector in Lua against the parsers in C++, on what the real sender
// sends and on headers of every shape.

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/crypto/random.h"
#include "common/crypto/signature.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"
#include "common/wire/testing.h"
#include "relay/client/message.h"
#include "tests/dissector/expected.h"
#include "tests/harness/capture.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark {
namespace {

using dissector::Expected;
using dissector::ExpectedMessage;
using dissector::Fields;
using harness::Words;

// On these everything is taken for Nark, or for a relay's message, whatever it is.
constexpr uint16_t kAnyPort = 40000;  // known by its first bytes only
constexpr uint16_t kNarkPort = 40001;
constexpr uint16_t kRelayPort = 40002;

const std::vector<std::string>& Columns() {
  static const auto* columns = new std::vector<std::string>{"nark.magic",
                                                            "nark.version",
                                                            "nark.kind",
                                                            "nark.tag",
                                                            "nark.sender",
                                                            "nark.adu",
                                                            "nark.index",
                                                            "nark.source",
                                                            "nark.parity",
                                                            "nark.page.hash",
                                                            "nark.ciphertext",
                                                            "nark.signed_header_bytes",
                                                            "nark.header_bytes",
                                                            "nark.header.version",
                                                            "nark.header.flags",
                                                            "nark.header.random_access",
                                                            "nark.header.cipher",
                                                            "nark.header.fragment_hash",
                                                            "nark.header.tag",
                                                            "nark.header.sender",
                                                            "nark.header.adu",
                                                            "nark.header.signed_time",
                                                            "nark.header.deadline",
                                                            "nark.header.plaintext_bytes",
                                                            "nark.header.ciphertext_bytes",
                                                            "nark.header.fragment_bytes",
                                                            "nark.header.source_fragments",
                                                            "nark.header.parity_fragments",
                                                            "nark.header.fresh",
                                                            "nark.header.control_block_bytes",
                                                            "nark.header.clear_entries",
                                                            "nark.header.clear.offset",
                                                            "nark.header.clear.length",
                                                            "nark.header.clear.phase",
                                                            "nark.header.clear.pid_count",
                                                            "nark.header.clear.pid",
                                                            "nark.header.clear.encrypted_bytes",
                                                            "nark.header.control_block",
                                                            "nark.header.hash_count",
                                                            "nark.header.hash",
                                                            "nark.authentication.form",
                                                            "nark.authentication.index",
                                                            "nark.authentication.count",
                                                            "nark.authentication.path_length",
                                                            "nark.authentication.path",
                                                            "nark.authentication.signature",
                                                            "nark_relay.magic",
                                                            "nark_relay.version",
                                                            "nark_relay.type",
                                                            "nark_relay.nonce",
                                                            "nark_relay.padding",
                                                            "nark_relay.cookie",
                                                            "nark_relay.credential",
                                                            "nark_relay.subscriber",
                                                            "nark_relay.serial",
                                                            "nark_relay.lease",
                                                            "nark_relay.tag_count",
                                                            "nark_relay.tag",
                                                            "nark_relay.status",
                                                            "nark_relay.mac",
                                                            "_ws.expert.message",
                                                            "_ws.lua.error",
                                                            "_ws.malformed"};
  return *columns;
}

struct Packet {
  Bytes payload;
  uint16_t port = kAnyPort;
};

void AppendLittle32(std::string& to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to.push_back(static_cast<char>(value >> (8 * i)));
}

// A capture file of IPv4 packets without a link layer (LINKTYPE_RAW).
void WritePcap(const std::string& path, const std::vector<Packet>& packets) {
  std::string file;
  AppendLittle32(file, 0xa1b2c3d4);
  AppendLittle32(file, 2 | 4 << 16);
  for (const uint32_t value : {0u, 0u, 65535u, 101u}) AppendLittle32(file, value);
  for (const Packet& packet : packets) {
    const size_t udp = 8 + packet.payload.size(), all = 20 + udp;
    Bytes head(28, 0);
    head[0] = 0x45;
    StoreBig16(&head[2], static_cast<uint16_t>(all));
    head[8] = 64;
    head[9] = 17;
    StoreBig32(&head[12], 0x7f000001);
    StoreBig32(&head[16], 0xefff0101);
    StoreBig16(&head[20], 45678);
    StoreBig16(&head[22], packet.port);
    StoreBig16(&head[24], static_cast<uint16_t>(udp));
    for (const uint32_t value : {1u, 0u, static_cast<uint32_t>(all), static_cast<uint32_t>(all)}) {
      AppendLittle32(file, value);
    }
    file += ToText(head) + ToText(packet.payload);
  }
  harness::WriteAll(path, file);
}

class DissectorTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* top = std::getenv("TEST_TMPDIR");
    folder_ = top != nullptr ? top : "/tmp";
  }

  // What tshark says of each packet, absent fields left out.
  std::vector<Fields> Dissect(const std::vector<Packet>& packets) {
    const std::string pcap = folder_ + "/packets.pcap";
    WritePcap(pcap, packets);
    harness::CommandLine command;
    command.program = "/usr/bin/tshark";
    command.environment = {"HOME=" + folder_};
    command.arguments = {"-r",
                         pcap,
                         "-n",
                         "-X",
                         "lua_script:deploy/wireshark/nark.lua",
                         "-o",
                         absl::StrCat("nark.ports:", kNarkPort),
                         "-o",
                         absl::StrCat("nark_relay.ports:", kRelayPort),
                         "-T",
                         "fields",
                         "-E",
                         "separator=|",
                         "-E",
                         "occurrence=a",
                         "-E",
                         "aggregator=,"};
    for (const std::string& column : Columns()) {
      command.arguments.push_back("-e");
      command.arguments.push_back(column);
    }
    const harness::Outcome outcome = harness::Execute(command, folder_, std::chrono::seconds(300));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    for (const char* trouble : {"Lua:", ".lua:", "traceback", "rror"}) {
      EXPECT_EQ(outcome.err.find(trouble), std::string::npos) << outcome.err;
    }
    std::vector<Fields> all;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      const std::vector<std::string> values = absl::StrSplit(line, '|');
      EXPECT_EQ(values.size(), Columns().size()) << line;
      Fields fields;
      for (size_t i = 0; i < values.size() && i < Columns().size(); ++i) {
        if (!values[i].empty()) fields[Columns()[i]] = values[i];
      }
      all.push_back(std::move(fields));
    }
    EXPECT_EQ(all.size(), packets.size());
    all.resize(packets.size());
    return all;
  }

  static Fields WithoutEmpty(Fields fields) {
    std::erase_if(fields, [](const auto& field) { return field.second.empty(); });
    return fields;
  }

  // Every field as C++ has it, and nothing to complain of.
  void ExpectSame(const std::vector<Packet>& packets) {
    const std::vector<Fields> dissected = Dissect(packets);
    for (size_t i = 0; i < packets.size(); ++i) {
      auto expected = Expected(packets[i].payload);
      if (!expected) expected = ExpectedMessage(packets[i].payload);
      ASSERT_TRUE(expected) << "packet " << i;
      ASSERT_EQ(dissected[i], WithoutEmpty(*expected)) << "packet " << i;
    }
  }

  // Refused by C++ exactly where the dissector complains, and never an error in Lua.
  void ExpectJudgedAlike(const std::vector<Packet>& packets) {
    std::vector<Fields> dissected = Dissect(packets);
    size_t refused = 0;
    for (size_t i = 0; i < packets.size(); ++i) {
      const bool good = packets[i].port == kNarkPort
                            ? Expected(packets[i].payload).has_value()
                            : ExpectedMessage(packets[i].payload).has_value();
      refused += good ? 0 : 1;
      ASSERT_FALSE(dissected[i].contains("_ws.lua.error")) << dissected[i].at("_ws.lua.error");
      // What Wireshark itself says where a dissector reads beyond the end.
      ASSERT_EQ(dissected[i]["_ws.expert.message"].find("Exception"), std::string::npos);
      std::erase_if(dissected[i], [](const auto& field) { return field.second.empty(); });
      ASSERT_EQ(dissected[i].contains("_ws.expert.message"), !good)
          << ToHex(packets[i].payload) << " "
          << (good ? dissected[i].at("_ws.expert.message") : "not noticed");
    }
    EXPECT_GT(refused, packets.size() / 10);
  }

  std::string folder_;
};

Bytes Datagram(wire::DatagramKind kind, const wire::Header& header, uint32_t index,
               ByteView payload) {
  Bytes datagram(wire::kPrefixBytes);
  wire::WritePrefix({kind, header.session_tag, header.sender_id, header.adu_id, index},
                    datagram.data());
  datagram.insert(datagram.end(), payload.begin(), payload.end());
  return datagram;
}

// One of each kind, with single and batch signatures, headers of every shape.
std::vector<Bytes> OfEveryShape(SeededRandom& random, int headers) {
  const PrivateKey key = *PrivateKey::Generate();
  const Digest context{};
  std::vector<Bytes> made;
  std::vector<wire::Header> batch;
  std::vector<Bytes> serialised;
  for (int i = 0; i < headers; ++i) {
    batch.push_back(wire::RandomHeader(random));
    serialised.push_back(wire::SerialiseHeader(batch.back()));
    const Bytes single = *wire::SignSingle(context, serialised.back(), key);
    made.push_back(Datagram(wire::DatagramKind::kHeader, batch.back(), 0, single));
  }
  const std::vector<Bytes> signed_batch = *wire::SignBatch(context, 1, serialised, key);
  for (size_t i = 0; i < batch.size(); ++i) {
    made.push_back(Datagram(wire::DatagramKind::kHeader, batch[i], 0, signed_batch[i]));
  }
  const wire::Header small = wire::SmallHeader(random.Below(1000));
  const Bytes signed_small = *wire::SignSingle(context, wire::SerialiseHeader(small), key);
  Bytes body(small.ciphertext_bytes);
  (void)random.Fill(body);
  made.push_back(
      Datagram(wire::DatagramKind::kWhole, small, 0, wire::SerialiseWhole(signed_small, body)));
  made.push_back(Datagram(wire::DatagramKind::kSource, small, 3, body));
  made.push_back(Datagram(wire::DatagramKind::kParity, small, 70000, body));
  made.push_back(Datagram(wire::DatagramKind::kHashes, small, 2, ByteView(body).first(96)));
  return made;
}

std::vector<Bytes> Messages(SeededRandom& random) {
  const HmacSha256Key key(AsBytes("any key"));
  relay::Hello hello;
  relay::CookieMessage cookie;
  relay::Subscribe one, eight;
  relay::Answer answer;
  (void)random.Fill(hello.nonce);
  (void)random.Fill(cookie.cookie);
  (void)random.Fill(one.subscriber);
  (void)random.Fill(eight.credential);
  one.serial = random.Below(1 << 30);
  one.lease_seconds = 30;
  one.tags = {random.Below(~uint64_t{0})};
  eight.tags = {1, 2, 3, 4, 5, 6, 7, 8};
  answer.status = relay::AnswerStatus::kAddressFull;
  answer.lease_seconds = 77;
  return {Serialise(hello),      Serialise(cookie),       Serialise(one, key),
          Serialise(eight, key), Serialise(answer, &key), Serialise(answer, nullptr)};
}

TEST_F(DissectorTest, ShowsWhatTheRealSenderSendsAsItIs) {
  harness::World world;
  std::vector<Packet> packets;
  std::set<uint64_t> kinds, forms;
  uint32_t highest_page = 0;
  const auto send = [&](const Words& terms, size_t bytes, uint64_t last, const char* fec) {
    const harness::SessionFiles session = world.MakeSession({"127.0.0.1:1"}, terms);
    const std::string input = world.NewPath("input");
    harness::WriteAll(input, harness::RandomBytes(bytes, 3));
    harness::Capture capture(session.group.Uri());
    world.SendAll(session, input, {"--pace", "60M", "--fec", fec});
    // Of the last ADU some may be missing; all before it are whole.
    ASSERT_TRUE(harness::Eventually([&] { return capture.HighestAdu() == last; }));
    EXPECT_EQ(capture.lost(), 0u);
    for (const Bytes& datagram : capture.datagrams()) {
      const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
      kinds.insert(static_cast<uint64_t>(parsed.prefix.kind));
      if (parsed.prefix.kind == wire::DatagramKind::kHashes) {
        highest_page = std::max(highest_page, parsed.prefix.index);
      }
      packets.push_back({datagram});
    }
  };
  send({"--adu", "700"}, 70000, 99, "0");     // each in one datagram
  send({"--adu", "20000"}, 100000, 4, "0");   // header and fragments
  send({"--adu", "20000"}, 100000, 4, "20");  // and parity
  send({"--adu", "400KiB"}, 900000, 2, "0");  // with pages of hashes
  for (const Packet& packet : packets) {
    const auto fields = Expected(packet.payload);
    ASSERT_TRUE(fields);
    if (const auto form = fields->find("nark.authentication.form"); form != fields->end()) {
      forms.insert(static_cast<uint64_t>(form->second[0] - '0'));
    }
  }
  EXPECT_EQ(kinds, (std::set<uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_GE(highest_page, 1u);
  EXPECT_EQ(forms, (std::set<uint64_t>{1, 2})) << "single and batch";
  RecordProperty("packets", static_cast<int>(packets.size()));
  ExpectSame(packets);
}

TEST_F(DissectorTest, ShowsHeadersOfEveryShapeAndMessagesOfRelays) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::vector<Packet> packets;
  for (Bytes& one : OfEveryShape(random, 60)) packets.push_back({std::move(one)});
  for (Bytes& one : Messages(random)) packets.push_back({std::move(one)});
  ExpectSame(packets);
}

TEST_F(DissectorTest, TruncatedDatagramsAreMarkedAndBreakNothing) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::vector<Packet> packets;
  for (const Bytes& one : OfEveryShape(random, 3)) {
    for (size_t size = 0; size < one.size(); ++size) {
      packets.push_back({ToBytes(ByteView(one).first(size)), kNarkPort});
    }
  }
  for (const Bytes& one : Messages(random)) {
    for (size_t size = 0; size < one.size(); ++size) {
      packets.push_back({ToBytes(ByteView(one).first(size)), kRelayPort});
    }
  }
  // What is empty is nobody's.
  std::erase_if(packets, [](const Packet& packet) { return packet.payload.empty(); });
  ExpectJudgedAlike(packets);
}

TEST_F(DissectorTest, FlippedBitsAreMarkedWhereTheyAreRefusedAndBreakNothing) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::vector<Packet> packets;
  for (const Bytes& one : OfEveryShape(random, 2)) {
    // All bits of what has a structure, some of the rest.
    for (size_t bit = 0; bit < one.size() * 8; bit += bit < 140 * 8 ? 1 : 1 + random.Below(40)) {
      Bytes flipped = one;
      flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      packets.push_back({std::move(flipped), kNarkPort});
    }
  }
  for (const Bytes& one : Messages(random)) {
    for (size_t bit = 0; bit < one.size() * 8; ++bit) {
      Bytes flipped = one;
      flipped[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      if (flipped[0] == 'N' && flipped[1] == 'K') continue;
      packets.push_back({std::move(flipped), kRelayPort});
    }
  }
  ExpectJudgedAlike(packets);
}

}  // namespace
}  // namespace nark
