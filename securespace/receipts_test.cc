#include "securespace/receipts.h"

#include <gtest/gtest.h>

#include <set>

#include "common/base/sanitized.h"
#include "common/crypto/random.h"
#include "common/object/id_codec.h"

// The types are equal in meaning: each is held against a std::set, on random and on
// bursty histories whose seed a failure prints.
namespace nark::securespace {
namespace {

std::unique_ptr<Receipts> Empty(v1::ReceiptType type) { return *MakeReceipts(type); }

Bytes Written(const Receipts& receipts) {
  Writer writer;
  EXPECT_TRUE(receipts.Write(writer).ok());
  return ToBytes(writer.bytes());
}

// Null where it does not read, or something is left.
std::unique_ptr<Receipts> ReadBack(v1::ReceiptType type, ByteView bytes) {
  std::unique_ptr<Receipts> receipts = Empty(type);
  Reader from(bytes);
  return receipts->Read(from) && from.done() ? std::move(receipts) : nullptr;
}

IdSet SetOf(const std::set<uint64_t>& ids) {
  IdSet set;
  for (uint64_t id : ids) set.Insert(id);
  return set;
}

enum class Pattern { kRandomLoss, kBursts, kShuffled, kScattered };

// Ids in the order in which they are released.
std::vector<uint64_t> History(Pattern pattern, SeededRandom& random) {
  std::vector<uint64_t> ids;
  const uint64_t begin = random.Below(2) == 0 ? 0 : random.Below(uint64_t{1} << 40);
  bool lost = false;
  for (uint64_t i = 0; i < 3000; ++i) {
    switch (pattern) {
      case Pattern::kRandomLoss:
        if (random.Below(100) != 0) ids.push_back(begin + i);
        break;
      case Pattern::kBursts:
        lost = lost ? random.Below(20) != 0 : random.Below(200) == 0;
        if (!lost) ids.push_back(begin + i);
        break;
      case Pattern::kShuffled:
        // Up to 30 places out of order, and some twice.
        ids.push_back(begin + i + random.Below(30));
        break;
      case Pattern::kScattered:
        if (i < 200) ids.push_back(random.Below(uint64_t{1} << 63));
        break;
    }
  }
  return ids;
}

using Case = std::tuple<v1::ReceiptType, Pattern>;
class ReceiptsTest : public testing::TestWithParam<Case> {
 protected:
  v1::ReceiptType type() const { return std::get<0>(GetParam()); }
};

TEST_P(ReceiptsTest, HoldWhatWasInsertedAndNothingElse) {
  for (uint64_t seed = 0; seed < (kSanitized ? 2 : 8); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SeededRandom random(seed);
    std::unique_ptr<Receipts> receipts = Empty(type());
    std::set<uint64_t> expected;
    for (uint64_t id : History(std::get<1>(GetParam()), random)) {
      ASSERT_EQ(receipts->Contains(id), expected.contains(id)) << id;
      receipts->Insert(id);
      expected.insert(id);
      ASSERT_TRUE(receipts->Contains(id)) << id;
    }
    const IdSet ids = SetOf(expected);
    ASSERT_EQ(receipts->ToIdSet(), ids);
    for (const auto& [first, last] : ids.ranges()) {
      ASSERT_FALSE(first > 0 && receipts->Contains(first - 1)) << first - 1;
      ASSERT_FALSE(receipts->Contains(last + 1)) << last + 1;
    }
    const Bytes written = Written(*receipts);
    const std::unique_ptr<Receipts> read = ReadBack(type(), written);
    ASSERT_NE(read, nullptr);
    ASSERT_EQ(read->ToIdSet(), ids);
    ASSERT_EQ(Written(*read), written);
    // What was read back goes on as before.
    read->Insert(*expected.rbegin() + 1);
    ASSERT_TRUE(read->Contains(*expected.rbegin() + 1));
  }
}

TEST_P(ReceiptsTest, HaveOneFormForOneSet) {
  SeededRandom random(1);
  std::vector<uint64_t> ids = History(std::get<1>(GetParam()), random);
  std::unique_ptr<Receipts> forwards = Empty(type()), backwards = Empty(type());
  for (uint64_t id : ids) forwards->Insert(id);
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) backwards->Insert(*id);
  EXPECT_EQ(Written(*forwards), Written(*backwards));
}

INSTANTIATE_TEST_SUITE_P(Types, ReceiptsTest,
                         testing::Combine(testing::ValuesIn(ReceiptTypes()),
                                          testing::Values(Pattern::kRandomLoss, Pattern::kBursts,
                                                          Pattern::kShuffled,
                                                          Pattern::kScattered)));

class ReceiptFormTest : public testing::TestWithParam<v1::ReceiptType> {};

TEST_P(ReceiptFormTest, HoldBothEndsOfTheIds) {
  std::unique_ptr<Receipts> receipts = Empty(GetParam());
  EXPECT_TRUE(receipts->ToIdSet().empty());
  ASSERT_NE(ReadBack(GetParam(), Written(*receipts)), nullptr);
  constexpr uint64_t kLast = (uint64_t{1} << 63) - 1;
  for (uint64_t id : {kLast, uint64_t{0}}) {
    EXPECT_FALSE(receipts->Contains(id));
    receipts->Insert(id);
    EXPECT_TRUE(receipts->Contains(id));
  }
  EXPECT_EQ(receipts->ToIdSet(), SetOf({0, kLast}));
  ASSERT_NE(ReadBack(GetParam(), Written(*receipts)), nullptr);
}

// Ids as far from each other as they can be must not cost what lies between.
TEST_P(ReceiptFormTest, CostsAtMostAChunkForAnIdFarAway) {
  std::unique_ptr<Receipts> receipts = Empty(GetParam());
  for (uint64_t i = 0; i < 1000; ++i) receipts->Insert(i << 53);
  EXPECT_LE(Written(*receipts).size(), 1000 * (512 + 8) + 16);
}

TEST_P(ReceiptFormTest, RefusesIdsThatNoGeneratorHas) {
  std::unique_ptr<Receipts> receipts = Empty(GetParam());
  receipts->Insert(uint64_t{1} << 63);
  Writer writer;
  EXPECT_TRUE(absl::IsInvalidArgument(receipts->Write(writer)));
}

TEST_P(ReceiptFormTest, ReadsNothingButWhatWasWritten) {
  std::unique_ptr<Receipts> receipts = Empty(GetParam());
  for (uint64_t id : {3, 4, 5, 9, 5000, 90000}) receipts->Insert(id);
  const Bytes written = Written(*receipts);
  for (size_t size = 0; size < written.size(); ++size) {
    EXPECT_EQ(ReadBack(GetParam(), ByteView(written).first(size)), nullptr) << size;
  }
  for (size_t bit = 0; bit < 8 * written.size(); ++bit) {
    Bytes flipped = written;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const std::unique_ptr<Receipts> read = ReadBack(GetParam(), flipped);
    if (read != nullptr) {
      EXPECT_EQ(Written(*read), flipped) << "bit " << bit;
    }
  }
}

TEST_P(ReceiptFormTest, HoldsMoreRangesThanANoteCan) {
  std::unique_ptr<Receipts> receipts = Empty(GetParam());
  constexpr uint64_t kRanges = kMaxPackedRanges + 10;
  for (uint64_t i = 0; i < kRanges; ++i) receipts->Insert(2 * i);
  const Bytes written = Written(*receipts);
  const std::unique_ptr<Receipts> read = ReadBack(GetParam(), written);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->ToIdSet().ranges().size(), kRanges);
  EXPECT_EQ(read->ToIdSet(), receipts->ToIdSet());
}

INSTANTIATE_TEST_SUITE_P(Types, ReceiptFormTest, testing::ValuesIn(ReceiptTypes()));

TEST(ReceiptRegistryTest, HasEveryTypeThatTermsCanName) {
  EXPECT_EQ(ReceiptTypes().size(), static_cast<size_t>(v1::ReceiptType_ARRAYSIZE - 1));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeReceipts(v1::RECEIPT_TYPE_UNSPECIFIED).status()));
}

}  // namespace
}  // namespace nark::securespace
