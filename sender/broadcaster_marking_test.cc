// What a sender sends in a session with an audit trail, as receivers with marked blocks get it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/audit/family.h"
#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/cipher.h"
#include "common/wire/fragment.h"
#include "sender/broadcaster.h"
#include "sender/station.h"
#include "sender/testing.h"
#include "sender/wave_generator.h"

namespace nark::sender {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kWordsLog2 = 12;

SessionOptions Audited() {
  SecretBytes secret(audit::kAuditSecretBytes);
  secret.RevealMutable()[0] = 7;
  SessionOptions options;
  options.cipher = "chameleon";
  options.audit = AuditOptions{.family = std::make_shared<const audit::Family>(
                                   *audit::Family::Of(std::move(secret), kWordsLog2)),
                               .colluders = 3};
  return options;
}

// Time passes when somebody waits for it; input is always there.
class ManualWaiter final : public Waiter {
 public:
  Timestamp Now() override { return now_; }
  Wake Wait(std::optional<Timestamp> due, int descriptor) override {
    if (due.has_value()) now_ = std::max(now_, *due);
    return descriptor >= 0 ? Wake::kInput : Wake::kDue;
  }

 private:
  Timestamp now_ = kTestTime;
};

class MemoryInput final : public Input {
 public:
  explicit MemoryInput(Bytes bytes) : bytes_(std::move(bytes)) {}
  int descriptor() const override { return 0; }
  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    if (bytes_.empty()) return State::kEnded;
    consume(std::exchange(bytes_, {}));
    return State::kOpen;
  }

 private:
  Bytes bytes_;
};

class BroadcasterMarkingTest : public ::testing::Test {
 protected:
  BroadcasterMarkingTest() : session_(provider_.MakeSession(options_)) {
    auto sender = OpenSenderFile(session_.sender_files.at(1), kTestTime);
    EXPECT_TRUE(sender.ok()) << sender.status();
    sender_ = std::make_unique<OpenedSenderFile>(*std::move(sender));
    reservation_ = *Reservation::Open(storage_, "state", Broadcaster::OwnerOf(*sender_, 0));
    auto broadcaster = Broadcaster::Create(*sender_, {paced_, clock_, random_, *reservation_}, {});
    EXPECT_TRUE(broadcaster.ok()) << broadcaster.status();
    broadcaster_ = *std::move(broadcaster);
  }

  Bytes RandomBytes(size_t size) {
    Bytes bytes(size);
    EXPECT_TRUE(random_.Fill(bytes).ok());
    return bytes;
  }

  absl::Status Run(const Bytes& input) {
    v1::Terms terms = sender_->session.terms();
    terms.mutable_adu_timing()->set_duration_ms(500);
    Segmenter segmenter(*CutRule::FromTerms(terms));
    MemoryInput memory(input);
    Batching batching;
    Station station({memory, segmenter, *broadcaster_, paced_, waiter_}, {}, batching, {});
    return station.Run();
  }

  const audit::Family& family() const { return *options_.audit->family; }
  std::shared_ptr<const ChameleonBlock> BlockOf(uint8_t secure_space) const {
    Digest id{};
    id[0] = secure_space;
    return std::make_shared<const ChameleonBlock>(*family().MarkedBlockOf(id));
  }

  // An ADU's header and ciphertext, out of what was sent.
  std::pair<wire::ParsedHeader, Bytes> Sent(uint64_t adu_id) {
    Bytes header, ciphertext;
    std::map<uint32_t, Bytes> fragments;
    for (const Bytes& datagram : sink_.datagrams) {
      const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
      if (parsed.prefix.adu_id != adu_id) continue;
      if (parsed.prefix.kind == wire::DatagramKind::kHeader) header = ToBytes(parsed.payload);
      if (parsed.prefix.kind == wire::DatagramKind::kSource) {
        fragments[parsed.prefix.index] = ToBytes(parsed.payload);
      }
      if (parsed.prefix.kind == wire::DatagramKind::kWhole) {
        const auto whole = wire::ParseWhole(parsed.payload);
        header = ToBytes(whole->signed_header);
        ciphertext = ToBytes(whole->ciphertext);
      }
    }
    for (const auto& [index, bytes] : fragments) {
      ciphertext.insert(ciphertext.end(), bytes.begin(), bytes.end());
    }
    signed_header_ = header;
    const auto parsed = wire::ParseSignedHeader(signed_header_);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    ciphertext.resize(parsed->header.ciphertext_bytes);
    return {*parsed, ciphertext};
  }

  // What a receiver with this block plays of it.
  Bytes Played(uint64_t adu_id, std::shared_ptr<const ChameleonBlock> block) {
    const auto [parsed, ciphertext] = Sent(adu_id);
    const v1::Terms& terms = session_.session().terms();
    const schedule::Parameters parameters{terms.generator().id(), terms.generator().depth()};
    const auto generator = schedule::FindGenerator(parameters.id);
    const SecretBytes root = session_.SenderRoot();
    const auto keys =
        (*generator)->Open(parameters, *(*generator)->Cover(root, parameters, adu_id, adu_id));
    SecretBytes leaf;
    EXPECT_TRUE((*keys)->Leaf(adu_id, leaf).ok());
    const auto suite = wire::FindCipher(parsed.header.cipher);
    const auto key = schedule::DataKey(leaf, SessionContext(session_.name(), 0), parsed.core,
                                       parsed.header.control_block, (*suite)->key_bytes());
    Bytes plaintext(parsed.header.plaintext_bytes);
    const auto cipher = (*suite)->Create(std::move(block));
    const absl::Status status =
        (*cipher)->Open(*key, parsed.header.clear_map, ciphertext, plaintext);
    EXPECT_TRUE(status.ok()) << status;
    return plaintext;
  }

  SessionOptions options_ = Audited();
  TestProvider provider_;
  TestSession session_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{42};
  MemorySink sink_;
  MemoryStorage storage_;
  ManualWaiter waiter_;
  PacedSink paced_{sink_, waiter_};
  std::unique_ptr<OpenedSenderFile> sender_;
  std::unique_ptr<Reservation> reservation_;
  std::unique_ptr<Broadcaster> broadcaster_;
  Bytes signed_header_;
};

// How many bits of samples differ; everything else must not.
size_t Differences(ByteView a, ByteView b, const Samples& samples) {
  EXPECT_EQ(a.size(), b.size());
  size_t differences = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] == b[i]) continue;
    const bool low = i >= samples.offset && i < samples.offset + samples.bytes &&
                     (i - samples.offset) % 2 == 0 && (a[i] ^ b[i]) == 1;
    EXPECT_TRUE(low) << "byte " << i;
    ++differences;
  }
  return differences;
}

TEST_F(BroadcasterMarkingTest, ReceiversGetTheirOwnLeastSignificantBitsAndAllElseExactly) {
  uint64_t id = 0;
  for (const size_t size : {size_t{300}, size_t{5001}, size_t{200'000}}) {
    SCOPED_TRACE(size);
    const Bytes plaintext = RandomBytes(size);
    const Samples samples{.offset = 45, .bytes = static_cast<uint32_t>(size - 49) / 2 * 2};
    const auto sent = broadcaster_->Send({.plaintext = plaintext, .clear = {}, .samples = samples});
    ASSERT_TRUE(sent.ok()) << sent.status();
    const Bytes first = Played(id, BlockOf(1)), second = Played(id, BlockOf(2));
    // Half of them are what they were; and two receivers differ in some.
    const double half = samples.bytes / 4.0;
    EXPECT_NEAR(static_cast<double>(Differences(plaintext, first, samples)), half, half / 3);
    EXPECT_NEAR(static_cast<double>(Differences(plaintext, second, samples)), half, half / 3);
    EXPECT_GT(Differences(first, second, samples), 0u);
    ++id;
  }
}

TEST_F(BroadcasterMarkingTest, NotEvenTheBlockWithoutMarksYieldsTheOriginal) {
  const Bytes plaintext = RandomBytes(20'000);
  const Samples samples{.offset = 0, .bytes = 20'000};
  ASSERT_TRUE(broadcaster_->Send({.plaintext = plaintext, .clear = {}, .samples = samples}).ok());
  const auto base = std::make_shared<const ChameleonBlock>(
      *ChameleonBlock::Of(*audit::BaseBlockBytes(*family().BaseBlockKey(), kWordsLog2)));
  EXPECT_NEAR(static_cast<double>(Differences(plaintext, Played(0, base), samples)), 5000, 300);
}

TEST_F(BroadcasterMarkingTest, EveryAduIsMarkedByItsOwnId) {
  const Bytes silence(8192, 0);
  const Samples samples{.offset = 0, .bytes = 8192};
  const std::vector<OutgoingAdu> burst(3, {.plaintext = silence, .clear = {}, .samples = samples});
  ASSERT_TRUE(broadcaster_->SendBurst(burst).ok());
  for (const auto& [a, b] : {std::pair(0, 1), std::pair(1, 2), std::pair(0, 2)}) {
    const Bytes one = Played(static_cast<uint64_t>(a), BlockOf(1));
    const Bytes other = Played(static_cast<uint64_t>(b), BlockOf(1));
    EXPECT_GT(Differences(one, other, samples), 1500u);
  }
}

TEST_F(BroadcasterMarkingTest, AduWithoutSamplesArriveAsTheyAre) {
  const Bytes header = RandomBytes(5000);
  ASSERT_TRUE(broadcaster_->Send({.plaintext = header, .clear = {}, .samples = Samples{}}).ok());
  EXPECT_TRUE(Played(0, BlockOf(1)) == header);
}

TEST_F(BroadcasterMarkingTest, WhatMayGoOutUnmarkedIsRefusedAndSpendsNoId) {
  const Bytes plaintext = RandomBytes(100);
  const auto refused = [&](std::optional<Samples> samples, wire::ClearMap clear = {}) {
    const absl::Status status =
        broadcaster_->Send({.plaintext = plaintext, .clear = std::move(clear), .samples = samples})
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(Std(status.message()));
  };
  EXPECT_THAT(refused(std::nullopt), HasSubstr("does not say which of its bytes are samples"));
  for (const Samples& samples :
       {Samples{0, 102}, Samples{2, 100}, Samples{101, 0}, Samples{0xffffffff, 2}, Samples{0, 3}}) {
    EXPECT_THAT(refused(samples), HasSubstr("an ADU of 100 bytes has no samples in "));
  }
  EXPECT_THAT(refused(Samples{}, wire::ClearRanges{{5, 6}}), HasSubstr("leaves no byte"));
  // One of them takes the burst along.
  const std::vector<OutgoingAdu> burst = {
      {.plaintext = plaintext, .clear = {}, .samples = Samples{0, 100}},
      {.plaintext = plaintext, .clear = {}}};
  EXPECT_EQ(broadcaster_->SendBurst(burst).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reservation_->next_id(), 0u);
  EXPECT_TRUE(sink_.datagrams.empty());
}

TEST_F(BroadcasterMarkingTest, ASenderFileWithoutItsAuditKeySendsNothing) {
  sender_->audit_keys.clear();
  const absl::Status status =
      Broadcaster::Create(*sender_, {paced_, clock_, random_, *reservation_}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Std(status.message())), HasSubstr("audit key"));
}

TEST_F(BroadcasterMarkingTest, ARecordingIsTheInputButForTheMarksOfItsReceiver) {
  const WaveGenerator wave{.data_size = 40'000, .list = Bytes(99, 1)};
  Bytes input = wave.File(40'000);
  WaveGenerator::Chunk(input, "LIST", Bytes(100, 2));
  ASSERT_TRUE(Run(input).ok());
  EXPECT_EQ(broadcaster_->counters().adus, 4u);
  Bytes recording;
  for (uint64_t id = 0; id < 4; ++id) {
    const Bytes played = Played(id, BlockOf(1));
    recording.insert(recording.end(), played.begin(), played.end());
  }
  const Samples samples{.offset = static_cast<uint32_t>(wave.Header().size()), .bytes = 40'000};
  EXPECT_GT(Differences(input, recording, samples), 8000u);
}

TEST_F(BroadcasterMarkingTest, InputThatCannotBeMarkedEndsTheStationWithNothingSent) {
  const absl::Status status = Run(WaveGenerator{.bits = 24}.File(100'000));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Std(status.message())), HasSubstr("24-bit PCM"));
  EXPECT_TRUE(sink_.datagrams.empty());
  EXPECT_EQ(reservation_->next_id(), 0u);
}

}  // namespace
}  // namespace nark::sender
