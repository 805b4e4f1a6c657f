#include "common/wire/cipher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/random.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

Bytes RandomBytes(SeededRandom& random, size_t size) {
  Bytes bytes(size);
  (void)random.Fill(bytes);
  return bytes;
}

SecretBytes RandomKey(SeededRandom& random, const CipherSuite& suite) {
  SecretBytes key(suite.key_bytes());
  (void)random.Fill(key.RevealMutable());
  return key;
}

ClearRanges RandomRanges(SeededRandom& random, size_t plaintext_bytes) {
  ClearRanges clear;
  size_t end = 0;
  for (uint64_t n = random.Below(6); n > 0; --n) {
    const size_t offset = end + random.Below(3) * random.Below(50);
    const size_t length = 1 + random.Below(80);
    if (offset + length >= plaintext_bytes) break;
    clear.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(length)});
    end = offset + length;
  }
  return clear;
}

// Packets of two PIDs, some with an adaptation field.
Bytes RandomPackets(SeededRandom& random, size_t packets) {
  Bytes bytes = RandomBytes(random, packets * kTransportPacketBytes);
  for (size_t i = 0; i < packets; ++i) {
    uint8_t* packet = &bytes[i * kTransportPacketBytes];
    packet[0] = 0x47;
    StoreBig16(packet + 1, static_cast<uint16_t>(0x100 + random.Below(2)));
    packet[3] = random.Below(2) == 0 ? 0x10 : 0x30;
  }
  StoreBig16(&bytes[1], 0x100);
  bytes[3] = 0x10;
  return bytes;
}

PacketRule RuleFor(const Bytes& packets) {
  PacketRule rule{0, {0x100}, 0};
  const ClearRanges clear = ClearBytesOfPackets(0, rule.pids, packets);
  rule.encrypted_bytes = static_cast<uint32_t>(packets.size() - TotalBytes(clear));
  return rule;
}

class CipherTest : public testing::TestWithParam<std::string_view> {
 protected:
  void ExpectRoundTrip(const Bytes& plaintext, const ClearMap& clear) {
    const SecretBytes key = RandomKey(random_, suite_);
    Bytes sealed(suite_.CiphertextBytes(plaintext.size(), clear));
    ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
    const ClearRanges ranges = *ResolveClearMap(clear, plaintext);
    EXPECT_EQ(*ResolveClearMap(clear, ByteView(sealed).first(plaintext.size())), ranges);
    for (const ClearRange& range : ranges) {
      EXPECT_TRUE(Equal(ByteView(sealed).subspan(range.offset, range.length),
                        ByteView(plaintext).subspan(range.offset, range.length)));
    }
    for (const ClearRange& run : Complement(ranges, static_cast<uint32_t>(plaintext.size()))) {
      if (run.length < 8) continue;
      EXPECT_FALSE(Equal(ByteView(sealed).subspan(run.offset, run.length),
                         ByteView(plaintext).subspan(run.offset, run.length)));
    }
    Bytes opened(plaintext.size());
    ASSERT_TRUE(cipher_->Open(key, clear, sealed, opened).ok());
    EXPECT_EQ(opened, plaintext);

    Bytes in_place = plaintext;
    in_place.resize(sealed.size());
    ASSERT_TRUE(
        cipher_->Seal(key, clear, ByteView(in_place).first(plaintext.size()), in_place).ok());
    EXPECT_EQ(in_place, sealed);
  }

  const CipherSuite& suite_ = **FindCipher(GetParam());
  std::unique_ptr<AduCipher> cipher_ = *suite_.Create();
  SeededRandom random_{19};
};

TEST_P(CipherTest, OpensWhatItSealedAndLeavesClearBytesInPlace) {
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE("seed 19, round " + std::to_string(round));
    const Bytes plaintext = RandomBytes(random_, 1 + random_.Below(2000));
    ExpectRoundTrip(plaintext, RandomRanges(random_, plaintext.size()));
    const Bytes packets = RandomPackets(random_, 1 + random_.Below(40));
    ExpectRoundTrip(packets, RuleFor(packets));
  }
}

TEST_P(CipherTest, RefusesAMapOfAnotherSize) {
  const Bytes plaintext = RandomBytes(random_, 40);
  const SecretBytes key = RandomKey(random_, suite_);
  const ClearMap clear = ClearRanges{{0, 5}};
  Bytes sealed(suite_.CiphertextBytes(40, clear)), opened(40, 0xEE);
  ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
  EXPECT_EQ(cipher_->Open(key, ClearRanges{{0, 6}}, sealed, opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(opened, Bytes(40)) << "not wiped";
  EXPECT_EQ(cipher_->Open(key, {}, sealed, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(cipher_->Open(key, clear, sealed, opened).ok());
}

TEST_P(CipherTest, RefusesARuleThatCountsWrongly) {
  Bytes packets = RandomPackets(random_, 9);
  const SecretBytes key = RandomKey(random_, suite_);
  PacketRule rule = RuleFor(packets);
  Bytes sealed(suite_.CiphertextBytes(packets.size(), rule)), opened(packets.size());
  ASSERT_TRUE(cipher_->Seal(key, rule, packets, sealed).ok());
  ++rule.encrypted_bytes;
  Bytes other(suite_.CiphertextBytes(packets.size(), rule));
  EXPECT_EQ(cipher_->Seal(key, rule, packets, other).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, rule, sealed, opened).code(), StatusCode::kInvalidArgument);
}

TEST_P(CipherTest, RefusesMapsBuffersAndKeysThatDoNotFit) {
  const Bytes plaintext(40);
  const SecretBytes key(suite_.key_bytes());
  const size_t bytes = suite_.CiphertextBytes(40);
  Bytes sealed(bytes), opened(40), wrong(bytes - 1);
  const auto seal = [&](const ClearMap& clear, MutableByteView out) {
    return cipher_->Seal(key, clear, plaintext, out).code();
  };
  EXPECT_EQ(seal({}, sealed), StatusCode::kOk);
  EXPECT_EQ(seal({}, wrong), StatusCode::kInvalidArgument);
  EXPECT_EQ(seal(ClearRanges{{30, 11}}, sealed), StatusCode::kInvalidArgument);
  EXPECT_EQ(seal(ClearRanges{{10, 2}, {11, 2}}, sealed), StatusCode::kInvalidArgument);
  EXPECT_EQ(seal(ClearRanges{{0, 40}}, sealed), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, ClearRanges{{30, 11}}, sealed, opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {}, wrong, opened).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, {}, ByteView(sealed).first(15), opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_FALSE(cipher_->Seal(SecretBytes(suite_.key_bytes() - 1), {}, plaintext, sealed).ok());
}

TEST_P(CipherTest, ChecksHeadersAgainstItself) {
  for (const ClearMap& clear :
       {ClearMap(), ClearMap(ClearRanges{{1, 3}}), ClearMap(PacketRule{0, {256}, 77})}) {
    Header header;
    header.cipher = suite_.wire_number();
    header.plaintext_bytes = 100;
    header.clear_map = clear;
    const auto right = static_cast<uint32_t>(suite_.CiphertextBytes(100, clear));
    EXPECT_EQ(right, 100 + suite_.GrowthBytes(EncryptedBytes(clear, 100)));
    for (uint32_t bytes = 100; bytes < 140; ++bytes) {
      header.ciphertext_bytes = bytes;
      EXPECT_EQ(CheckAgainstCipher(header, suite_).ok(), bytes == right) << bytes;
    }
    header.ciphertext_bytes = right;
    ++header.cipher;
    EXPECT_EQ(CheckAgainstCipher(header, suite_).code(), StatusCode::kInvalidArgument);
  }
}

TEST_P(CipherTest, GrowsByNoMoreThanAHeaderAllows) {
  for (size_t bytes = 0; bytes < 100; ++bytes) {
    EXPECT_LE(suite_.GrowthBytes(bytes), kMaxCipherGrowth);
  }
}

class AuthenticatedCipherTest : public CipherTest {};

TEST_P(AuthenticatedCipherTest, EveryFlippedBitIsRefusedAndWipesTheOutput) {
  const Bytes packets = RandomPackets(random_, 2);
  const std::pair<Bytes, ClearMap> cases[] = {
      {RandomBytes(random_, 40), ClearRanges{{0, 5}, {20, 3}}}, {packets, RuleFor(packets)}};
  for (const auto& [plaintext, clear] : cases) {
    const SecretBytes key = RandomKey(random_, suite_);
    Bytes sealed(suite_.CiphertextBytes(plaintext.size(), clear));
    ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
    for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
      Bytes flipped = sealed;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      Bytes opened(plaintext.size(), 0xEE);
      EXPECT_EQ(cipher_->Open(key, clear, flipped, opened).code(), StatusCode::kInvalidArgument);
      EXPECT_EQ(opened, Bytes(plaintext.size())) << bit;
    }
  }
}

TEST_P(AuthenticatedCipherTest, RefusesAnotherKeyAndAnotherClearMap) {
  const Bytes plaintext = RandomBytes(random_, 40);
  const SecretBytes key = RandomKey(random_, suite_);
  const ClearMap clear = ClearRanges{{0, 5}};
  Bytes sealed(suite_.CiphertextBytes(40, clear)), opened(40);
  ASSERT_TRUE(cipher_->Seal(key, clear, plaintext, sealed).ok());
  EXPECT_EQ(cipher_->Open(RandomKey(random_, suite_), clear, sealed, opened).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(cipher_->Open(key, ClearRanges{{1, 5}}, sealed, opened).code(),
            StatusCode::kInvalidArgument);
}

std::string NameOf(const testing::TestParamInfo<std::string_view>& test) {
  std::string name(test.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<std::string_view> AuthenticatedIds() {
  std::vector<std::string_view> ids;
  for (std::string_view id : CipherIds()) {
    const CipherProperties promised = (*FindCipher(id))->properties();
    if (promised.authenticated && !promised.marks) ids.push_back(id);
  }
  return ids;
}

// What marks has tests of its own: it takes a block, and no clear bytes.
std::vector<std::string_view> PlainIds() {
  std::vector<std::string_view> ids;
  for (std::string_view id : CipherIds()) {
    if (!(*FindCipher(id))->properties().marks) ids.push_back(id);
  }
  return ids;
}

INSTANTIATE_TEST_SUITE_P(Suites, CipherTest, testing::ValuesIn(PlainIds()), NameOf);
INSTANTIATE_TEST_SUITE_P(Suites, AuthenticatedCipherTest, testing::ValuesIn(AuthenticatedIds()),
                         NameOf);

TEST(CipherRegistryTest, NumbersNamesAndPromisesAreFixed) {
  struct Expected {
    const char* id;
    uint8_t number;
    size_t key_bytes;
    bool secure;
  };
  const Expected all[] = {{"aes-128-gcm", 1, 16, true},
                          {"aes-256-gcm", 2, 32, true},
                          {"chacha20-poly1305", 3, 32, true},
                          {"chameleon", 4, 16, true},
                          {"des-cbc", 5, 8, false}};
  ASSERT_EQ(CipherIds().size(), std::size(all));
  for (const Expected& expected : all) {
    const CipherSuite* suite = *FindCipher(expected.number);
    EXPECT_EQ(suite->id(), expected.id);
    EXPECT_EQ(suite->key_bytes(), expected.key_bytes);
    EXPECT_EQ(suite->properties().secure, expected.secure);
    EXPECT_EQ(suite->properties().authenticated, expected.secure);
    EXPECT_EQ(suite->wire_number(), expected.number);
    EXPECT_EQ(*FindCipher(expected.id), suite);
  }
}

TEST(CipherRegistryTest, NamesTheKnownOnesWhereItHasNone) {
  const auto by_id = FindCipher("rot13");
  EXPECT_EQ(by_id.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(
      Std(by_id.status().message()),
      "no cipher \"rot13\"; known: aes-128-gcm aes-256-gcm chacha20-poly1305 chameleon des-cbc");
  EXPECT_EQ(FindCipher(uint8_t{0}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(FindCipher(uint8_t{6}).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::wire
