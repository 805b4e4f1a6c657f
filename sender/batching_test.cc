// Which ADUs share a signature, and how long one waits for that, where the input comes live.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "common/wire/datagram.h"
#include "sender/station.h"
#include "sender/testing.h"

namespace nark::sender {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr size_t kAduBytes = 500;

// Input that comes at times of its own, an ADU each time, and a clock that goes on when
// somebody waits.
class LiveInput final : public Input, public Waiter {
 public:
  void AduAt(microseconds when) { arrivals_.push_back(kTestTime + when); }
  void FailInTheEnd() { end_ = absl::InternalError("cable cut"); }
  void StopAt(microseconds when) { stop_at_ = kTestTime + when; }

  int descriptor() const override { return 0; }
  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    if (arrivals_.empty()) return end_.ok() ? absl::StatusOr<State>(State::kEnded) : end_;
    while (!arrivals_.empty() && arrivals_.front() <= now_) {
      arrivals_.pop_front();
      consume(Bytes(kAduBytes, 7));
    }
    return State::kOpen;
  }

  Timestamp Now() override { return now_; }
  Wake Wait(std::optional<Timestamp> due, int descriptor) override {
    std::optional<Timestamp> input;
    // The end is there as soon as all has come.
    if (descriptor >= 0) input = arrivals_.empty() ? now_ : std::max(now_, arrivals_.front());
    const bool by_input = input.has_value() && (!due.has_value() || *input <= *due);
    const Timestamp until = by_input ? *input : std::max(now_, *due);
    if (until >= stop_at_) {
      now_ = std::max(now_, stop_at_);
      return Wake::kStop;
    }
    now_ = until;
    return by_input ? Wake::kInput : Wake::kDue;
  }

 private:
  std::deque<Timestamp> arrivals_;
  Timestamp now_ = kTestTime;
  Timestamp stop_at_ = Timestamp::max();
  absl::Status end_;
};

// When each ADU left.
class TimedSink final : public net::DatagramSink {
 public:
  explicit TimedSink(Waiter& waiter) : waiter_(waiter) {}
  absl::Status Send(std::span<const ByteView> datagrams) override {
    for (ByteView one : datagrams) {
      sent.emplace(wire::ParseDatagram(one).prefix.adu_id, waiter_.Now() - kTestTime);
    }
    return absl::OkStatus();
  }
  std::map<uint64_t, microseconds> sent;

 private:
  Waiter& waiter_;
};

class BatchingTest : public ::testing::Test {
 protected:
  BatchingTest() : session_(provider_.MakeSession()) {
    auto sender = OpenSenderFile(session_.sender_files.at(1), kTestTime);
    EXPECT_TRUE(sender.ok()) << sender.status();
    sender_ = std::make_unique<OpenedSenderFile>(*std::move(sender));
    reservation_ = *Reservation::Open(storage_, "state", Broadcaster::OwnerOf(*sender_, 0));
    broadcaster_ = *Broadcaster::Create(*sender_, {paced_, clock_, random_, *reservation_}, {});
  }

  // Each at its time.
  void Arrive(microseconds when) {
    arrived_.push_back(when);
    input_.AduAt(when);
  }
  absl::Status Run() {
    Segmenter segmenter({.kind = CutRule::Kind::kBytes, .bytes = kAduBytes});
    return Station({input_, segmenter, *broadcaster_, paced_, input_}, {}, batching_, {}).Run();
  }
  uint64_t signatures() const { return broadcaster_->counters().signatures; }
  microseconds LongestWait() {
    microseconds longest{0};
    for (size_t id = 0; id < arrived_.size(); ++id) {
      EXPECT_TRUE(sink_.sent.contains(id)) << id;
      longest = std::max(longest, sink_.sent[id] - arrived_[id]);
    }
    return longest;
  }

  TestProvider provider_;
  TestSession session_;
  std::unique_ptr<OpenedSenderFile> sender_;
  MemoryStorage storage_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{1};
  LiveInput input_;
  TimedSink sink_{input_};
  PacedSink paced_{sink_, input_};
  std::unique_ptr<Reservation> reservation_;
  std::unique_ptr<Broadcaster> broadcaster_;
  Batching batching_;
  std::vector<microseconds> arrived_;
};

TEST_F(BatchingTest, AnOrdinaryStreamHasASignatureAnAduAndWaitsForNothing) {
  for (int i = 0; i < 100; ++i) Arrive(milliseconds(5 * i));
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(signatures(), 100u);
  EXPECT_EQ(LongestWait(), microseconds(0));
}

TEST_F(BatchingTest, AFastStreamThatTricklesInSharesThemAndWaitsNoLongerThanTheBound) {
  for (int i = 0; i < 2000; ++i) Arrive(microseconds(50 * i));
  ASSERT_TRUE(Run().ok());
  // Forty come in two milliseconds.
  EXPECT_LE(signatures(), 2000u / 40 + 2);
  EXPECT_GE(signatures(), 2000u / 42);
  EXPECT_LE(LongestWait(), milliseconds(2));
}

TEST_F(BatchingTest, TheBoundIsTheOneAskedFor) {
  batching_.time = milliseconds(20);
  for (int i = 0; i < 500; ++i) Arrive(milliseconds(3 * i));
  ASSERT_TRUE(Run().ok());
  EXPECT_LE(signatures(), 500u / 6 + 2);
  EXPECT_LE(LongestWait(), milliseconds(20));
  EXPECT_GT(LongestWait(), milliseconds(15));
}

TEST_F(BatchingTest, NoBatchHasMoreThanAskedFor) {
  batching_.adus = 10;
  for (int i = 0; i < 1000; ++i) Arrive(microseconds(1));
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(signatures(), 100u);
}

TEST_F(BatchingTest, OneMeansASignatureEachHoweverFastTheyCome) {
  batching_.adus = 1;
  for (int i = 0; i < 300; ++i) Arrive(microseconds(10 * i));
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(signatures(), 300u);
  EXPECT_EQ(LongestWait(), microseconds(0));
}

TEST_F(BatchingTest, NoTimeMeansThatNoneWaits) {
  batching_.time = microseconds(0);
  for (int i = 0; i < 300; ++i) Arrive(microseconds(10 * i));
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(signatures(), 300u);
  EXPECT_EQ(LongestWait(), microseconds(0));
}

TEST_F(BatchingTest, ALoneAduAfterABurstGoesAloneWithinTheBound) {
  for (int i = 0; i < 20; ++i) Arrive(microseconds(100 * i));
  Arrive(milliseconds(3));    // soon after: it is waited for others, in vain
  Arrive(milliseconds(500));  // long after: nothing is waited for
  ASSERT_TRUE(Run().ok());
  EXPECT_LE(LongestWait(), milliseconds(2));
  EXPECT_EQ(sink_.sent[21], milliseconds(500));
  EXPECT_NE(sink_.sent[20], sink_.sent[19]);
}

TEST_F(BatchingTest, AStopWhileABatchGathersSendsWhatIsInHand) {
  for (int i = 0; i < 100; ++i) Arrive(microseconds(100 * i));
  input_.StopAt(microseconds(1050));
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(broadcaster_->counters().adus, 11u);
}

TEST_F(BatchingTest, AnInputThatFailsWhileABatchGathersLosesNothingInHand) {
  for (int i = 0; i < 10; ++i) Arrive(microseconds(100 * i));
  input_.FailInTheEnd();
  EXPECT_EQ(Run().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(broadcaster_->counters().adus, 10u);
}

TEST(BatchingLimitsTest, AreChecked) {
  EXPECT_TRUE((Batching{}).Check().ok());
  EXPECT_TRUE((Batching{1, microseconds(0)}).Check().ok());
  EXPECT_TRUE((Batching{1024, std::chrono::seconds(1)}).Check().ok());
  for (const Batching& wrong : {Batching{0, microseconds(0)}, Batching{1025, microseconds(0)},
                                Batching{1, microseconds(1'000'001)}}) {
    EXPECT_EQ(wrong.Check().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace nark::sender
