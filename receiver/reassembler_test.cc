#include "receiver/reassembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include "common/crypto/random.h"
#include "common/wire/datagram.h"
#include "receiver/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::IsEmpty;
using testing::SizeIs;

class ReassemblerTest : public testing::Test {
 protected:
  ReassemblerTest() : session_(provider_.MakeSession()), maker_(session_) { Restart({}); }

  void Restart(const ReassemblerOptions& options) {
    reassembler_.emplace(session_.session(), 0, options);
    complete_.clear();
  }
  void Feed(const Bytes& datagram) { reassembler_->OnDatagram(datagram, now_, complete_); }
  void FeedAll(const std::vector<Bytes>& datagrams) {
    for (const Bytes& datagram : datagrams) Feed(datagram);
  }
  MadeAdu Make(uint64_t id, size_t bytes, uint16_t fragment_bytes = 1024) {
    return maker_.Make(id, maker_.Text(id, bytes), fragment_bytes);
  }
  const ReassemblerStatistics& numbers() const { return reassembler_->statistics(); }
  uint64_t Drops(Drop drop) const { return numbers().drops[static_cast<size_t>(drop)]; }
  uint64_t AllDrops() const {
    return std::accumulate(numbers().drops.begin(), numbers().drops.end(), uint64_t{0});
  }
  // Header, source fragments: the ADU without its repeats. Has no pages.
  static std::vector<Bytes> Once(const MadeAdu& adu) {
    return {adu.datagrams.begin(), adu.datagrams.begin() + 1 + adu.header.source_fragments};
  }
  void ExpectComplete(const MadeAdu& adu) {
    ASSERT_THAT(complete_, SizeIs(1));
    EXPECT_EQ(complete_[0].header.adu_id, adu.id);
    EXPECT_EQ(complete_[0].ciphertext, adu.ciphertext);
    EXPECT_EQ(complete_[0].signed_header, adu.signed_header);
  }

  TestProvider provider_;
  TestSession session_;
  AduMaker maker_;
  Timestamp now_ = kTestTime;
  std::optional<Reassembler> reassembler_;
  std::vector<CompleteAdu> complete_;
};

TEST_F(ReassemblerTest, CompletesAnAduAndCountsItsRepeats) {
  const MadeAdu adu = Make(7, 5000);
  FeedAll(adu.datagrams);
  ExpectComplete(adu);
  EXPECT_EQ(numbers().used, 1u + adu.header.source_fragments);
  EXPECT_EQ(Drops(Drop::kDuplicate), 1u);  // the repeated header
  EXPECT_EQ(reassembler_->signatures_checked(), 1u);
  EXPECT_EQ(reassembler_->assembly_bytes(), 0u);
  EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
}

TEST_F(ReassemblerTest, CompletesAnAduWhoseHeaderComesLast) {
  const MadeAdu adu = Make(7, 5000);
  for (size_t i = 1; i < adu.datagrams.size(); ++i) {
    EXPECT_THAT(complete_, IsEmpty());
    Feed(adu.datagrams[i]);
  }
  ExpectComplete(adu);
  EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
}

TEST_F(ReassemblerTest, CompletesAWholeDatagram) {
  const MadeAdu adu = maker_.MakeWhole(3, maker_.Text(3, 700));
  ASSERT_THAT(adu.datagrams, SizeIs(1));
  Feed(adu.datagrams[0]);
  ExpectComplete(adu);
  Feed(adu.datagrams[0]);
  EXPECT_EQ(Drops(Drop::kDuplicate), 1u);
}

TEST_F(ReassemblerTest, CompletesAnAduWithPagesOfHashesInAnyOrder) {
  // 512-byte fragments, 32 hashes a page: two levels of pages.
  const MadeAdu adu = Make(1, 600'000, 512);
  ASSERT_GT(adu.datagrams.size(), 2 + adu.header.source_fragments + 2 * 33u);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Restart({});
    SeededRandom random(seed);
    std::vector<Bytes> datagrams = adu.datagrams;
    for (size_t i = datagrams.size(); i > 1; --i) {
      std::swap(datagrams[i - 1], datagrams[random.Below(i)]);
    }
    FeedAll(datagrams);
    ExpectComplete(adu);
    EXPECT_EQ(numbers().datagrams, numbers().used + AllDrops());
    EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
  }
}

TEST_F(ReassemblerTest, KeepsEveryCandidateUntilTheHeaderDecides) {
  const MadeAdu adu = Make(7, 3000);
  for (uint8_t forged = 0; forged < 3; ++forged) {
    Feed(maker_.Datagram(wire::DatagramKind::kSource, 7, 0, Bytes(1024, forged)));
  }
  std::vector<Bytes> datagrams = Once(adu);
  std::rotate(datagrams.begin(), datagrams.begin() + 1, datagrams.end());
  FeedAll(datagrams);
  ExpectComplete(adu);
  EXPECT_EQ(Drops(Drop::kForged), 3u);
}

TEST_F(ReassemblerTest, BoundsTheCandidatesForOnePlace) {
  for (uint8_t forged = 0; forged < 10; ++forged) {
    Feed(maker_.Datagram(wire::DatagramKind::kSource, 7, 0, Bytes(1024, forged)));
  }
  EXPECT_EQ(Drops(Drop::kMemory), 6u);
}

TEST_F(ReassemblerTest, DropsAForgedFragmentWithoutSpoilingItsAdu) {
  const MadeAdu adu = Make(7, 3000);
  const std::vector<Bytes> datagrams = Once(adu);
  Feed(datagrams[0]);
  for (size_t i = 1; i < datagrams.size(); ++i) {
    Bytes forged = datagrams[i];
    forged.back() ^= 1;
    Feed(forged);
    EXPECT_THAT(complete_, IsEmpty());
    Feed(datagrams[i]);
  }
  ExpectComplete(adu);
  EXPECT_EQ(Drops(Drop::kForged), datagrams.size() - 1);
}

TEST_F(ReassemblerTest, DropsAForgedBodyOfAWholeDatagramButKeepsItsHeader) {
  const MadeAdu adu = maker_.MakeWhole(3, maker_.Text(3, 700));
  Bytes forged = adu.datagrams[0];
  forged.back() ^= 1;
  Feed(forged);
  EXPECT_EQ(Drops(Drop::kForged), 1u);
  EXPECT_THAT(complete_, IsEmpty());
  Feed(adu.datagrams[0]);
  ExpectComplete(adu);
  EXPECT_EQ(reassembler_->signatures_checked(), 1u);
}

TEST_F(ReassemblerTest, NamesTheReasonOfEveryDrop) {
  const MadeAdu adu = Make(7, 3000);
  const Bytes& header = adu.datagrams[0];
  Feed({});
  Feed(Bytes(header.begin(), header.begin() + wire::kPrefixBytes - 1));
  EXPECT_EQ(Drops(Drop::kShort), 2u);
  const auto with = [&](size_t offset, uint8_t flip) {
    Bytes changed = header;
    changed[offset] ^= flip;
    return changed;
  };
  Feed(with(0, 1));
  EXPECT_EQ(Drops(Drop::kMagic), 1u);
  Feed(with(2, 2));
  EXPECT_EQ(Drops(Drop::kVersion), 1u);
  Feed(with(3, 0x80));
  EXPECT_EQ(Drops(Drop::kKind), 1u);
  Feed(with(4, 1));
  EXPECT_EQ(Drops(Drop::kSession), 1u);
  Feed(with(15, 4));
  EXPECT_EQ(Drops(Drop::kSender), 1u);
  Feed(with(23, 1));
  EXPECT_EQ(Drops(Drop::kHeaderMismatch), 1u);
  Feed(with(27, 1));
  EXPECT_EQ(Drops(Drop::kKind), 2u);  // a header has no index
  Feed(maker_.Datagram(wire::DatagramKind::kHeader, 7, 0, Bytes(100, 1)));
  EXPECT_EQ(Drops(Drop::kHeaderMalformed), 1u);
  Feed(with(header.size() - 1, 1));
  EXPECT_EQ(Drops(Drop::kHeaderSignature), 1u);
  Feed(header);
  Feed(maker_.Datagram(wire::DatagramKind::kSource, 7, 99, Bytes(1024)));
  EXPECT_EQ(Drops(Drop::kIndex), 1u);
  Feed(maker_.Datagram(wire::DatagramKind::kHashes, 7, 0, Bytes(16)));
  EXPECT_EQ(Drops(Drop::kIndex), 2u);
  EXPECT_EQ(numbers().used, 1u);
  EXPECT_EQ(numbers().datagrams, numbers().used + AllDrops());
}

TEST_F(ReassemblerTest, TakesNoHeaderWithAnyBitFlipped) {
  ReassemblerOptions options;
  options.bad_headers_per_second = 1'000'000;
  Restart(options);
  const MadeAdu adu = maker_.MakeWhole(7, maker_.Text(7, 64));
  const Bytes header = maker_.Datagram(wire::DatagramKind::kHeader, 7, 0, adu.signed_header);
  for (size_t bit = 0; bit < header.size() * 8; ++bit) {
    Bytes changed = header;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Feed(changed);
  }
  EXPECT_EQ(numbers().used, 0u);
  EXPECT_EQ(reassembler_->assembly_bytes(), 0u);
  for (size_t size = 0; size < header.size(); ++size) {
    Feed(Bytes(header.begin(), header.begin() + static_cast<ptrdiff_t>(size)));
  }
  EXPECT_EQ(numbers().used, 0u);
  // Flips of kind and ADU id made datagrams that wait for a header of their own.
  reassembler_->Expire(now_ + seconds(60));
  EXPECT_EQ(numbers().datagrams, AllDrops());
  Feed(adu.datagrams[0]);
  ExpectComplete(adu);
}

TEST_F(ReassemblerTest, RefusesAHeaderOfAnotherSender) {
  SessionOptions options;
  options.senders.emplace_back(options.senders[0]).set_sender_id(2);
  const TestSession two = provider_.MakeSession(options);
  AduMaker first(two, 1);
  const MadeAdu adu = first.Make(5, first.Text(5, 2000));
  Reassembler reassembler(two.session(), 0);
  Bytes claimed = adu.datagrams[0];
  claimed[15] = 2;
  reassembler.OnDatagram(claimed, now_, complete_);
  EXPECT_EQ(reassembler.statistics().drops[static_cast<size_t>(Drop::kHeaderMismatch)], 1u);
}

TEST_F(ReassemblerTest, RefusesAnotherSessionsDatagrams) {
  const TestSession other = provider_.MakeSession();
  AduMaker maker(other);
  const MadeAdu adu = maker.Make(5, maker.Text(5, 2000));
  FeedAll(adu.datagrams);
  EXPECT_EQ(Drops(Drop::kSession), adu.datagrams.size());
}

TEST_F(ReassemblerTest, ChecksARepeatedForgedHeaderOnce) {
  Bytes forged = Make(7, 3000).datagrams[0];
  forged.back() ^= 1;
  for (int i = 0; i < 100; ++i) Feed(forged);
  EXPECT_EQ(Drops(Drop::kHeaderSignature), 100u);
  EXPECT_EQ(reassembler_->signatures_checked(), 1u);
}

TEST_F(ReassemblerTest, BoundsTheSignatureChecksOfAFlood) {
  ReassemblerOptions options;
  options.bad_headers_per_second = 50;
  Restart(options);
  const MadeAdu adu = Make(7, 3000);
  Bytes forged = adu.datagrams[0];
  const auto flood = [&] {
    for (int i = 0; i < 1000; ++i) {
      // Still a signature by its form: r and s stay small.
      StoreBig32(&forged[forged.size() - 4], LoadBig32(&forged[forged.size() - 4]) + 1);
      Feed(forged);
    }
  };
  flood();
  EXPECT_EQ(reassembler_->signatures_checked(), 50u);
  EXPECT_EQ(Drops(Drop::kHeaderRate), 950u);
  now_ += seconds(1);
  flood();
  EXPECT_EQ(reassembler_->signatures_checked(), 100u);
  now_ += seconds(1);
  FeedAll(adu.datagrams);
  ExpectComplete(adu);
}

TEST_F(ReassemblerTest, StaysWithinItsMemoryUnderAFloodAndKeepsWhatHasVerified) {
  ReassemblerOptions options;
  options.waiting_bytes = 100'000;
  Restart(options);
  const MadeAdu adu = Make(7, 20'000);
  const std::vector<Bytes> datagrams = Once(adu);
  Feed(datagrams[0]);
  SeededRandom random(5);
  for (size_t i = 1; i < datagrams.size(); ++i) {
    for (int junk = 0; junk < 500; ++junk) {
      Feed(maker_.Datagram(wire::DatagramKind::kSource, random.Below(1'000'000),
                           static_cast<uint32_t>(random.Below(100)), Bytes(1000, 0x55)));
      ASSERT_LE(reassembler_->waiting_bytes(), options.waiting_bytes);
    }
    Feed(datagrams[i]);
  }
  ExpectComplete(adu);
  EXPECT_GT(Drops(Drop::kMemory), 0u);
  reassembler_->Expire(now_ + options.patience);
  EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
  EXPECT_EQ(numbers().datagrams, numbers().used + AllDrops());
}

TEST_F(ReassemblerTest, GivesUpTheOldestVerifiedAduForAnotherVerifiedOne) {
  ReassemblerOptions options;
  options.assembly_bytes = 70'000;
  Restart(options);
  const MadeAdu first = Make(1, 30'000);
  const MadeAdu second = Make(2, 30'000);
  const MadeAdu third = Make(3, 30'000);
  Feed(first.datagrams[0]);
  Feed(second.datagrams[0]);
  now_ += seconds(1);
  Feed(first.datagrams[1]);  // makes progress, so the second is the oldest
  Feed(third.datagrams[0]);
  EXPECT_LE(reassembler_->assembly_bytes(), options.assembly_bytes);
  EXPECT_EQ(numbers().incomplete, 1u);
  Feed(second.datagrams[1]);
  EXPECT_EQ(Drops(Drop::kGivenUp), 1u);
  FeedAll(first.datagrams);
  ExpectComplete(first);
}

TEST_F(ReassemblerTest, GivesUpAfterItsPatience) {
  const MadeAdu verified = Make(1, 5000);
  Feed(verified.datagrams[0]);
  now_ += seconds(10);
  Feed(verified.datagrams[1]);
  const MadeAdu unverified = Make(2, 5000);
  Feed(unverified.datagrams[1]);
  EXPECT_EQ(reassembler_->NextDeadline(), now_ + seconds(30));
  now_ += milliseconds(29'999);
  reassembler_->Expire(now_);
  EXPECT_EQ(reassembler_->unfinished(), 1u);
  now_ += milliseconds(1);
  reassembler_->Expire(now_);
  EXPECT_EQ(reassembler_->unfinished(), 0u);
  EXPECT_EQ(numbers().incomplete, 1u);
  EXPECT_EQ(Drops(Drop::kUnverified), 1u);
  EXPECT_EQ(reassembler_->NextDeadline(), std::nullopt);
}

TEST_F(ReassemblerTest, DropsWhatIsBehindTheFloor) {
  const MadeAdu old = Make(4, 5000);
  const MadeAdu current = Make(5, 5000);
  Feed(old.datagrams[0]);
  Feed(Make(3, 5000).datagrams[1]);
  reassembler_->SetFloor(1, 5);
  EXPECT_EQ(numbers().incomplete, 1u);
  EXPECT_EQ(Drops(Drop::kBehind), 1u);
  EXPECT_EQ(reassembler_->assembly_bytes(), 0u);
  EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
  Feed(old.datagrams[1]);
  EXPECT_EQ(Drops(Drop::kBehind), 2u);
  reassembler_->SetFloor(1, 2);  // never goes back
  Feed(old.datagrams[1]);
  EXPECT_EQ(Drops(Drop::kBehind), 3u);
  FeedAll(current.datagrams);
  ExpectComplete(current);
}

TEST_F(ReassemblerTest, ForgetsTheOldestOfWhatIsDone) {
  ReassemblerOptions options;
  options.remembered = 2;
  Restart(options);
  const MadeAdu first = maker_.MakeWhole(1, maker_.Text(1, 50));
  Feed(first.datagrams[0]);
  for (uint64_t id : {2, 3}) Feed(maker_.MakeWhole(id, maker_.Text(id, 50)).datagrams[0]);
  Feed(first.datagrams[0]);
  EXPECT_THAT(complete_, SizeIs(4));
}

// Loss, duplication, reordering, corruption and forgery from a seed: everything
// that arrived whole completes, and nothing that was not sent does.
TEST_F(ReassemblerTest, CompletesExactlyWhatArrivedUnderAnyImpairment) {
  std::vector<MadeAdu> adus;
  for (uint64_t id = 0; id < 12; ++id) {
    adus.push_back(id % 3 == 0 ? maker_.MakeWhole(id, maker_.Text(id, 300 + id))
                               : Make(id, 3000 + 9000 * id, id % 2 == 0 ? 512 : 1408));
  }
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Restart({});
    SeededRandom random(seed);
    std::vector<Bytes> network;
    std::vector<bool> whole;  // by ADU: each datagram arrived at least once
    for (const MadeAdu& adu : adus) {
      size_t distinct = std::set<Bytes>(adu.datagrams.begin(), adu.datagrams.end()).size();
      std::set<Bytes> kept;
      for (const Bytes& datagram : adu.datagrams) {
        if (random.Below(200) == 0) continue;
        network.push_back(datagram);
        kept.insert(datagram);
        if (random.Below(10) == 0) network.push_back(datagram);
        if (random.Below(10) == 0) {
          Bytes corrupt = datagram;
          corrupt[random.Below(corrupt.size())] ^= static_cast<uint8_t>(1 + random.Below(255));
          network.push_back(corrupt);
        }
        if (random.Below(10) == 0) {
          Bytes cut = datagram;
          cut.resize(random.Below(cut.size()));
          network.push_back(cut);
        }
      }
      whole.push_back(kept.size() == distinct);
    }
    // Reordering within a window.
    for (size_t i = 0; i + 1 < network.size(); ++i) {
      std::swap(network[i], network[i + random.Below(std::min<size_t>(50, network.size() - i))]);
    }
    FeedAll(network);
    std::set<uint64_t> ids;
    for (const CompleteAdu& adu : complete_) {
      ASSERT_TRUE(ids.insert(adu.header.adu_id).second);
      EXPECT_EQ(adu.ciphertext, adus.at(adu.header.adu_id).ciphertext);
    }
    for (const MadeAdu& adu : adus) {
      EXPECT_TRUE(!whole[adu.id] || ids.contains(adu.id)) << "ADU " << adu.id;
    }
    reassembler_->Expire(now_ + seconds(60));
    EXPECT_EQ(numbers().datagrams, numbers().used + AllDrops());
    EXPECT_EQ(numbers().complete, ids.size());
    EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
    EXPECT_EQ(reassembler_->assembly_bytes(), 0u);
  }
}

}  // namespace
}  // namespace nark::receiver
