#include "receiver/driver.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/status.h"
#include "receiver/grant_wait.h"
#include "receiver/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;

// A file whose calls hand over what a test says: some datagrams each, or none.
class FakeFile final : public net::Recording {
 public:
  absl::StatusOr<size_t> Receive(size_t, absl::FunctionRef<void(ByteView)> consume) override {
    if (calls.empty()) return 0;
    const std::vector<Bytes> datagrams = std::move(calls.front());
    calls.pop_front();
    for (const Bytes& datagram : datagrams) consume(datagram);
    return datagrams.size();
  }
  int descriptor() const override { return -1; }
  bool more() const override { return !exhausted(); }
  bool exhausted() const override { return calls.empty(); }
  absl::Status SetBeginning(uint64_t) override { return absl::OkStatus(); }
  bool in_order() const override { return undamaged; }

  std::deque<std::vector<Bytes>> calls;
  bool undamaged = true;
};

class DriverTest : public testing::Test {
 protected:
  DriverTest() { Restart({}); }
  void Restart(const ReceptionOptions& options) {
    auto created = Reception::CreatePreview(session_.session(), sink_, options);
    EXPECT_TRUE(created.ok()) << created.status();
    reception_ = *std::move(created);
    driver_.emplace(std::vector<net::DatagramSource*>{&file_}, *reception_, outputs_, clock_);
  }
  Driver::Source Turn() {
    const auto turn = driver_->Turn({}, microseconds(0));
    EXPECT_TRUE(turn.ok()) << turn.status();
    return turn.value_or(Driver::Source::kEnded);
  }

  TestProvider provider_;
  TestSession session_ = provider_.MakeSession();
  RecordingSink sink_;
  OutputSet outputs_;
  SystemClock clock_;
  FakeFile file_;
  std::unique_ptr<Reception> reception_;
  std::optional<Driver> driver_;
};

// A file is looked through in pieces; one that held nothing is not its end.
TEST_F(DriverTest, AFileEndsOnlyWhenItIsExhausted) {
  const Bytes junk(100, 7);
  file_.calls = {{}, {}, {junk}, {}};
  driver_->StartPlaying();
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_EQ(Turn(), Driver::Source::kEnded);
  EXPECT_EQ(reception_->datagrams().datagrams, 1u);
}

// What wants a newer grant waits for it, and so does the file, to its last ADU.
TEST_F(DriverTest, AFileWaitsForANewerGrant) {
  AduMaker maker(session_);
  RecordingSpace space(session_, maker);
  auto created = Reception::Create(session_.session(), space, sink_);
  ASSERT_TRUE(created.ok()) << created.status();
  reception_ = *std::move(created);
  driver_.emplace(std::vector<net::DatagramSource*>{&file_}, *reception_, outputs_, clock_);
  EXPECT_TRUE(driver_->plays_files());
  reception_->SetLapsed(PlayOut::Lapsed::kKeep);
  driver_->StartPlaying();
  // 9 waits for those before it, which never come, until the file ends.
  for (const uint64_t id : {0, 1, 2, 9}) {
    file_.calls.push_back(maker.Make(id, maker.Text(id, 3000)).datagrams);
    space.refuse[id] = v1::REFUSAL_REASON_LEASE;
  }
  space.refuse.erase(0);
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_TRUE(driver_->waits_for_grant());
  const size_t calls = space.calls.size(), left = file_.calls.size();
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  EXPECT_EQ(space.calls.size(), calls);
  EXPECT_EQ(file_.calls.size(), left);

  space.refuse.erase(1);
  space.refuse.erase(2);
  driver_->AskAgain();
  for (int turn = 0; turn < 9 && reception_->kept() + file_.calls.size() > 0; ++turn) {
    EXPECT_EQ(Turn(), Driver::Source::kOpen);
    if (file_.calls.empty()) break;
  }
  EXPECT_TRUE(driver_->waits_for_grant());
  EXPECT_EQ(Turn(), Driver::Source::kOpen);
  space.refuse.clear();
  driver_->AskAgain();
  EXPECT_EQ(Turn(), Driver::Source::kEnded);
  EXPECT_EQ(sink_.ids, (std::vector<uint64_t>{0, 1, 2, 9}));
}

// A renewal that comes to nothing, or helps nothing: the rest is played without those ADUs.
TEST_F(DriverTest, AFileGoesOnWhereNoNewerGrantHelps) {
  AduMaker maker(session_);
  RecordingSpace space(session_, maker);
  for (const bool reached : {false, true}) {
    SCOPED_TRACE(reached);
    sink_.ids.clear();
    auto created = Reception::Create(session_.session(), space, sink_);
    ASSERT_TRUE(created.ok()) << created.status();
    reception_ = *std::move(created);
    driver_.emplace(std::vector<net::DatagramSource*>{&file_}, *reception_, outputs_, clock_);
    GrantWait wait(*driver_, *reception_);
    driver_->StartPlaying();
    wait.Begin();
    for (const uint64_t id : {0, 1, 2, 3}) {
      file_.calls.push_back(maker.Make(id, maker.Text(id, 3000)).datagrams);
    }
    space.refuse = {{1, v1::REFUSAL_REASON_LEASE}, {2, v1::REFUSAL_REASON_CONTACT}};
    for (int turn = 0; turn < 5; ++turn) {
      EXPECT_EQ(Turn(), Driver::Source::kOpen);
      wait.AfterTurn();
    }
    EXPECT_TRUE(driver_->waits_for_grant());
    EXPECT_TRUE(wait.LeftOut().ok());
    wait.OnRenewed(reached ? absl::OkStatus() : absl::UnavailableError("nobody is there"));
    for (int turn = 0; turn < 9 && Turn() == Driver::Source::kOpen; ++turn) wait.AfterTurn();
    EXPECT_EQ(sink_.ids, (std::vector<uint64_t>{0, 3}));
    EXPECT_EQ(reception_->kept(), 0u);
    const absl::Status left_out = wait.LeftOut();
    // Those that nobody would release are refused as for any reason.
    EXPECT_EQ(left_out.ok(), reached) << left_out;
    if (reached) continue;
    EXPECT_TRUE(IsRemote(left_out));
    EXPECT_NE(left_out.message().find("the keys of 2 ADUs"), absl::string_view::npos) << left_out;
    EXPECT_NE(left_out.message().find("nobody is there"), absl::string_view::npos) << left_out;
  }
}

// Two ADUs in one burst: headers before all fragments, and behind them again.
std::vector<Bytes> Burst(const MadeAdu& one, const MadeAdu& two) {
  std::vector<Bytes> burst = {one.datagrams.front(), two.datagrams.front()};
  for (const MadeAdu* adu : {&one, &two}) {
    burst.insert(burst.end(), adu->datagrams.begin() + 1, adu->datagrams.end());
  }
  return burst;
}

// Where what comes is in order, and every stream of the session is behind the end.
TEST_F(DriverTest, ARangeEndsWithIt) {
  AduMaker maker(session_);
  std::vector<MadeAdu> adus;
  for (uint64_t id = 0; id < 8; ++id) adus.push_back(maker.Make(id, maker.Text(id, 3000)));
  ReceptionOptions options;
  options.range.to_adu = 2;
  for (const bool undamaged : {true, false}) {
    sink_.ids.clear();
    Restart(options);
    file_.undamaged = undamaged;
    file_.calls.clear();
    // One datagram a call: what is behind the end comes before the end is complete.
    for (size_t i = 0; i < adus.size(); i += 2) {
      for (const Bytes& datagram : Burst(adus[i], adus[i + 1])) file_.calls.push_back({datagram});
    }
    driver_->StartPlaying();
    size_t turns = 1;
    while (Turn() == Driver::Source::kOpen) ++turns;
    ASSERT_TRUE(driver_->Finish(std::chrono::seconds(1)).ok());
    EXPECT_EQ(sink_.ids, (std::vector<uint64_t>{0, 1, 2}));
    if (undamaged) {
      EXPECT_GT(file_.calls.size(), 10u);
    } else {
      EXPECT_EQ(file_.calls.size(), 0u);
    }
  }
}

}  // namespace
}  // namespace nark::receiver
