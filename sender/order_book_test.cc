#include "sender/order_book.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/testing.h"
#include "common/wire/control_block.h"
#include "common/wire/header.h"
#include "nark/v1/file.pb.h"
#include "sender/testing.h"

namespace nark::sender {
namespace {

constexpr size_t kBlockBytes = 80;  // room for one whole id

class OrderBookTest : public testing::Test {
 protected:
  OrderBookTest() { Open(); }

  void Open() {
    auto opened = OrderBook::Open({.session = session_.session(),
                                   .sender_id = 1,
                                   .storage = storage_,
                                   .name = "orders",
                                   .random = random_});
    ASSERT_TRUE(opened.ok()) << opened.status();
    book_ = *std::move(opened);
  }
  static SessionOptions Controlled() {
    SessionOptions options;
    for (auto& sender : options.senders) sender.set_may_control(true);
    return options;
  }
  static Bytes Member(uint32_t number, size_t bytes = 32) {
    Bytes id(bytes);
    StoreBig32(id.data(), number);
    return id;
  }
  v1::SignedEnvelope Order(v1::ControlAction action, ByteView target, Timestamp at) {
    return *MakeControlOrder(action, target, session_.name(), provider_.control, at);
  }
  // Issued one after the other, a microsecond apart.
  v1::SignedEnvelope Order(v1::ControlAction action, ByteView target) {
    return Order(action, target, kTestTime + std::chrono::microseconds(++orders_));
  }
  absl::Status Stop(uint32_t member) {
    return book_->Expel(Order(v1::CONTROL_ACTION_STOP, Member(member)), kTestTime).status();
  }
  // What the next block holds must fit one.
  std::vector<wire::ControlEntry> Next(size_t bytes = kBlockBytes) {
    auto entries = book_->Next(bytes);
    EXPECT_TRUE(wire::SerialiseControlBlock(entries, bytes).ok());
    return entries;
  }
  static void ExpectReason(const absl::Status& status, absl::StatusCode code,
                           const std::string& reason) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ReasonOf(status), reason) << status;
  }

  TestProvider provider_;
  TestSession session_ = provider_.MakeSession(Controlled());
  MemoryStorage storage_;
  SeededRandom random_{1};
  std::unique_ptr<OrderBook> book_;
  int orders_ = 0;
};

TEST_F(OrderBookTest, SaysNothingUntilItIsTold) {
  EXPECT_TRUE(Next().empty());
  EXPECT_EQ(book_->RoundAdus(kBlockBytes), 0u);
  ASSERT_TRUE(Stop(7).ok());
  const auto entries = Next();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].action, wire::kControlStop);
  EXPECT_EQ(entries[0].number, ToMicros(kTestTime) + 1);
  EXPECT_EQ(entries[0].target, Member(7));
  ASSERT_TRUE(book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(7)), kTestTime).ok());
  EXPECT_TRUE(Next().empty());
}

// A restart forgets neither orders nor withdrawals, and changes no number.
TEST_F(OrderBookTest, SurvivesARestart) {
  const auto withdrawn = Order(v1::CONTROL_ACTION_STOP, Member(1));
  ASSERT_TRUE(book_->Expel(withdrawn, kTestTime).ok());
  ASSERT_TRUE(book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1)), kTestTime).ok());
  ASSERT_TRUE(Stop(2).ok());
  ASSERT_TRUE(book_->Expel(Order(v1::CONTROL_ACTION_CONTACT, Member(3, 16)), kTestTime).ok());
  std::map<Bytes, uint64_t> before;
  for (const auto& entry : Next(256)) before[entry.target] = entry.number;
  Open();
  EXPECT_EQ(book_->active(), 2u);
  std::map<Bytes, uint64_t> after;
  for (const auto& entry : Next(256)) after[entry.target] = entry.number;
  EXPECT_EQ(after, before);
  EXPECT_EQ(after.size(), 2u);
  ExpectReason(book_->Expel(withdrawn, kTestTime).status(), absl::StatusCode::kFailedPrecondition,
               "ORDER_WITHDRAWN");
}

TEST_F(OrderBookTest, TheSameOrderTwiceIsOne) {
  const auto order = Order(v1::CONTROL_ACTION_STOP, Member(1));
  EXPECT_EQ(*book_->Expel(order, kTestTime), 1u);
  EXPECT_EQ(*book_->Expel(order, kTestTime), 1u);
  // The latest of a kind counts: it kills what was sold since the first, too.
  EXPECT_EQ(*book_->Expel(Order(v1::CONTROL_ACTION_STOP, Member(1)), kTestTime), 1u);
  EXPECT_EQ(Next()[0].number, ToMicros(kTestTime) + 2);
  EXPECT_EQ(*book_->Expel(order, kTestTime), 1u);
  EXPECT_EQ(Next()[0].number, ToMicros(kTestTime) + 2);
}

TEST_F(OrderBookTest, OrdersToContactComeInSequence) {
  const auto first = Order(v1::CONTROL_ACTION_CONTACT, Member(1));
  const auto second = Order(v1::CONTROL_ACTION_CONTACT, Member(2));
  ASSERT_TRUE(book_->Expel(second, kTestTime).ok());
  ASSERT_TRUE(book_->Expel(second, kTestTime).ok());
  ExpectReason(book_->Expel(first, kTestTime).status(), absl::StatusCode::kFailedPrecondition,
               "ORDER_OUT_OF_SEQUENCE");
}

// Who heard an order that was withdrawn since obeys none with a lower number.
TEST_F(OrderBookTest, AnOrderToContactComesAfterWhatWasWithdrawn) {
  const auto early = Order(v1::CONTROL_ACTION_CONTACT, Member(2));
  ASSERT_TRUE(book_->Expel(Order(v1::CONTROL_ACTION_CONTACT, Member(1)), kTestTime).ok());
  ASSERT_TRUE(book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1)), kTestTime).ok());
  ExpectReason(book_->Expel(early, kTestTime).status(), absl::StatusCode::kFailedPrecondition,
               "ORDER_OUT_OF_SEQUENCE");
}

// A clock that is slow would let live what was sold meanwhile.
TEST_F(OrderBookTest, AnOldOrderIsRefusedUnlessItStandsAlready) {
  const auto order = Order(v1::CONTROL_ACTION_STOP, Member(1));
  const Timestamp later = kTestTime + std::chrono::minutes(6);
  ExpectReason(book_->Expel(order, later).status(), absl::StatusCode::kFailedPrecondition,
               "ORDER_TIME");
  ASSERT_TRUE(book_->Expel(order, kTestTime).ok());
  EXPECT_EQ(*book_->Expel(order, later), 1u);
}

TEST_F(OrderBookTest, AWithdrawalEndsAllOrNothing) {
  const auto early = Order(v1::CONTROL_ACTION_WITHDRAW, Member(1));
  ASSERT_TRUE(book_->Expel(Order(v1::CONTROL_ACTION_STOP, Member(1)), kTestTime).ok());
  const auto between = Order(v1::CONTROL_ACTION_WITHDRAW, Member(1));
  ASSERT_TRUE(book_->Expel(Order(v1::CONTROL_ACTION_CONTACT, Member(1)), kTestTime).ok());
  for (const auto& withdrawal : {early, between}) {
    ExpectReason(book_->Readmit(withdrawal, kTestTime).status(),
                 absl::StatusCode::kFailedPrecondition, "ORDER_TIME");
  }
  EXPECT_EQ(book_->active(), 2u);
  const auto last = Order(v1::CONTROL_ACTION_WITHDRAW, Member(1));
  EXPECT_EQ(*book_->Readmit(last, kTestTime), 0u);
  // The answer may have been lost.
  EXPECT_EQ(*book_->Readmit(last, kTestTime), 0u);
  EXPECT_EQ(*book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1)), kTestTime), 0u);
}

TEST_F(OrderBookTest, TakesOrdersFromTheControlRoleForThisSessionOnly) {
  const TestSession other = provider_.MakeSession();
  const auto expel = [&](const SigningIdentity& by, const SessionName& session, Timestamp at) {
    return book_
        ->Expel(*MakeControlOrder(v1::CONTROL_ACTION_STOP, Member(1), session, by, at), kTestTime)
        .status();
  };
  ExpectReason(expel(provider_.till, session_.name(), kTestTime),
               absl::StatusCode::kUnauthenticated, "ORDER_SIGNATURE");
  TestProvider stranger;
  ExpectReason(expel(stranger.control, session_.name(), kTestTime),
               absl::StatusCode::kUnauthenticated, "ORDER_SIGNATURE");
  ExpectReason(expel(provider_.control, other.name(), kTestTime),
               absl::StatusCode::kPermissionDenied, "ORDER_OTHER_SESSION");
  ExpectReason(expel(provider_.control, session_.name(), kTestTime + std::chrono::hours(1)),
               absl::StatusCode::kFailedPrecondition, "ORDER_TIME");
  auto flipped = Order(v1::CONTROL_ACTION_STOP, Member(1));
  flipped.mutable_payload()->back() ^= 1;
  ExpectReason(book_->Expel(flipped, kTestTime).status(), absl::StatusCode::kUnauthenticated,
               "ORDER_SIGNATURE");
  EXPECT_FALSE(MakeControlOrder(v1::CONTROL_ACTION_STOP, Member(1, 15), session_.name(),
                                provider_.control, kTestTime)
                   .ok());
  ExpectReason(book_->Expel(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1)), kTestTime).status(),
               absl::StatusCode::kInvalidArgument, "ORDER_MALFORMED");
  ExpectReason(book_->Readmit(Order(v1::CONTROL_ACTION_STOP, Member(1)), kTestTime).status(),
               absl::StatusCode::kInvalidArgument, "ORDER_MALFORMED");
  ExpectReason(book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1)), kTestTime).status(),
               absl::StatusCode::kNotFound, "ORDER_NOT_FOUND");
  EXPECT_TRUE(Next().empty());
}

TEST_F(OrderBookTest, AskedOfASenderThatMayNotControlNothingGoesOnTheAir) {
  session_ = provider_.MakeSession();
  Open();
  ExpectReason(Stop(1), absl::StatusCode::kFailedPrecondition, "SENDER_MAY_NOT_CONTROL");
  EXPECT_TRUE(Next().empty());
}

TEST_F(OrderBookTest, KeepsWhatItHadWhereTheDiskFails) {
  ASSERT_TRUE(Stop(1).ok());
  storage_.status = absl::ResourceExhaustedError("full");
  EXPECT_FALSE(Stop(2).ok());
  EXPECT_EQ(book_->active(), 1u);
  storage_.status = absl::OkStatus();
  Open();
  EXPECT_EQ(book_->active(), 1u);
}

TEST_F(OrderBookTest, RefusesADamagedFile) {
  ASSERT_TRUE(Stop(1).ok());
  ASSERT_TRUE(Stop(2).ok());
  const Bytes whole = storage_.files["orders"];
  const auto open = [&] {
    return OrderBook::Open({.session = session_.session(),
                            .sender_id = 1,
                            .storage = storage_,
                            .name = "orders",
                            .random = random_})
        .status()
        .code();
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    storage_.files["orders"][at] ^= 1;
    EXPECT_EQ(open(), absl::StatusCode::kDataLoss) << at;
    // Cut between two orders it would still parse.
    storage_.files["orders"] = Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(at));
    EXPECT_EQ(open(), absl::StatusCode::kDataLoss) << at;
    storage_.files["orders"] = whole;
  }
  EXPECT_EQ(open(), absl::StatusCode::kOk);
}

TEST_F(OrderBookTest, TakesNoMoreThanItCanRotate) {
  // The bound itself, without writing the file four thousand times.
  v1::ControlOrdersFile full;
  for (uint32_t i = 0; i < OrderBook::kMostOrders; ++i) {
    *full.add_orders() = Order(v1::CONTROL_ACTION_STOP, Member(i));
  }
  full.set_checksum(ToText(Sha256(AsBytes(full.SerializeAsString()))));
  const std::string bytes = full.SerializeAsString();
  storage_.files["orders"] = Bytes(bytes.begin(), bytes.end());
  Open();
  EXPECT_EQ(book_->active(), OrderBook::kMostOrders);
  ExpectReason(Stop(100'000), absl::StatusCode::kResourceExhausted, "ORDERS_FULL");
}

// The bound of order_book.h, from any ADU on, and what it is like in the mean.
TEST_F(OrderBookTest, NamesEveryTargetWithinTheBound) {
  std::printf("targets  entries a block  round  ADUs until all are named 1, 3 times\n");
  for (const uint32_t targets : {1u, 2u, 7u, 50u, 200u}) {
    for (const size_t block : {size_t{80}, size_t{256}}) {
      storage_.files.clear();
      Open();
      for (uint32_t i = 0; i < targets; ++i) ASSERT_TRUE(Stop(i).ok());
      const size_t capacity = block / 42;
      const size_t round = (targets + capacity - 1) / capacity;
      EXPECT_EQ(book_->RoundAdus(block), round);
      constexpr size_t kTimes = 3;
      std::vector<std::vector<uint32_t>> history;
      for (size_t adu = 0; adu < 40 * round; ++adu) {
        std::vector<uint32_t> named;
        for (const auto& entry : Next(block)) named.push_back(LoadBig32(entry.target.data()));
        EXPECT_LE(named.size(), capacity);
        EXPECT_EQ(std::set<uint32_t>(named.begin(), named.end()).size(), named.size());
        history.push_back(std::move(named));
      }
      size_t worst[kTimes + 1] = {};
      for (size_t begin = 0; begin + (kTimes + 1) * round <= history.size(); ++begin) {
        std::vector<size_t> times(targets);
        size_t done[kTimes + 1] = {};
        for (size_t at = begin; done[kTimes] < targets && at < history.size(); ++at) {
          for (const uint32_t target : history[at]) {
            if (++times[target] <= kTimes) ++done[times[target]];
          }
          for (size_t k = 1; k <= kTimes; ++k) {
            if (done[k] < targets) worst[k] = std::max(worst[k], at - begin + 2);
          }
        }
        EXPECT_EQ(done[kTimes], targets);
      }
      for (size_t k = 1; k <= kTimes; ++k) {
        EXPECT_LE(std::max<size_t>(1, worst[k]), (k + 1) * round - 1) << targets << " " << k;
      }
      std::printf("%7u %16zu %6zu %8zu %zu\n", targets, capacity, round,
                  std::max<size_t>(1, worst[1]), worst[3]);
    }
  }
}

// Nor do orders that keep coming keep any from being named.
TEST_F(OrderBookTest, NewOrdersBeginNoNewRound) {
  for (uint32_t i = 0; i < 30; ++i) ASSERT_TRUE(Stop(i).ok());
  std::set<uint32_t> named;
  for (uint32_t adu = 0; adu < 30; ++adu) {
    for (const auto& entry : Next()) named.insert(LoadBig32(entry.target.data()));
    // Each ADU another comes and goes.
    ASSERT_TRUE(Stop(1000 + adu).ok());
    ASSERT_TRUE(
        book_->Readmit(Order(v1::CONTROL_ACTION_WITHDRAW, Member(1000 + adu)), kTestTime).ok());
  }
  for (uint32_t i = 0; i < 30; ++i) EXPECT_TRUE(named.contains(i)) << i;
}

// Who plays only every n-th ADU meets his order all the same: no residue is safe.
TEST_F(OrderBookTest, NoFixedChoiceOfAdusEvadesTheRotation) {
  for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(Stop(i).ok());
  for (size_t phase = 0; phase < 8; ++phase) {
    std::set<uint32_t> met;
    for (size_t adu = 0; adu < 800; ++adu) {
      const auto entries = Next();
      if (adu % 8 != phase) continue;
      for (const auto& entry : entries) met.insert(LoadBig32(entry.target.data()));
    }
    EXPECT_EQ(met.size(), 8u) << phase;
  }
}

}  // namespace
}  // namespace nark::sender
