#include "sender/broadcaster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/testing.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/fragment.h"
#include "sender/testing.h"

namespace nark::sender {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One ADU as a receiver that knows the seed gets it.
struct Received {
  wire::Header header;
  Bytes plaintext;
};

// A sender with everything around it, and a receiver of what it sent.
class BroadcasterTest : public ::testing::Test {
 protected:
  void Make(SessionOptions options = {}, BroadcasterOptions broadcaster_options = {}) {
    session_ = std::make_unique<TestSession>(provider_.MakeSession(std::move(options)));
    absl::StatusOr<OpenedSenderFile> sender =
        OpenSenderFile(session_->sender_files.at(1), kTestTime);
    ASSERT_TRUE(sender.ok()) << sender.status();
    sender_ = std::make_unique<OpenedSenderFile>(*std::move(sender));
    options_ = broadcaster_options;
    context_ = SessionContext(session_->name(), options_.sub_session);
    verifier_ = std::make_unique<wire::HeaderVerifier>(context_);
    auto reservation =
        Reservation::Open(storage_, "state", Broadcaster::OwnerOf(*sender_, options_.sub_session));
    ASSERT_TRUE(reservation.ok());
    reservation_ = *std::move(reservation);
    auto broadcaster = Broadcaster::Create(
        *sender_, {sink_, clock_, random_, *reservation_, control_source_}, options_);
    ASSERT_TRUE(broadcaster.ok()) << broadcaster.status();
    broadcaster_ = *std::move(broadcaster);
  }

  // What every sender says whose provider has ordered something.
  class OneOrder final : public ControlSource {
   public:
    std::vector<wire::ControlEntry> Next(size_t) override {
      ++asked;
      return {{wire::kControlStop, asked, Bytes(32, 7)}};
    }
    uint64_t asked = 0;
  };

  Bytes RandomBytes(size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(random_.Fill(bytes).ok());
    return bytes;
  }

  wire::ParsedHeader Verified(ByteView signed_header) {
    absl::StatusOr<wire::ParsedHeader> parsed = wire::ParseSignedHeader(signed_header);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    if (!parsed.ok()) return {};
    absl::Status status = verifier_->Verify(*parsed, sender_->session.FindSender(1)->key);
    EXPECT_TRUE(status.ok()) << status;
    return *parsed;
  }

  // Derives the keys as a secure space does and opens control block and body.
  Bytes Opened(const wire::ParsedHeader& parsed, ByteView ciphertext) {
    const v1::Terms& terms = session_->session().terms();
    schedule::Parameters parameters{terms.generator().id(), terms.generator().depth()};
    auto generator = schedule::FindGenerator(parameters.id);
    SecretBytes root = session_->SenderRoot(1, options_.sub_session);
    uint64_t id = parsed.header.adu_id;
    auto keys = (*generator)->Open(parameters, *(*generator)->Cover(root, parameters, id, id));
    SecretBytes leaf;
    EXPECT_TRUE((*keys)->Leaf(id, leaf).ok());
    auto control_cipher = wire::ControlCipher::Create();
    auto control =
        (*control_cipher)
            ->Open(*schedule::ControlKey(leaf, context_, parsed.core), parsed.header.control_block);
    EXPECT_TRUE(control.ok()) << control.status();
    EXPECT_EQ(control->size(), terms.control_block_bytes());
    control_ = *wire::ParseControlBlock(*control);
    EXPECT_EQ(control_.empty(), control_source_ == nullptr);
    auto suite = wire::FindCipher(parsed.header.cipher);
    auto key = schedule::DataKey(leaf, context_, parsed.core, parsed.header.control_block,
                                 (*suite)->key_bytes());
    Bytes plaintext(parsed.header.plaintext_bytes);
    auto cipher = (*suite)->Create();
    absl::Status status = (*cipher)->Open(*key, parsed.header.clear_map, ciphertext, plaintext);
    EXPECT_TRUE(status.ok()) << status;
    return plaintext;
  }

  // Puts one ADU together out of the datagrams that carry its id.
  Received Receive(uint64_t adu_id) {
    std::vector<wire::ParsedDatagram> own;
    for (const Bytes& datagram : sink_.datagrams) {
      EXPECT_LE(datagram.size(), options_.datagram_bytes);
      wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
      EXPECT_EQ(parsed.drop, wire::Drop::kNone);
      EXPECT_EQ(parsed.prefix.session_tag, SessionTag(context_));
      EXPECT_EQ(parsed.prefix.sender_id, 1u);
      if (parsed.prefix.adu_id == adu_id) own.push_back(parsed);
    }
    EXPECT_FALSE(own.empty());
    if (own.empty()) return {};
    if (own[0].prefix.kind == wire::DatagramKind::kWhole) return ReceiveWhole(own);
    return ReceiveFragments(own);
  }

  Received ReceiveWhole(const std::vector<wire::ParsedDatagram>& own) {
    EXPECT_EQ(own.size(), 1u);
    auto whole = wire::ParseWhole(own[0].payload);
    EXPECT_TRUE(whole.ok()) << whole.status();
    wire::ParsedHeader parsed = Verified(whole->signed_header);
    wire::HashTreeReceiver tree(parsed.header);
    EXPECT_EQ(tree.CheckFragment(0, whole->ciphertext), wire::PieceCheck::kGood);
    return {parsed.header, Opened(parsed, whole->ciphertext)};
  }

  Received ReceiveFragments(const std::vector<wire::ParsedDatagram>& own) {
    EXPECT_EQ(own.front().prefix.kind, wire::DatagramKind::kHeader);
    wire::ParsedHeader parsed = Verified(own.front().payload);
    wire::HashTreeReceiver tree(parsed.header);
    Bytes ciphertext(parsed.header.ciphertext_bytes);
    std::set<uint32_t> fragments;
    size_t headers = 0;
    for (const wire::ParsedDatagram& one : own) {
      switch (one.prefix.kind) {
        case wire::DatagramKind::kHeader:
          ++headers;
          EXPECT_TRUE(Equal(one.payload, own.front().payload));
          break;
        case wire::DatagramKind::kHashes:
          pages_ += 1;
          EXPECT_NE(tree.AcceptPage(one.prefix.index, one.payload), wire::PieceCheck::kForged);
          break;
        case wire::DatagramKind::kSource:
          EXPECT_TRUE(fragments.insert(one.prefix.index).second);
          std::copy(one.payload.begin(), one.payload.end(),
                    ciphertext.begin() + static_cast<ptrdiff_t>(size_t{one.prefix.index} *
                                                                parsed.header.fragment_bytes));
          break;
        default:
          ADD_FAILURE() << "unexpected kind";
      }
    }
    // Pages of upper levels stand behind those they judge: a second look finds them good.
    for (const wire::ParsedDatagram& one : own) {
      if (one.prefix.kind != wire::DatagramKind::kHashes) continue;
      tree.AcceptPage(one.prefix.index, one.payload);
    }
    for (const wire::ParsedDatagram& one : own) {
      if (one.prefix.kind != wire::DatagramKind::kSource) continue;
      EXPECT_EQ(tree.CheckFragment(one.prefix.index, one.payload), wire::PieceCheck::kGood);
    }
    EXPECT_EQ(headers, 2u);
    EXPECT_EQ(own.back().prefix.kind == wire::DatagramKind::kHeader ||
                  own.back().prefix.kind == wire::DatagramKind::kHashes,
              true);
    EXPECT_EQ(fragments.size(), parsed.header.source_fragments);
    return {parsed.header, Opened(parsed, ciphertext)};
  }

  TestProvider provider_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{42};
  MemorySink sink_;
  MemoryStorage storage_;
  std::unique_ptr<TestSession> session_;
  std::unique_ptr<OpenedSenderFile> sender_;
  BroadcasterOptions options_;
  Digest context_{};
  std::unique_ptr<wire::HeaderVerifier> verifier_;
  std::unique_ptr<Reservation> reservation_;
  ControlSource* control_source_ = nullptr;
  std::vector<wire::ControlEntry> control_;  // of the last ADU received
  std::unique_ptr<Broadcaster> broadcaster_;
  size_t pages_ = 0;
};

TEST_F(BroadcasterTest, EverySizeCanBeReceivedWithTheSessionsKeys) {
  Make();
  uint64_t id = 0;
  for (size_t size :
       {1, 100, 1000, 1120, 1121, 1408, 1409, 5000, 70'000, 80'000, 200'000, 1'000'000}) {
    SCOPED_TRACE(size);
    Bytes plaintext = RandomBytes(size);
    sink_.datagrams.clear();
    absl::StatusOr<uint64_t> sent = broadcaster_->Send({.plaintext = plaintext, .clear = {}});
    ASSERT_TRUE(sent.ok()) << sent.status();
    EXPECT_EQ(*sent, id);
    EXPECT_TRUE(Receive(id++).plaintext == plaintext);
  }
  EXPECT_GT(pages_, 0u);
}

TEST_F(BroadcasterTest, TheLargestAduHasPagesOfPages) {
  Make();
  Bytes plaintext = RandomBytes(wire::kMaxAduBytes);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_TRUE(Receive(0).plaintext == plaintext);
  EXPECT_GT(pages_, 2u * 48);
}

TEST_F(BroadcasterTest, ASmallAduTravelsAsOneDatagram) {
  Make();
  Bytes plaintext = RandomBytes(1000);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_EQ(sink_.datagrams.size(), 1u);
}

TEST_F(BroadcasterTest, HeadersSayWhatWasSent) {
  Make();
  Bytes plaintext = RandomBytes(5000);
  ASSERT_TRUE(
      broadcaster_->Send({.plaintext = plaintext, .random_access = true, .clear = {}}).ok());
  wire::Header header = Receive(0).header;
  EXPECT_TRUE(header.random_access);
  EXPECT_EQ(header.plaintext_bytes, 5000u);
  EXPECT_EQ(header.signed_time_us, ToMicros(kTestTime));
  EXPECT_EQ(header.deadline_us, ToMicros(kTestTime) + 10'000'000);
  EXPECT_EQ(header.parity_fragments, 0);
  EXPECT_EQ(header.fragment_bytes, 1424);
}

TEST_F(BroadcasterTest, SessionsWithoutTimelinessHaveNoDeadline) {
  SessionOptions options;
  options.timeliness = v1::TIMELINESS_NONE;
  Make(options);
  Bytes plaintext = RandomBytes(10);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_EQ(Receive(0).header.deadline_us, 0u);
}

// Whether anybody is being expelled shows in nothing but the decrypted control block.
TEST_F(BroadcasterTest, OrdersChangeNoSizeAndNoCount) {
  Make();
  const Bytes small(100, 1), large(50'000, 2);
  const std::vector<OutgoingAdu> adus = {{small}, {large}, {small}, {large}};
  const auto shape = [&] {
    sink_.datagrams.clear();
    EXPECT_TRUE(broadcaster_->SendBurst(adus).ok());
    EXPECT_TRUE(broadcaster_->Send({large}).ok());
    std::vector<std::pair<wire::DatagramKind, size_t>> datagrams;
    for (const Bytes& one : sink_.datagrams) {
      datagrams.emplace_back(wire::ParseDatagram(one).prefix.kind, one.size());
    }
    return datagrams;
  };
  const auto quiet = shape();
  OneOrder orders;
  control_source_ = &orders;
  broadcaster_ = *Broadcaster::Create(
      *sender_, {sink_, clock_, random_, *reservation_, control_source_}, options_);
  EXPECT_EQ(shape(), quiet);
  EXPECT_EQ(orders.asked, 5u);
  Receive(2 * 5 - 1);
  ASSERT_EQ(control_.size(), 1u);
  EXPECT_EQ(control_[0].number, 5u);
}

TEST_F(BroadcasterTest, ABurstHasOneSignature) {
  Make();
  std::vector<Bytes> plaintexts;
  std::vector<OutgoingAdu> adus;
  for (size_t i = 0; i < 100; ++i) plaintexts.push_back(RandomBytes(1 + i * 50));
  for (const Bytes& one : plaintexts) adus.push_back({.plaintext = one, .clear = {}});
  absl::StatusOr<uint64_t> first = broadcaster_->SendBurst(adus);
  ASSERT_TRUE(first.ok()) << first.status();
  for (size_t i = 0; i < adus.size(); ++i) {
    EXPECT_TRUE(Receive(*first + i).plaintext == plaintexts[i]) << i;
  }
  EXPECT_EQ(broadcaster_->counters().signatures, 1u);
  EXPECT_EQ(verifier_->signatures_checked(), 1u);
  EXPECT_EQ(broadcaster_->counters().adus, 100u);
  EXPECT_EQ(broadcaster_->counters().datagrams, sink_.datagrams.size());
}

TEST_F(BroadcasterTest, BurstsLargerThanABatchAreSignedInParts) {
  Make();
  Bytes plaintext = RandomBytes(1);
  std::vector<OutgoingAdu> adus(wire::kMaxBatch + 1, {.plaintext = plaintext, .clear = {}});
  ASSERT_TRUE(broadcaster_->SendBurst(adus).ok());
  EXPECT_EQ(broadcaster_->counters().signatures, 2u);
  EXPECT_EQ(Receive(wire::kMaxBatch).plaintext, plaintext);
}

TEST_F(BroadcasterTest, ClearRangesStayReadable) {
  Make();
  Bytes plaintext = RandomBytes(3000);
  const wire::ClearMap clear = wire::ClearRanges{{0, 4}, {2000, 100}};
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = clear}).ok());
  Received received = Receive(0);
  EXPECT_EQ(received.header.clear_map, clear);
  EXPECT_TRUE(received.plaintext == plaintext);
  bool found = false;
  for (const Bytes& datagram : sink_.datagrams) {
    wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    if (parsed.prefix.kind != wire::DatagramKind::kSource || parsed.prefix.index != 0) continue;
    found = Equal(parsed.payload.first(4), ByteView(plaintext).first(4)) &&
            !Equal(parsed.payload.subspan(4, 100), ByteView(plaintext).subspan(4, 100));
  }
  EXPECT_TRUE(found);
}

TEST_F(BroadcasterTest, PacketsOfOtherPidsStayReadable) {
  Make();
  Bytes plaintext = RandomBytes(188 * 20);
  for (size_t at = 0; at < plaintext.size(); at += 188) {
    plaintext[at] = 0x47;
    StoreBig16(&plaintext[at + 1], at % 376 == 0 ? 0x101 : 0x102);
    plaintext[at + 3] = 0x10;
  }
  const wire::PacketRule clear{0, {0x101}, 10 * 184};
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = clear}).ok());
  Received received = Receive(0);
  EXPECT_EQ(received.header.clear_map, wire::ClearMap(clear));
  EXPECT_TRUE(received.plaintext == plaintext);
  EXPECT_EQ(broadcaster_->Send({.plaintext = plaintext, .clear = wire::PacketRule{0, {0x101}, 9}})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument)
      << "counts wrongly";
}

TEST_F(BroadcasterTest, EveryCipherAndGeneratorWorks) {
  for (std::string_view cipher : wire::CipherIds()) {
    if ((*wire::FindCipher(cipher))->properties().marks) continue;
    for (std::string_view generator : schedule::GeneratorIds()) {
      SCOPED_TRACE(absl::StrCat(Absl(cipher), " ", Absl(generator)));
      SessionOptions options;
      options.cipher = cipher;
      options.generator = generator;
      options.depth = schedule::DefaultDepth(**schedule::FindGenerator(generator));
      storage_.files.clear();
      sink_.datagrams.clear();
      Make(options);
      Bytes plaintext = RandomBytes(3000);
      ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
      EXPECT_TRUE(Receive(0).plaintext == plaintext);
    }
  }
}

TEST_F(BroadcasterTest, SubSessionsHaveKeysAndTagsOfTheirOwn) {
  SessionOptions options;
  v1::SubSession audio;
  audio.set_id(3);
  options.sub_sessions = {audio};
  Make(options, {.sub_session = 3});
  Bytes plaintext = RandomBytes(3000);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_TRUE(Receive(0).plaintext == plaintext);
}

TEST_F(BroadcasterTest, ASubSessionThatTheFileHasNotIsRefused) {
  Make();
  absl::Status status =
      Broadcaster::Create(*sender_, {sink_, clock_, random_, *reservation_}, {.sub_session = 9})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(BroadcasterTest, DatagramsHaveTheSizeAskedFor) {
  for (size_t size : {540, 600, 1452, 8952, 65'000}) {
    SCOPED_TRACE(size);
    storage_.files.clear();
    sink_.datagrams.clear();
    Make({}, {.datagram_bytes = size});
    Bytes plaintext = RandomBytes(300'000);
    ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
    EXPECT_TRUE(Receive(0).plaintext == plaintext);
  }
  EXPECT_EQ(Broadcaster::Create(*sender_, {sink_, clock_, random_, *reservation_},
                                {.datagram_bytes = 539})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(BroadcasterTest, EqualAdusNeverLookEqual) {
  Make();
  Bytes plaintext(5000, 7);
  std::vector<OutgoingAdu> adus(20, {.plaintext = plaintext, .clear = {}});
  ASSERT_TRUE(broadcaster_->SendBurst(adus).ok());
  std::set<Bytes> payloads;
  std::set<std::array<uint8_t, 16>> fresh;
  size_t sources = 0;
  for (const Bytes& datagram : sink_.datagrams) {
    wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    if (parsed.prefix.kind != wire::DatagramKind::kSource) continue;
    ++sources;
    payloads.insert(ToBytes(parsed.payload));
  }
  for (uint64_t id = 0; id < 20; ++id) fresh.insert(Receive(id).header.fresh);
  EXPECT_EQ(payloads.size(), sources);
  EXPECT_EQ(fresh.size(), 20u);
}

TEST_F(BroadcasterTest, ARestoredStateRepeatsAnIdButNoKey) {
  Make();
  Bytes plaintext(5000, 7);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  Received first = Receive(0);
  Bytes first_fragment = sink_.datagrams[1];
  storage_.files.clear();  // somebody put an old backup back
  sink_.datagrams.clear();
  auto reservation = Reservation::Open(storage_, "state", Broadcaster::OwnerOf(*sender_, 0));
  auto again = Broadcaster::Create(*sender_, {sink_, clock_, random_, **reservation}, {});
  ASSERT_TRUE((*again)->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_EQ(Receive(0).header.adu_id, first.header.adu_id);
  EXPECT_NE(sink_.datagrams[1], first_fragment);
}

TEST_F(BroadcasterTest, NothingIsSentBeforeTheIdIsDurable) {
  Make();
  storage_.status = absl::ResourceExhaustedError("disk full");
  Bytes plaintext = RandomBytes(10);
  EXPECT_EQ(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(sink_.datagrams.empty());
}

TEST_F(BroadcasterTest, AfterAFailedSendTheIdIsSpent) {
  Make();
  sink_.status = absl::UnavailableError("cable cut");
  Bytes plaintext = RandomBytes(10);
  EXPECT_EQ(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(broadcaster_->counters().adus, 0u);
  sink_.status = absl::OkStatus();
  EXPECT_EQ(*broadcaster_->Send({.plaintext = plaintext, .clear = {}}), 1u);
}

TEST_F(BroadcasterTest, SizesAndMapsThatAreWrongSpendNoId) {
  Make();
  Bytes plaintext = RandomBytes(10);
  Bytes huge(wire::kMaxAduBytes + 1);
  for (const OutgoingAdu& adu :
       {OutgoingAdu{.plaintext = {}, .clear = {}}, OutgoingAdu{.plaintext = huge, .clear = {}},
        OutgoingAdu{.plaintext = plaintext, .clear = wire::ClearRanges{{5, 6}}},
        OutgoingAdu{.plaintext = plaintext, .clear = wire::ClearRanges{{5, 1}, {4, 1}}},
        OutgoingAdu{.plaintext = plaintext, .clear = wire::ClearRanges{{0, 10}}},
        OutgoingAdu{.plaintext = plaintext, .clear = wire::PacketRule{0, {256}, 9}}}) {
    EXPECT_EQ(broadcaster_->Send(adu).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(reservation_->next_id(), 0u);
  EXPECT_TRUE(sink_.datagrams.empty());
}

TEST_F(BroadcasterTest, IdsBeyondTheTreeAreRefused) {
  SessionOptions options;
  options.depth = 3;
  Make(options);
  Bytes plaintext = RandomBytes(10);
  std::vector<OutgoingAdu> nine(9, {.plaintext = plaintext, .clear = {}});
  EXPECT_EQ(broadcaster_->SendBurst(nine).status().code(), absl::StatusCode::kOutOfRange);
  ASSERT_TRUE(broadcaster_->SendBurst(std::span(nine).first(8)).ok());
  absl::Status status = broadcaster_->Send(nine[0]).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("used up"));
}

TEST_F(BroadcasterTest, ClockStepsBackLeaveSignedTimeWhereItWas) {
  Make();
  Bytes plaintext = RandomBytes(10);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  clock_.Advance(std::chrono::seconds(-30));
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  clock_.Advance(std::chrono::seconds(31));
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}}).ok());
  EXPECT_EQ(Receive(1).header.signed_time_us, ToMicros(kTestTime));
  EXPECT_EQ(Receive(2).header.signed_time_us, ToMicros(kTestTime) + 1'000'000);
}

}  // namespace
}  // namespace nark::sender
