#include "sender/clear_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/base/status.h"
#include "common/crypto/random.h"
#include "sender/stream_generator.h"
#include "sender/transport_stream.h"

namespace nark::sender {
namespace {

using testing::HasSubstr;
using wire::ClearMap;
using wire::ClearRanges;
using wire::PacketRule;

constexpr uint16_t kVideo = StreamGenerator::kVideoPid;
using RandomAccess = StreamGenerator::RandomAccess;

// A PAT and the PMTs of two programmes, the second with video of the PIDs given.
void TwoProgrammes(StreamGenerator& stream, const std::vector<uint16_t>& second_video) {
  stream.Tables();
  Bytes pmt = {2, 0, 0, 0, 8, 0xc1, 0, 0, 0xe2, 0x01, 0xf0, 0};
  for (uint16_t pid : second_video) {
    pmt.insert(pmt.end(),
               {0x1b, static_cast<uint8_t>(0xe0 | pid >> 8), static_cast<uint8_t>(pid), 0xf0, 0});
  }
  StoreBig16(&pmt[1], static_cast<uint16_t>(0xb000 | (pmt.size() - 3 + 4)));
  const uint32_t crc = SectionCrc(pmt);
  pmt.resize(pmt.size() + 4);
  StoreBig32(&pmt[pmt.size() - 4], crc);
  stream.Section(0x1ff, std::move(pmt));
}

// What stays clear of an ADU, checked as a header's map.
ClearRanges ClearOf(const ClearMap& map, ByteView adu) {
  const auto ranges = wire::ResolveClearMap(map, adu);
  EXPECT_TRUE(ranges.ok()) << ranges.status();
  return ranges.value_or(ClearRanges());
}

TEST(MakeClearPolicyTest, ReadsTheFlags) {
  const auto code = [](std::string_view encrypt, std::string_view first) {
    return MakeClearPolicy(encrypt, first).status().code();
  };
  EXPECT_EQ(code("all", ""), absl::StatusCode::kOk);
  EXPECT_EQ(code("video", ""), absl::StatusCode::kOk);
  EXPECT_EQ(code("all", "64KiB"), absl::StatusCode::kOk);
  EXPECT_EQ(code("video", "64KiB"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("audio", ""), absl::StatusCode::kInvalidArgument);
  for (const char* first : {"0", "-1", "many", "5GiB"}) {
    const absl::Status status = MakeClearPolicy("all", first).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << first;
    EXPECT_THAT(Std(status.message()), HasSubstr("--encrypt-first"));
  }
}

TEST(EncryptFirstTest, LeavesTheRestClear) {
  auto policy = *MakeClearPolicy("all", "100");
  EXPECT_EQ(policy->Next(Bytes(1000)), ClearMap(ClearRanges{{100, 900}}));
  EXPECT_EQ(policy->Next(Bytes(101)), ClearMap(ClearRanges{{100, 1}}));
  EXPECT_EQ(policy->Next(Bytes(100)), ClearMap());
  EXPECT_EQ(policy->Next(Bytes(1)), ClearMap());
  EXPECT_EQ(policy->TakeWarning(), "");
}

class EncryptVideoTest : public testing::Test {
 protected:
  // A stream of one programme whose second one has no video.
  void SetUp() override { TwoProgrammes(stream_, {}); }
  void Packets(int count) {
    for (int i = 0; i < count; ++i) {
      stream_.Packet(kVideo, RandomAccess::kNo);
      stream_.Packet(StreamGenerator::kAudioPid, RandomAccess::kNo);
    }
  }
  StreamGenerator stream_;
  std::unique_ptr<ClearPolicy> policy_ = EncryptVideo();
};

TEST_F(EncryptVideoTest, EncryptsWhatVideoPacketsCarryAndNothingElse) {
  Packets(20);
  const Bytes& adu = stream_.bytes();
  const ClearMap map = policy_->Next(adu);
  const auto* rule = std::get_if<PacketRule>(&map);
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->phase, 0);
  EXPECT_EQ(rule->pids, std::vector<uint16_t>{kVideo});
  std::vector<bool> clear(adu.size());
  for (const wire::ClearRange& range : ClearOf(map, adu)) {
    std::fill_n(clear.begin() + range.offset, range.length, true);
  }
  for (size_t at = 0; at < adu.size(); at += kPacketBytes) {
    const bool video = (LoadBig16(&adu[at + 1]) & 0x1fff) == kVideo;
    EXPECT_TRUE(clear[at] && clear[at + 3]);
    EXPECT_EQ(clear[at + kPacketBytes - 1], !video) << at;
  }
  EXPECT_EQ(policy_->TakeWarning(), "");
}

TEST_F(EncryptVideoTest, KnowsTheVideoOfEveryProgramme) {
  StreamGenerator stream;
  TwoProgrammes(stream, {0x202, 0x203});
  for (uint16_t pid : {0x202, 0x203, 0x204, 0x101, 0x102}) stream.Packet(pid, RandomAccess::kNo);
  const ClearMap map = policy_->Next(stream.bytes());
  const auto* rule = std::get_if<PacketRule>(&map);
  ASSERT_NE(rule, nullptr);
  EXPECT_EQ(rule->pids, (std::vector<uint16_t>{kVideo, 0x202, 0x203}));
}

TEST_F(EncryptVideoTest, EncryptsAllUntilEveryProgrammesTablesAreKnown) {
  StreamGenerator stream;
  stream.Tables();  // the second programme's map is missing
  for (int i = 0; i < 10; ++i) stream.Packet(kVideo, RandomAccess::kNo);
  EXPECT_EQ(policy_->Next(stream.bytes()), ClearMap());
  EXPECT_THAT(policy_->TakeWarning(), HasSubstr("tables"));
  EXPECT_EQ(policy_->TakeWarning(), "") << "once";
  EXPECT_EQ(policy_->Next(stream.bytes()), ClearMap());
  EXPECT_EQ(policy_->TakeWarning(), "") << "once";
  Packets(10);
  EXPECT_NE(policy_->Next(stream_.bytes()), ClearMap());
}

TEST_F(EncryptVideoTest, EncryptsAllWithoutVideoOrWithTooMuch) {
  StreamGenerator stream;
  TwoProgrammes(stream, {0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208});
  for (int i = 0; i < 10; ++i) stream.Packet(kVideo, RandomAccess::kNo);
  EXPECT_EQ(policy_->Next(stream.bytes()), ClearMap());
  EXPECT_THAT(policy_->TakeWarning(), HasSubstr("more than 8"));
  policy_ = EncryptVideo();
  SeededRandom random(3);
  Bytes noise(5000);
  ASSERT_TRUE(random.Fill(noise).ok());
  EXPECT_EQ(policy_->Next(noise), ClearMap());
  EXPECT_THAT(policy_->TakeWarning(), HasSubstr("packets"));
}

// What ffmpeg sends ahead of the first picture is an ADU of its own where GOPs are cut.
TEST_F(EncryptVideoTest, TablesAheadOfTheFirstPictureAreNothingToWarnOf) {
  ASSERT_LT(stream_.bytes().size(), 5 * kPacketBytes);
  EXPECT_EQ(policy_->Next(stream_.bytes()), ClearMap());
  EXPECT_EQ(policy_->TakeWarning(), "");
  // Further ones are.
  EXPECT_EQ(policy_->Next(Bytes(100)), ClearMap());
  EXPECT_THAT(policy_->TakeWarning(), HasSubstr("packets"));
}

TEST_F(EncryptVideoTest, AnAduWithNothingToEncryptIsEncrypted) {
  Packets(1);
  ASSERT_NE(policy_->Next(stream_.bytes()), ClearMap());
  StreamGenerator audio;
  for (int i = 0; i < 10; ++i) audio.Packet(StreamGenerator::kAudioPid, RandomAccess::kNo);
  EXPECT_EQ(policy_->Next(audio.bytes()), ClearMap());
  EXPECT_EQ(policy_->TakeWarning(), "");
}

TEST_F(EncryptVideoTest, FollowsPacketsOverPiecesOfAnySize) {
  Packets(100);
  const Bytes& all = stream_.bytes();
  for (size_t size : {189, 600, 1000, 1316, 5000}) {
    SCOPED_TRACE(size);
    policy_ = EncryptVideo();
    ASSERT_NE(policy_->Next(all), ClearMap()) << "so that tables are known";
    // The stream goes on behind a whole number of packets.
    for (size_t at = 0; at + size <= all.size(); at += size) {
      const ByteView piece = ByteView(all).subspan(at, size);
      const ClearMap map = policy_->Next(piece);
      const auto* rule = std::get_if<PacketRule>(&map);
      const size_t phase = (kPacketBytes - at % kPacketBytes) % kPacketBytes;
      if (rule == nullptr) {
        // Only where no whole packet of it is video.
        for (size_t packet = phase; packet + kPacketBytes <= size; packet += kPacketBytes) {
          EXPECT_NE(LoadBig16(&piece[packet + 1]) & 0x1fff, kVideo) << at;
        }
        continue;
      }
      EXPECT_EQ(rule->phase, phase) << at;
      ClearOf(map, piece);
    }
  }
}

TEST_F(EncryptVideoTest, OneLostSyncByteEncryptsItsAduAndNoOther) {
  Packets(20);
  Bytes adu = stream_.bytes();
  ASSERT_NE(policy_->Next(adu), ClearMap());
  Bytes lost = adu;
  lost[10 * kPacketBytes] = 0x46;
  EXPECT_EQ(policy_->Next(lost), ClearMap());
  EXPECT_NE(policy_->Next(adu), ClearMap());
}

// Both those before and those behind the change are encrypted in the ADU where tables change.
TEST_F(EncryptVideoTest, AChangeOfTablesLeavesNoVideoClear) {
  StreamGenerator before, next;
  TwoProgrammes(before, {0x280});
  before.Packet(0x280, RandomAccess::kNo);
  ASSERT_NE(policy_->Next(before.bytes()), ClearMap());
  next.Packet(0x280, RandomAccess::kNo);
  TwoProgrammes(next, {0x300});
  next.Packet(0x300, RandomAccess::kNo);
  for (const std::vector<uint16_t>& pids :
       {std::vector<uint16_t>{kVideo, 0x280, 0x300}, std::vector<uint16_t>{kVideo, 0x300}}) {
    const ClearMap map = policy_->Next(next.bytes());
    const auto* rule = std::get_if<PacketRule>(&map);
    ASSERT_NE(rule, nullptr);
    EXPECT_EQ(rule->pids, pids);
  }
}

}  // namespace
}  // namespace nark::sender
