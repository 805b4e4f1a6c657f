#include "common/wire/control_block.h"

#include <gtest/gtest.h>

#include <string>

#include "common/crypto/random.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

StatusCode ParseCode(ByteView block) { return ParseControlBlock(block).status().code(); }

TEST(ControlBlockTest, ParsesWhatItSerialised) {
  constexpr uint64_t kSeed = 17;
  SeededRandom random(kSeed);
  for (int round = 0; round < 1000; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    std::vector<ControlEntry> entries(random.Below(7));
    for (ControlEntry& entry : entries) {
      entry.action = static_cast<uint8_t>(1 + random.Below(3));
      entry.number = random.Below(~uint64_t{0});
      entry.target.resize(entry.action == kControlDigest ? 32 : 16 + random.Below(17));
      ASSERT_TRUE(random.Fill(entry.target).ok());
    }
    const auto block = SerialiseControlBlock(entries, 256);
    ASSERT_TRUE(block.ok()) << block.status();
    ASSERT_EQ(block->size(), 256u);
    const auto parsed = ParseControlBlock(*block);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ASSERT_EQ(parsed->size(), entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ((*parsed)[i].action, entries[i].action);
      EXPECT_EQ((*parsed)[i].number, entries[i].number);
      EXPECT_EQ((*parsed)[i].target, entries[i].target);
    }
  }
}

TEST(ControlBlockTest, MayBeFilledToTheLastByte) {
  const auto block = SerialiseControlBlock(
      {{kControlStop, 1, Bytes(30, 9)}, {kControlContact, 2, Bytes(30, 8)}}, 80);
  ASSERT_TRUE(block.ok()) << block.status();
  EXPECT_EQ(ParseControlBlock(*block)->size(), 2u);
  EXPECT_EQ(SerialiseControlBlock(
                {{kControlStop, 1, Bytes(31, 9)}, {kControlContact, 2, Bytes(30, 8)}}, 80)
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

TEST(ControlBlockTest, RefusesEntriesThatAreNone) {
  const auto code = [](uint8_t action, size_t target_bytes) {
    return SerialiseControlBlock({{action, 1, Bytes(target_bytes, 1)}}, 80).status().code();
  };
  EXPECT_EQ(code(kControlStop, 16), StatusCode::kOk);
  EXPECT_EQ(code(kControlStop, 32), StatusCode::kOk);
  EXPECT_EQ(code(kControlStop, 15), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(kControlStop, 33), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(kControlDigest, 31), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, 16), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, 16), StatusCode::kInvalidArgument);
}

TEST(ControlBlockTest, RefusesTruncatedEntriesAndPaddingThatSpeaks) {
  const Bytes block = *SerialiseControlBlock({{kControlStop, 1, Bytes(20, 9)}}, 80);
  for (size_t size = 1; size < 30; ++size) {
    EXPECT_EQ(ParseCode(ByteView(block).first(size)), StatusCode::kInvalidArgument) << size;
  }
  EXPECT_EQ(ParseCode(ByteView(block).first(30)), StatusCode::kOk);
  for (size_t at = 31; at < block.size(); ++at) {
    Bytes spoken = block;
    spoken[at] = 1;
    EXPECT_EQ(ParseCode(spoken), StatusCode::kInvalidArgument) << at;
  }
}

// Whatever is accepted serialises to the same bytes: no bit is ignored.
TEST(ControlBlockTest, NoFlippedBitIsIgnored) {
  const Bytes block = *SerialiseControlBlock(
      {{kControlStop, 77, Bytes(16, 9)}, {kControlDigest, 5, Bytes(32, 8)}}, 80);
  for (size_t bit = 0; bit < 8 * block.size(); ++bit) {
    Bytes flipped = block;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const auto parsed = ParseControlBlock(flipped);
    if (parsed.ok()) {
      EXPECT_EQ(*SerialiseControlBlock(*parsed, 80), flipped) << bit;
    }
  }
}

TEST(ControlCipherTest, OpensWhatItSealed) {
  const auto cipher = *ControlCipher::Create();
  SecretBytes key(16), other(16);
  other.RevealMutable()[0] = 1;
  const Bytes block = *SerialiseControlBlock({{kControlStop, 1, Bytes(20, 9)}}, 80);
  const Bytes sealed = *cipher->Seal(key, block);
  EXPECT_EQ(sealed.size(), 96u);
  EXPECT_EQ(*cipher->Open(key, sealed), block);
  EXPECT_EQ(cipher->Open(other, sealed).status().code(), StatusCode::kInvalidArgument);
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    Bytes flipped = sealed;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(cipher->Open(key, flipped).status().code(), StatusCode::kInvalidArgument) << bit;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_EQ(cipher->Open(key, ByteView(sealed).first(size)).status().code(),
              StatusCode::kInvalidArgument)
        << size;
  }
  EXPECT_EQ(*cipher->Open(key, sealed), block) << "a failure left a trace";
}

// What was sent before, or by another, proves nothing.
TEST(AduDigestTest, IsOfOneSendingOfOneAdu) {
  Header header;
  header.sender_id = 1;
  header.adu_id = 2;
  const Bytes plaintext(100, 3);
  const Digest digest = AduDigest(Digest{}, header, plaintext);
  EXPECT_EQ(AduDigest(Digest{}, header, plaintext), digest);
  Header other = header;
  other.sender_id = 2;
  EXPECT_NE(AduDigest(Digest{}, other, plaintext), digest);
  other = header;
  other.adu_id = 1;
  EXPECT_NE(AduDigest(Digest{}, other, plaintext), digest);
  other = header;
  other.fresh[15] = 1;
  EXPECT_NE(AduDigest(Digest{}, other, plaintext), digest);
  EXPECT_NE(AduDigest(Digest{1}, header, plaintext), digest);
  EXPECT_NE(AduDigest(Digest{}, header, ByteView(plaintext).first(99)), digest);
}

}  // namespace
}  // namespace nark::wire
