#include "sender/station.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "common/wire/datagram.h"
#include "sender/stream_generator.h"
#include "sender/testing.h"
#include "sender/wave_generator.h"

namespace nark::sender {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Time passes when somebody waits for it; input is always there. Says stop from a time on.
class ManualWaiter final : public Waiter {
 public:
  Timestamp Now() override { return now; }
  Wake Wait(std::optional<Timestamp> due, int descriptor) override {
    if (due.has_value() && descriptor < 0) now = std::max(now, std::min(*due, stop_at));
    if (now >= stop_at) return Wake::kStop;
    return descriptor >= 0 ? Wake::kInput : Wake::kDue;
  }
  Timestamp now = kTestTime;
  Timestamp stop_at = Timestamp::max();
};

class MemoryInput final : public Input {
 public:
  MemoryInput(Bytes bytes, size_t at_once) : bytes_(std::move(bytes)), at_once_(at_once) {}
  int descriptor() const override { return 0; }
  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    if (at_ == bytes_.size()) return status.ok() ? absl::StatusOr<State>(State::kEnded) : status;
    size_t size = std::min(at_once_, bytes_.size() - at_);
    consume(ByteView(bytes_).subspan(at_, size));
    at_ += size;
    return State::kOpen;
  }
  absl::Status status;  // instead of the end

 private:
  Bytes bytes_;
  size_t at_once_;
  size_t at_ = 0;
};

// Comes at its own pace and ends only once it is closed.
class LiveInput final : public Input {
 public:
  LiveInput(Bytes before, Bytes after) : before_(std::move(before)), after_(std::move(after)) {}
  int descriptor() const override { return 0; }
  Kind kind() const override { return Kind::kLive; }
  void Close() override { closed_ = true; }
  absl::StatusOr<State> Read(absl::FunctionRef<void(ByteView)> consume) override {
    if (!before_.empty()) {
      consume(std::exchange(before_, {}));
      return State::kOpen;
    }
    if (!closed_) {
      stop();
      return State::kOpen;
    }
    if (after_.empty()) return State::kEnded;
    consume(std::exchange(after_, {}));
    return State::kOpen;
  }
  std::function<void()> stop;

 private:
  Bytes before_;
  Bytes after_;  // what arrives in the moment in which it is closed
  bool closed_ = false;
};

// Notes when each ADU's first and last datagram was sent.
class TimedSink final : public net::DatagramSink {
 public:
  explicit TimedSink(Waiter& waiter) : waiter_(waiter) {}
  absl::Status Send(std::span<const ByteView> datagrams) override {
    for (ByteView one : datagrams) {
      uint64_t id = wire::ParseDatagram(one).prefix.adu_id;
      first.emplace(id, waiter_.Now());
      last[id] = waiter_.Now();
    }
    return absl::OkStatus();
  }
  std::map<uint64_t, Timestamp> first;
  std::map<uint64_t, Timestamp> last;

 private:
  Waiter& waiter_;
};

class StationTest : public ::testing::Test {
 protected:
  StationTest() : session_(provider_.MakeSession()) {
    auto sender = OpenSenderFile(session_.sender_files.at(1), kTestTime);
    EXPECT_TRUE(sender.ok()) << sender.status();
    sender_ = std::make_unique<OpenedSenderFile>(*std::move(sender));
    reservation_ = *Reservation::Open(storage_, "state", Broadcaster::OwnerOf(*sender_, 0));
    broadcaster_ = *Broadcaster::Create(*sender_, {paced_, clock_, random_, *reservation_}, {});
  }

  absl::Status Run(Input& input, const CutRule& rule, const Pace& pace = {}) {
    Segmenter segmenter(rule);
    Station::Events events;
    events.warn = [this](const std::string& line) { warnings_.push_back(line); };
    Station station({input, segmenter, *broadcaster_, paced_, waiter_}, pace, batching_, events);
    return station.Run();
  }
  absl::Status Run(const Bytes& input, const CutRule& rule, const Pace& pace = {}) {
    MemoryInput memory(input, 10'000);
    return Run(memory, rule, pace);
  }

  milliseconds At(const std::map<uint64_t, Timestamp>& times, uint64_t id) {
    EXPECT_TRUE(times.contains(id)) << id;
    return times.contains(id) ? std::chrono::duration_cast<milliseconds>(times.at(id) - kTestTime)
                              : milliseconds(-1);
  }

  TestProvider provider_;
  TestSession session_;
  std::unique_ptr<OpenedSenderFile> sender_;
  MemoryStorage storage_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{1};
  Batching batching_;
  ManualWaiter waiter_;
  TimedSink sink_{waiter_};
  PacedSink paced_{sink_, waiter_};
  std::unique_ptr<Reservation> reservation_;
  std::unique_ptr<Broadcaster> broadcaster_;
  std::vector<std::string> warnings_;
};

CutRule Seconds(int seconds) {
  return {.kind = CutRule::Kind::kDuration, .duration = std::chrono::seconds(seconds)};
}
CutRule Sized(size_t bytes) { return {.kind = CutRule::Kind::kBytes, .bytes = bytes}; }

TEST_F(StationTest, AdusAreSpreadOverTheTimeInWhichTheyPlay) {
  StreamGenerator stream;
  stream.Programme(126, 25, 50);  // five seconds and the picture at their end
  ASSERT_TRUE(Run(stream.bytes(), Seconds(1)).ok());
  ASSERT_EQ(broadcaster_->counters().adus, 6u);
  for (int i = 0; i < 5; ++i) {
    auto id = static_cast<uint64_t>(i);
    EXPECT_EQ(At(sink_.first, id), milliseconds(1000 * i));
    EXPECT_GT(At(sink_.last, id), milliseconds(1000 * i + 500));
    EXPECT_LT(At(sink_.last, id), milliseconds(1000 * i + 1000));
  }
  EXPECT_TRUE(warnings_.empty());
  EXPECT_EQ(broadcaster_->counters().plaintext_bytes, stream.size());
}

// Says where in the stream each ADU stood, in a map, and warns of the second.
class CountingPolicy final : public ClearPolicy {
 public:
  wire::ClearMap Next(ByteView) override {
    ++adus_;
    return wire::ClearRanges{{adus_, 1}};
  }
  std::string TakeWarning() override {
    return adus_ >= 2 && !std::exchange(warned_, true) ? "careful" : "";
  }

 private:
  uint32_t adus_ = 0;
  bool warned_ = false;
};

TEST_F(StationTest, AsksThePolicyForEveryAduInOrderAndPassesItsWarningOn) {
  MemoryInput input(Bytes(1000), 300);
  Segmenter segmenter(Sized(100));
  CountingPolicy policy;
  std::vector<wire::ClearMap> maps;
  Station station({input, segmenter, *broadcaster_, paced_, waiter_, &policy}, {}, batching_,
                  {.warn = [this](const std::string& line) { warnings_.push_back(line); },
                   .sent =
                       [&](uint64_t, std::span<const OutgoingAdu> adus) {
                         for (const OutgoingAdu& adu : adus) maps.push_back(adu.clear);
                         return absl::OkStatus();
                       }});
  ASSERT_TRUE(station.Run().ok());
  ASSERT_THAT(maps, SizeIs(10));
  for (uint32_t i = 0; i < 10; ++i) {
    EXPECT_EQ(maps[i], wire::ClearMap(wire::ClearRanges{{i + 1, 1}}));
  }
  EXPECT_THAT(warnings_, ::testing::ElementsAre("careful"));
}

TEST_F(StationTest, MaxTakesNoTime) {
  StreamGenerator stream;
  stream.Programme(126, 25, 50);
  ASSERT_TRUE(Run(stream.bytes(), Seconds(1), {.kind = Pace::Kind::kMax}).ok());
  EXPECT_EQ(waiter_.Now(), kTestTime);
  EXPECT_EQ(broadcaster_->counters().adus, 6u);
}

TEST_F(StationTest, ARateIsKept) {
  Bytes input(100'000);
  ASSERT_TRUE(Run(input, Sized(10'000), {.kind = Pace::Kind::kRate, .bits_per_second = 80'000})
                  .ok());  // a second an ADU
  EXPECT_EQ(At(sink_.first, 9), milliseconds(9000));
}

TEST_F(StationTest, SmallAdusThatAreReadyTogetherShareASignature) {
  Bytes input(100'000);
  ASSERT_TRUE(Run(input, Sized(100)).ok());
  EXPECT_EQ(broadcaster_->counters().adus, 1000u);
  EXPECT_LE(broadcaster_->counters().signatures, 10u);
}

TEST_F(StationTest, InputThatIsNoTransportStreamIsSentUnpacedWithOneWarning) {
  Bytes input(300'000, 1);
  ASSERT_TRUE(Run(input, Seconds(1), {.kind = Pace::Kind::kProgramme}).ok());
  EXPECT_EQ(broadcaster_->counters().adus, 5u);
  EXPECT_EQ(waiter_.Now(), kTestTime);
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("64 KiB"));
}

TEST_F(StationTest, WithoutPcrProgrammePaceWarnsAndTheDefaultDoesNot) {
  Bytes input(30'000, 1);
  ASSERT_TRUE(Run(input, Sized(10'000)).ok());
  EXPECT_THAT(warnings_, SizeIs(0));
  ASSERT_TRUE(Run(input, Sized(10'000), {.kind = Pace::Kind::kProgramme}).ok());
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("PCR"));
}

TEST_F(StationTest, AStopFinishesTheAduInHandAndBeginsNoOther) {
  StreamGenerator stream;
  stream.Programme(126, 25, 50);
  waiter_.stop_at = kTestTime + milliseconds(2500);
  ASSERT_TRUE(Run(stream.bytes(), Seconds(1)).ok());
  EXPECT_EQ(broadcaster_->counters().adus, 3u);
  EXPECT_EQ(At(sink_.last, 2), milliseconds(2500));
  EXPECT_EQ(reservation_->next_id(), 3u);
}

TEST_F(StationTest, AStopSendsAllThatCameOfALiveInput) {
  LiveInput input(Bytes(25'000, 1), Bytes(8'000, 2));
  input.stop = [this] { waiter_.stop_at = waiter_.now; };
  ASSERT_TRUE(Run(input, Sized(10'000)).ok());
  EXPECT_EQ(broadcaster_->counters().plaintext_bytes, 33'000u);
  EXPECT_EQ(broadcaster_->counters().adus, 4u);
}

TEST_F(StationTest, ALiveInputsFastClockDelaysNothing) {
  // Five seconds of programme that are there at once, as from an encoder whose clock ran
  // ahead: they go out together, and not by its time.
  StreamGenerator stream;
  stream.Programme(126, 25, 50);
  LiveInput input(stream.bytes(), {});
  input.stop = [this] { waiter_.stop_at = waiter_.now; };
  ASSERT_TRUE(Run(input, Seconds(1)).ok());
  EXPECT_EQ(broadcaster_->counters().plaintext_bytes, stream.size());
  EXPECT_LE(waiter_.Now() - kTestTime, milliseconds(1500));
}

TEST_F(StationTest, AnEmptyInputSendsNothing) {
  ASSERT_TRUE(Run(Bytes(), Seconds(1)).ok());
  EXPECT_EQ(broadcaster_->counters().adus, 0u);
  EXPECT_THAT(warnings_, SizeIs(0));
}

TEST_F(StationTest, AnInputThatFailsEndsTheSender) {
  MemoryInput input(Bytes(10), 10);
  input.status = absl::InternalError("disk gone");
  EXPECT_EQ(Run(input, Sized(10)).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(broadcaster_->counters().adus, 1u);
}

TEST(PaceTest, ReadsWhatTheContractNames) {
  EXPECT_EQ(Pace::Parse("")->kind, Pace::Kind::kAuto);
  EXPECT_EQ(Pace::Parse("pcr")->kind, Pace::Kind::kProgramme);
  EXPECT_EQ(Pace::Parse("max")->kind, Pace::Kind::kMax);
  EXPECT_EQ(Pace::Parse("20M")->bits_per_second, 20'000'000u);
  for (const char* wrong : {"0", "fast", "-1", "20Q", "PCR"}) {
    EXPECT_EQ(Pace::Parse(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

// --- Recognise ---

CutRule SamplesRule() { return {.kind = CutRule::Kind::kDuration, .marking = Marking::kSamples}; }

TEST(RecogniseTest, ReadsNoMoreThanItTakes) {
  MemoryInput input(WaveGenerator{}.File(50'000), 10);
  Segmenter segmenter(SamplesRule());
  ManualWaiter waiter;
  EXPECT_TRUE(Recognise(input, segmenter, waiter).ok());
  EXPECT_EQ(segmenter.clock_source(), Segmenter::ClockSource::kByteRate);
  size_t left = 0;
  while (*input.Read([&](ByteView bytes) { left += bytes.size(); }) == Input::State::kOpen)
    continue;
  EXPECT_GT(left, 49'000u);
}

TEST(RecogniseTest, RefusesWhatCanNotBeMarked) {
  ManualWaiter waiter;
  for (const size_t size : {0, 7, 9000}) {
    MemoryInput input(Bytes(size, 'x'), 1000);
    Segmenter segmenter(SamplesRule());
    EXPECT_EQ(Recognise(input, segmenter, waiter).code(), absl::StatusCode::kInvalidArgument);
  }
  MemoryInput broken({}, 10);
  broken.status = absl::InternalError("broken");
  Segmenter segmenter(SamplesRule());
  EXPECT_EQ(Recognise(broken, segmenter, waiter).message(), "broken");
}

TEST(RecogniseTest, EndsWhereItIsToldTo) {
  MemoryInput input(WaveGenerator{}.File(500), 10);
  Segmenter segmenter(SamplesRule());
  ManualWaiter waiter;
  waiter.stop_at = waiter.now;
  EXPECT_TRUE(Recognise(input, segmenter, waiter).ok());
  EXPECT_EQ(segmenter.clock_source(), Segmenter::ClockSource::kUnknown);
}

}  // namespace
}  // namespace nark::sender
