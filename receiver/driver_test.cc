#include "receiver/driver.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

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

  std::deque<std::vector<Bytes>> calls;
};

class DriverTest : public testing::Test {
 protected:
  DriverTest() {
    auto created = Reception::CreatePreview(session_.session(), outputs_);
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

}  // namespace
}  // namespace nark::receiver
