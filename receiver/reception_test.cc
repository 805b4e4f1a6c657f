#include "receiver/reception.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "common/object/id_codec.h"
#include "receiver/statistics.h"
#include "receiver/testing.h"
#include "securespace/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A sender, a network of which a test decides, and a receiver with a real secure
// space, all under virtual time.
class ReceptionTest : public testing::Test {
 protected:
  ReceptionTest() { Restart(0, 1'000'000); }

  // Everything anew; the receiver has bought first..last.
  void Restart(uint64_t first, uint64_t last, const ReceptionOptions& options = {}) {
    reception_.reset();
    world_.emplace();
    maker_.emplace(world_->session);
    ASSERT_TRUE(world_->Join(world_->Voucher(first, last)).ok());
    sink_ = RecordingSink();
    auto created = Reception::Create(world_->session.session(), world_->space(), sink_, options);
    ASSERT_TRUE(created.ok()) << created.status();
    reception_ = *std::move(created);
    events_.clear();
  }
  MadeAdu Make(uint64_t id, size_t bytes = 3000) {
    maker_->set_signed_time(now_);
    return maker_->Make(id, maker_->Text(id, bytes));
  }
  void Deliver(const Bytes& datagram, microseconds after) {
    events_.emplace(now_ + after, datagram);
  }
  void Send(const MadeAdu& adu) {
    for (const Bytes& datagram : adu.datagrams) Deliver(datagram, microseconds(0));
  }
  // Lets time pass: datagrams arrive, and the receiver runs when it wants to.
  void Pass(microseconds time) {
    const Timestamp end = now_ + time;
    for (;;) {
      std::optional<Timestamp> next = reception_->NextDeadline();
      if (!events_.empty() && (!next || events_.begin()->first < *next)) {
        next = events_.begin()->first;
      }
      if (!next || *next > end) break;
      now_ = std::max(now_, *next);
      while (!events_.empty() && events_.begin()->first <= now_) {
        reception_->OnDatagram(events_.begin()->second, now_);
        events_.erase(events_.begin());
      }
      ASSERT_TRUE(reception_->Advance(now_).ok());
    }
    now_ = end;
  }
  std::vector<uint64_t> Released() {
    std::vector<uint64_t> ids;
    auto note = world_->Note();
    EXPECT_TRUE(note.ok()) << note.status();
    for (const v1::SenderReceipts& sender : note->receipts()) {
      const auto delivered = UnpackIds(AsBytes(sender.delivered()));
      EXPECT_TRUE(delivered.ok()) << delivered.status();
      for (const auto& [first, last] : delivered->ranges()) {
        for (uint64_t id = first; id <= last; ++id) ids.push_back(id);
      }
    }
    return ids;
  }
  Bytes Texts(const std::vector<uint64_t>& ids, size_t bytes = 3000) const {
    Bytes all;
    for (uint64_t id : ids) {
      const Bytes text = maker_->Text(id, bytes);
      all.insert(all.end(), text.begin(), text.end());
    }
    return all;
  }

  std::optional<securespace::TestWorld> world_;
  std::optional<AduMaker> maker_;
  Timestamp now_ = kTestTime;
  RecordingSink sink_;
  std::unique_ptr<Reception> reception_;
  std::multimap<Timestamp, Bytes> events_;
};

TEST_F(ReceptionTest, WritesWhatWasSent) {
  for (uint64_t id = 0; id < 5; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  EXPECT_THAT(sink_.ids, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(sink_.written, Texts({0, 1, 2, 3, 4}));
  EXPECT_EQ(Released(), sink_.ids);
}

TEST_F(ReceptionTest, JoinsLateAtAnyAdu) {
  for (uint64_t id = 999'990; id < 999'995; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  EXPECT_EQ(sink_.ids.front(), 999'990u);
  EXPECT_EQ(sink_.ids.size(), 5u);
  EXPECT_EQ(reception_->adus().missing, 0u);
}

TEST_F(ReceptionTest, WritesOnlyWhatWasBought) {
  Restart(3, 5);
  for (uint64_t id = 0; id < 8; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  EXPECT_THAT(sink_.ids, ElementsAre(3, 4, 5));
  EXPECT_EQ(reception_->adus().refused.at(v1::REFUSAL_REASON_RANGE), 5u);
}

TEST_F(ReceptionTest, SurvivesARestartOfTheSenderAndAMinuteOfSilence) {
  for (uint64_t id = 0; id < 3; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  // It dies in the middle of ADU 3 and comes back behind its reservation.
  const MadeAdu cut = Make(3);
  Deliver(cut.datagrams[0], microseconds(0));
  Deliver(cut.datagrams[1], microseconds(0));
  Pass(minutes(1));
  for (uint64_t id = 1024; id < 1027; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  EXPECT_THAT(sink_.ids, ElementsAre(0, 1, 2, 1024, 1025, 1026));
  EXPECT_EQ(Statistics::Of(*reception_).incomplete, 1u);
  EXPECT_EQ(Released(), sink_.ids);
}

TEST_F(ReceptionTest, HoldsEverythingUntilItMayAsk) {
  for (uint64_t id = 0; id < 3; ++id) {
    for (const Bytes& datagram : Make(id).datagrams) reception_->OnDatagram(datagram, now_);
    reception_->Hold(now_);
    now_ += seconds(1);
  }
  EXPECT_THAT(Released(), IsEmpty());
  ASSERT_TRUE(reception_->Advance(now_).ok());
  EXPECT_THAT(sink_.ids, ElementsAre(0, 1, 2));
}

TEST_F(ReceptionTest, FlushesWhatIsComplete) {
  Send(Make(10));
  Send(Make(12));
  Pass(milliseconds(100));
  EXPECT_THAT(sink_.ids, IsEmpty());
  ASSERT_TRUE(reception_->Flush(now_).ok());
  EXPECT_THAT(sink_.ids, ElementsAre(10, 12));
}

// A datagram like a header, of the real stream, with any time.
Bytes ForgedHeader(const AduMaker& maker, uint64_t id, uint64_t time_us) {
  Bytes payload(34);
  StoreBig64(&payload[26], time_us);
  return maker.Datagram(wire::DatagramKind::kHeader, id, 0, payload);
}

TEST_F(ReceptionTest, PlaysTheRangeThatVerifiedHeadersTell) {
  const auto time = static_cast<uint64_t>(kTestTime.time_since_epoch().count());
  for (const bool from_beginning : {false, true}) {
    ReceptionOptions options;
    options.range.from_time_us = 2'000'000;
    options.range.to_time_us = 4'000'000;
    options.range.origin = net::PlayRange::Origin::kBeginning;
    if (!from_beginning) options.range = options.range.CountedFrom(time);
    for (const uint64_t forged : {uint64_t{0}, time, uint64_t{1} << 63, UINT64_MAX}) {
      SCOPED_TRACE(testing::Message() << forged << ' ' << from_beginning);
      Restart(0, 1'000'000, options);
      now_ = kTestTime;
      for (uint64_t id = 0; id < 7; ++id) {
        // Before, and of an ADU that has not come yet.
        reception_->OnDatagram(ForgedHeader(*maker_, 0, forged), now_);
        reception_->OnDatagram(ForgedHeader(*maker_, id + 1, forged), now_);
        Send(Make(id));
        Pass(seconds(1));
      }
      EXPECT_THAT(sink_.ids, ElementsAre(2, 3, 4));
      EXPECT_THAT(Released(), ElementsAre(2, 3, 4));
      EXPECT_EQ(reception_->beginning_us(), time);
      const ReassemblerStatistics numbers = reception_->datagrams();
      EXPECT_GT(numbers.drops[static_cast<size_t>(Drop::kRange)], 4u);
      EXPECT_EQ(Statistics::Of(*reception_).incomplete, 0u);
    }
  }
}

TEST_F(ReceptionTest, PlaysARangeOfIds) {
  ReceptionOptions options;
  options.range.from_adu = 3;
  options.range.to_adu = 4;
  Restart(0, 1'000'000, options);
  for (uint64_t id = 0; id < 7; ++id) {
    Send(Make(id));
    Pass(seconds(1));
  }
  EXPECT_THAT(Released(), ElementsAre(3, 4));
}

TEST_F(ReceptionTest, AsksNoKeyForAnAduThatWasDamagedOnTheWay) {
  for (uint64_t id = 0; id < 3; ++id) {
    const MadeAdu adu = Make(id);
    for (Bytes datagram : adu.datagrams) {
      if (id == 1 && datagram[3] == static_cast<uint8_t>(wire::DatagramKind::kSource)) {
        datagram.back() ^= 1;
      }
      Deliver(datagram, microseconds(0));
    }
    Pass(seconds(1));
  }
  EXPECT_THAT(sink_.ids, ElementsAre(0, 2));
  EXPECT_THAT(Released(), ElementsAre(0, 2));
}

TEST_F(ReceptionTest, ReportsNumbersThatAddUp) {
  for (uint64_t id : {0, 1, 3}) {
    Send(Make(id));
    Pass(seconds(1));
  }
  const Statistics statistics = Statistics::Of(*reception_);
  EXPECT_THAT(statistics.ToJson(), testing::HasSubstr("\"received\":3,\"delivered\":3"));
  EXPECT_THAT(statistics.ToJson(), testing::HasSubstr("\"missing\":1"));
  EXPECT_THAT(statistics.ToText(), testing::HasSubstr("received 3, delivered 3 (9000 bytes)"));
}

// Loss, duplication, reordering and corruption from a seed, over a live stream.
// What is written is in order, whole, within the delay, and exactly what the secure
// space has released: nothing is billed that was not written.
TEST_F(ReceptionTest, WritesExactlyWhatItWasReleasedUnderAnyImpairment) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Restart(0, 1'000'000);
    SeededRandom random(seed);
    const uint64_t first = random.Below(1000);
    const uint64_t loss = 1 + random.Below(20);  // per mille
    for (uint64_t id = first; id < first + 20; ++id) {
      const MadeAdu adu = Make(id, 3000 + 100 * (id % 7));
      for (const Bytes& datagram : adu.datagrams) {
        if (random.Below(1000) < loss) continue;
        Deliver(datagram, milliseconds(random.Below(400)));
        if (random.Below(20) == 0) Deliver(datagram, milliseconds(random.Below(2000)));
        if (random.Below(20) != 0) continue;
        Bytes corrupt = datagram;
        corrupt[random.Below(corrupt.size())] ^= static_cast<uint8_t>(1 + random.Below(255));
        Deliver(corrupt, milliseconds(random.Below(400)));
      }
      Pass(milliseconds(100));
    }
    Pass(seconds(5));
    EXPECT_TRUE(std::is_sorted(sink_.ids.begin(), sink_.ids.end()));
    EXPECT_EQ(std::set<uint64_t>(sink_.ids.begin(), sink_.ids.end()).size(), sink_.ids.size());
    EXPECT_EQ(Released(), sink_.ids);
    Bytes expected;
    for (uint64_t id : sink_.ids) {
      const Bytes text = maker_->Text(id, 3000 + 100 * (id % 7));
      expected.insert(expected.end(), text.begin(), text.end());
    }
    EXPECT_EQ(sink_.written, expected);
    EXPECT_FALSE(sink_.ids.empty());
    const PlayOutStatistics numbers = reception_->adus();
    EXPECT_EQ(numbers.received, numbers.delivered + numbers.behind + numbers.repeated);
    EXPECT_EQ(numbers.damaged, 0u);
  }
}

}  // namespace
}  // namespace nark::receiver
