#include "refunds/enter_batch.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::refunds {
namespace {

RefundKey Key(uint32_t voucher) {
  RefundKey key;
  StoreBig32(key.voucher_id.data(), voucher);
  return key;
}

Refund MakeRefund(uint32_t voucher, const std::string& note) {
  Refund refund;
  refund.key = Key(voucher);
  refund.note_identity = Sha256(AsBytes(note));
  refund.receipt = std::make_shared<const std::string>("receipt of " + note);
  refund.note = std::make_shared<const std::string>(note);
  return refund;
}

// Keeps it in memory, and counts.
class FakeStore final : public RefundStore {
 public:
  absl::StatusOr<Rows> ReadRefunds(const std::vector<RefundKey>& keys) override {
    Rows found;
    for (const RefundKey& key : keys) {
      if (const auto row = rows.find(key); row != rows.end()) found.insert(*row);
    }
    return found;
  }
  absl::StatusOr<Notes> ReadNotes(const std::set<Digest>& identities) override {
    Notes found;
    for (const Digest& identity : identities) {
      ++notes_read;
      if (const auto note = notes.find(identity); note != notes.end()) found.insert(*note);
    }
    return found;
  }
  absl::StatusOr<std::set<RefundKey>> Insert(const std::vector<const Refund*>& refunds) override {
    ++transactions;
    if (faster) Store(*std::exchange(faster, nullptr));
    std::set<RefundKey> entered;
    for (const Refund* refund : refunds) {
      if (Store(*refund)) entered.insert(refund->key);
    }
    return entered;
  }
  bool Store(const Refund& refund) {
    Refund row = refund;
    row.note = nullptr;
    notes.emplace(refund.note_identity, refund.note);
    return rows.emplace(refund.key, row).second;
  }

  Rows rows;
  Notes notes;
  int notes_read = 0;
  int transactions = 0;
  std::unique_ptr<Refund> faster;  // entered by another desk before the next insertion
};

std::vector<Refund> Enter(FakeStore& store, const std::vector<Refund>& refunds) {
  auto entered = EnterBatch(refunds, store);
  EXPECT_TRUE(entered.ok()) << entered.status();
  return entered.ok() ? *entered : std::vector<Refund>();
}

TEST(EnterBatchTest, AReplayWritesNothingAndReadsNoNote) {
  FakeStore store;
  std::vector<Refund> note;
  for (uint32_t i = 0; i < 100; ++i) note.push_back(MakeRefund(i, "note"));
  Enter(store, note);
  const auto again = Enter(store, note);
  ASSERT_EQ(again.size(), 100u);
  EXPECT_EQ(*again[99].receipt, "receipt of note");
  EXPECT_EQ(again[99].note, note[99].note);
  EXPECT_EQ(store.transactions, 1);
  EXPECT_EQ(store.notes_read, 0);
}

TEST(EnterBatchTest, AConflictReadsTheFirstNoteOnce) {
  FakeStore store;
  std::vector<Refund> first, second;
  for (uint32_t i = 0; i < 100; ++i) {
    first.push_back(MakeRefund(i, "first"));
    second.push_back(MakeRefund(i, "second"));
  }
  Enter(store, first);
  const auto standing = Enter(store, second);
  ASSERT_EQ(standing.size(), 100u);
  for (const Refund& one : standing) {
    EXPECT_EQ(*one.note, "first");
    EXPECT_EQ(*one.receipt, "receipt of first");
  }
  EXPECT_EQ(store.notes_read, 1);
}

TEST(EnterBatchTest, TheFirstOfABatchStandsForItsKey) {
  FakeStore store;
  const auto standing =
      Enter(store, {MakeRefund(1, "first"), MakeRefund(1, "second"), MakeRefund(2, "second")});
  ASSERT_EQ(standing.size(), 3u);
  EXPECT_EQ(*standing[0].note, "first");
  EXPECT_EQ(*standing[1].note, "first");
  EXPECT_EQ(*standing[1].receipt, "receipt of first");
  EXPECT_EQ(*standing[2].note, "second");
  EXPECT_EQ(store.notes_read, 0);
}

TEST(EnterBatchTest, WhatAnotherDeskEnteredMeanwhileStands) {
  FakeStore store;
  store.faster = std::make_unique<Refund>(MakeRefund(1, "faster"));
  const auto standing = Enter(store, {MakeRefund(1, "slower"), MakeRefund(2, "slower")});
  ASSERT_EQ(standing.size(), 2u);
  EXPECT_EQ(*standing[0].note, "faster");
  EXPECT_EQ(*standing[0].receipt, "receipt of faster");
  EXPECT_EQ(*standing[1].note, "slower");
}

TEST(EnterBatchTest, ALedgerWithoutTheNoteIsUnavailable) {
  FakeStore store;
  Enter(store, {MakeRefund(1, "first")});
  store.notes.clear();
  EXPECT_EQ(ReasonOf(EnterBatch({MakeRefund(1, "second")}, store).status()), "LEDGER_UNAVAILABLE");
  EXPECT_EQ(ReasonOf(FindOne(Key(1), store).status()), "LEDGER_UNAVAILABLE");
  EXPECT_FALSE(FindOne(Key(2), store)->has_value());
}

}  // namespace
}  // namespace nark::refunds
