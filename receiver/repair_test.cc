// ADUs with parity: what completes, what waits, what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/random.h"
#include "common/fec/spread.h"
#include "common/wire/datagram.h"
#include "receiver/reassembler.h"
#include "receiver/testing.h"

namespace nark::receiver {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using wire::DatagramKind;

class RepairTest : public testing::Test {
 protected:
  RepairTest() : session_(provider_.MakeSession()), maker_(session_) { Restart(); }

  void Restart(const ReassemblerOptions& options = {}) {
    reassembler_.emplace(session_.session(), 0, options);
    complete_.clear();
  }
  void Feed(const Bytes& datagram) { reassembler_->OnDatagram(datagram, kTestTime, complete_); }
  void FeedAll(const std::vector<Bytes>& datagrams) {
    for (const Bytes& datagram : datagrams) Feed(datagram);
  }
  // `source` fragments, the last one short, and `parity`.
  MadeAdu Make(uint64_t id, size_t source, uint16_t parity, uint16_t fragment_bytes = 512) {
    const size_t bytes = (source - 1) * fragment_bytes + 7;
    return maker_.Make(id, maker_.Text(id, bytes), fragment_bytes, parity);
  }
  static std::vector<Bytes> OfKind(const MadeAdu& adu, std::set<DatagramKind> kinds) {
    std::vector<Bytes> found;
    std::set<Bytes> seen;
    for (const Bytes& one : adu.datagrams) {
      if (!kinds.contains(wire::ParseDatagram(one).prefix.kind)) continue;
      if (seen.insert(one).second) found.push_back(one);
    }
    return found;
  }
  static std::vector<Bytes> Heads(const MadeAdu& adu) {
    return OfKind(adu, {DatagramKind::kHeader, DatagramKind::kHashes});
  }
  static std::vector<Bytes> Source(const MadeAdu& adu) {
    return OfKind(adu, {DatagramKind::kSource});
  }
  static std::vector<Bytes> Parity(const MadeAdu& adu) {
    return OfKind(adu, {DatagramKind::kParity});
  }
  void Shuffle(std::vector<Bytes>& datagrams, SeededRandom& random) {
    for (size_t i = datagrams.size(); i > 1; --i) {
      std::swap(datagrams[i - 1], datagrams[random.Below(i)]);
    }
  }
  // As many fragments of each block as it has source fragments, less `short_by` in the last.
  std::vector<Bytes> JustEnough(const MadeAdu& adu, SeededRandom& random, size_t short_by) {
    const fec::Spread spread(adu.header.source_fragments, adu.header.parity_fragments);
    std::vector<std::vector<Bytes>> blocks(spread.blocks());
    const std::vector<Bytes> source = Source(adu), parity = Parity(adu);
    for (uint32_t i = 0; i < source.size(); ++i) blocks[spread.BlockOf(i)].push_back(source[i]);
    for (uint32_t i = 0; i < parity.size(); ++i) blocks[spread.BlockOf(i)].push_back(parity[i]);
    std::vector<Bytes> chosen;
    for (uint32_t block = 0; block < spread.blocks(); ++block) {
      Shuffle(blocks[block], random);
      blocks[block].resize(spread.source_of(block) - (block + 1 == spread.blocks() ? short_by : 0));
      chosen.insert(chosen.end(), blocks[block].begin(), blocks[block].end());
    }
    Shuffle(chosen, random);
    return chosen;
  }
  const ReassemblerStatistics& numbers() const { return reassembler_->statistics(); }
  uint64_t Drops(Drop drop) const { return numbers().drops[static_cast<size_t>(drop)]; }
  void ExpectComplete(const MadeAdu& adu) {
    ASSERT_THAT(complete_, SizeIs(1));
    EXPECT_EQ(complete_[0].ciphertext, adu.ciphertext);
    EXPECT_EQ(complete_[0].signed_header, adu.signed_header);
  }
  void ExpectNothingLeft() {
    reassembler_->Expire(kTestTime + std::chrono::seconds(60));
    const uint64_t drops =
        std::accumulate(numbers().drops.begin(), numbers().drops.end(), uint64_t{0});
    EXPECT_EQ(numbers().datagrams, numbers().used + drops);
    EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
    EXPECT_EQ(reassembler_->assembly_bytes(), 0u);
  }

  TestProvider provider_;
  TestSession session_;
  AduMaker maker_;
  std::optional<Reassembler> reassembler_;
  std::vector<CompleteAdu> complete_;
};

TEST_F(RepairTest, AsManyFragmentsAsEachBlockHasOfTheSourceAreEnoughAndOneFewerIsNot) {
  uint64_t id = 0;
  for (const auto& [source, parity] : std::vector<std::pair<size_t, uint16_t>>{
           {1, 1}, {2, 1}, {12, 3}, {40, 8}, {213, 43}, {300, 60}, {700, 140}}) {
    const MadeAdu adu = Make(++id, source, parity);
    ASSERT_EQ(adu.header.source_fragments, source);
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      SCOPED_TRACE(testing::Message() << source << " and " << parity << ", seed " << seed);
      SeededRandom random(seed);
      Restart();
      std::vector<Bytes> datagrams = Heads(adu);
      const std::vector<Bytes> enough = JustEnough(adu, random, 0);
      datagrams.insert(datagrams.end(), enough.begin(), enough.end());
      Shuffle(datagrams, random);
      for (size_t i = 0; i + 1 < datagrams.size(); ++i) {
        Feed(datagrams[i]);
        ASSERT_THAT(complete_, IsEmpty()) << i << " of " << datagrams.size();
      }
      Feed(datagrams.back());
      ExpectComplete(adu);
      EXPECT_EQ(numbers().used, datagrams.size());
      EXPECT_EQ(numbers().wrong_parity, 0u);
      ExpectNothingLeft();

      Restart();
      FeedAll(Heads(adu));
      FeedAll(JustEnough(adu, random, 1));
      EXPECT_THAT(complete_, IsEmpty());
      ExpectNothingLeft();
      EXPECT_EQ(numbers().incomplete, 1u);
    }
  }
}

TEST_F(RepairTest, CountsWhatItRepaired) {
  const MadeAdu adu = Make(1, 12, 3);
  std::vector<Bytes> source = Source(adu);
  source.erase(source.begin() + 2, source.begin() + 4);
  FeedAll(Heads(adu));
  FeedAll(source);
  FeedAll(Parity(adu));
  ExpectComplete(adu);
  EXPECT_EQ(numbers().repaired, 1u);
  EXPECT_EQ(numbers().repaired_fragments, 2u);
  EXPECT_EQ(numbers().used, 1u + 10u + 2u);
  EXPECT_EQ(Drops(Drop::kParity), 1u) << "the third parity fragment came too late to matter";
}

TEST_F(RepairTest, ParityThatNobodyNeedsIsCountedAsThat) {
  const MadeAdu adu = Make(1, 12, 3);
  FeedAll(adu.datagrams);
  ExpectComplete(adu);
  EXPECT_EQ(Drops(Drop::kParity), 3u);
  EXPECT_EQ(numbers().repaired, 0u);
  // Where the header comes last, source fragments that wait count before parity.
  Restart();
  std::vector<Bytes> backwards = OfKind(adu, {DatagramKind::kSource, DatagramKind::kParity});
  std::reverse(backwards.begin(), backwards.end());
  FeedAll(backwards);
  FeedAll(Heads(adu));
  ExpectComplete(adu);
  EXPECT_EQ(Drops(Drop::kParity), 3u);
  EXPECT_EQ(numbers().repaired_fragments, 0u);
  ExpectNothingLeft();
}

TEST_F(RepairTest, AForgedFragmentNeverPoisonsABlock) {
  const MadeAdu adu = Make(1, 12, 4);
  const std::vector<Bytes> parity = Parity(adu), source = Source(adu);
  // Before the header, and after it, in every place, every bit of one.
  const auto forged = [](Bytes datagram, size_t bit) {
    datagram[wire::kPrefixBytes + bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    return datagram;
  };
  for (const Bytes& one : parity) Feed(forged(one, 77));
  FeedAll(Heads(adu));
  EXPECT_EQ(Drops(Drop::kForged), parity.size());
  for (size_t bit = 0; bit < 8 * (parity[0].size() - wire::kPrefixBytes); ++bit) {
    Feed(forged(parity[0], bit));
  }
  for (size_t size = wire::kPrefixBytes; size < parity[0].size(); ++size) {
    Feed(Bytes(parity[0].begin(), parity[0].begin() + static_cast<ptrdiff_t>(size)));
  }
  EXPECT_EQ(numbers().used, 1u) << "the header alone";
  for (const Bytes& one : source) Feed(forged(one, 5));
  FeedAll({source.begin() + 4, source.end()});
  EXPECT_THAT(complete_, IsEmpty());
  FeedAll(parity);
  ExpectComplete(adu);
  EXPECT_EQ(numbers().repaired_fragments, 4u);
  EXPECT_EQ(numbers().wrong_parity, 0u);
}

TEST_F(RepairTest, KeepsEveryCandidateOfAParityFragmentUntilTheHeaderDecides) {
  const MadeAdu adu = Make(1, 6, 2);
  const std::vector<Bytes> source = Source(adu);
  for (uint32_t i = 6; i < 8; ++i) {
    for (uint8_t fill = 0; fill < 3; ++fill) {
      Feed(maker_.Datagram(DatagramKind::kParity, 1, i, Bytes(512, fill)));
    }
  }
  FeedAll(Parity(adu));
  FeedAll({source.begin() + 2, source.end()});
  FeedAll(Heads(adu));
  ExpectComplete(adu);
  EXPECT_EQ(Drops(Drop::kForged), 6u);
}

TEST_F(RepairTest, SourceAndParityDoNotStandForEachOther) {
  const MadeAdu adu = Make(1, 12, 3);
  FeedAll(Heads(adu));
  for (const Bytes& one : OfKind(adu, {DatagramKind::kSource, DatagramKind::kParity})) {
    Bytes other = one;
    other[3] ^=
        static_cast<uint8_t>(DatagramKind::kSource) ^ static_cast<uint8_t>(DatagramKind::kParity);
    Feed(other);
  }
  Feed(maker_.Datagram(DatagramKind::kParity, 1, 15, Bytes(512)));
  Feed(maker_.Datagram(DatagramKind::kParity, 1, 0xffffffff, Bytes(512)));
  EXPECT_EQ(Drops(Drop::kIndex), 17u);
  EXPECT_THAT(complete_, IsEmpty());
}

// A page is the only proof of what parity gave: until it is there, the ADU waits.
TEST_F(RepairTest, RebuiltFragmentsWaitForTheirPage) {
  const MadeAdu adu = Make(1, 100, 40);
  const std::vector<Bytes> pages = OfKind(adu, {DatagramKind::kHashes});
  ASSERT_THAT(pages, SizeIs(5));  // of 32 hashes each
  const std::vector<Bytes> source = Source(adu);
  FeedAll(OfKind(adu, {DatagramKind::kHeader}));
  FeedAll({pages.begin() + 1, pages.end()});
  FeedAll(Parity(adu));
  FeedAll({source.begin() + 32, source.end()});
  EXPECT_THAT(complete_, IsEmpty());
  Feed(pages[0]);
  ExpectComplete(adu);
  EXPECT_EQ(numbers().repaired_fragments, 32u);
  ExpectNothingLeft();
}

TEST_F(RepairTest, ParityWaitsForItsPage) {
  const MadeAdu adu = Make(1, 100, 20);
  const std::vector<Bytes> pages = OfKind(adu, {DatagramKind::kHashes});
  const std::vector<Bytes> source = Source(adu);
  FeedAll(OfKind(adu, {DatagramKind::kHeader}));
  FeedAll({pages.begin(), pages.end() - 1});  // the last one has the parity's
  FeedAll({source.begin() + 10, source.end()});
  FeedAll(Parity(adu));
  EXPECT_THAT(complete_, IsEmpty());
  EXPECT_GT(reassembler_->waiting_bytes(), 0u);
  Feed(pages.back());
  ExpectComplete(adu);
  EXPECT_EQ(reassembler_->waiting_bytes(), 0u);
}

// Its sender signed it, so nobody else can be blamed; the source still counts.
TEST_F(RepairTest, SignedParityThatIsWrongCompletesNothing) {
  const MadeAdu adu = maker_.MakeWithWrongParity(1, maker_.Text(1, 12 * 1024), 4);
  const std::vector<Bytes> source = Source(adu), parity = Parity(adu);
  FeedAll(Heads(adu));
  FeedAll({source.begin() + 2, source.end()});
  FeedAll(parity);
  EXPECT_THAT(complete_, IsEmpty());
  EXPECT_EQ(Drops(Drop::kParity), 2u) << "none is kept once the block's is known to be wrong";
  Feed(source[1]);
  EXPECT_THAT(complete_, IsEmpty());
  Feed(source[0]);
  ExpectComplete(adu);
  EXPECT_EQ(numbers().wrong_parity, 1u);
  EXPECT_EQ(numbers().repaired_fragments, 0u);
  ExpectNothingLeft();
}

TEST_F(RepairTest, MemoryForParityIsAccountedBeforeItIsTaken) {
  const MadeAdu plain = Make(1, 50, 0), coded = Make(2, 50, 50);
  Feed(plain.datagrams[0]);
  const size_t without = reassembler_->assembly_bytes();
  Restart();
  Feed(coded.datagrams[0]);
  const size_t with = reassembler_->assembly_bytes();
  EXPECT_GE(with, without + 50 * 512);
  FeedAll(Heads(coded));
  FeedAll(Parity(coded));
  EXPECT_THAT(complete_, SizeIs(1)) << "the parity alone is enough";
  Restart({.assembly_bytes = with - 1});
  Feed(coded.datagrams[0]);
  EXPECT_EQ(Drops(Drop::kMemory), 1u);
}

// Loss, duplication, reordering, corruption from a seed: exactly the ADUs of which the header
// and enough of each block came complete.
TEST_F(RepairTest, CompletesExactlyWhatCanBeUnderAnyImpairment) {
  std::vector<MadeAdu> adus;
  for (uint64_t id = 0; id < 14; ++id) {
    adus.push_back(Make(id, 1 + 2 * id, static_cast<uint16_t>(1 + id / 2), 1408));
  }
  size_t whole = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Restart();
    SeededRandom random(seed);
    std::vector<Bytes> network;
    std::set<uint64_t> expected;
    for (const MadeAdu& adu : adus) {
      size_t fragments = 0;
      bool header = false;
      for (const Bytes& datagram : adu.datagrams) {
        if (random.Below(100) < 15) {
          Bytes corrupt = datagram;
          corrupt[wire::kPrefixBytes + random.Below(corrupt.size() - wire::kPrefixBytes)] ^= 1;
          if (random.Below(2) == 0) network.push_back(corrupt);
          continue;
        }
        const bool is_header = wire::ParseDatagram(datagram).prefix.kind == DatagramKind::kHeader;
        header = header || is_header;
        fragments += is_header ? 0 : 1;
        network.push_back(datagram);
        if (random.Below(10) == 0) network.push_back(datagram);
      }
      if (header && fragments >= adu.header.source_fragments) expected.insert(adu.id);
    }
    for (size_t i = 0; i + 1 < network.size(); ++i) {
      std::swap(network[i], network[i + random.Below(std::min<size_t>(40, network.size() - i))]);
    }
    FeedAll(network);
    std::set<uint64_t> ids;
    for (const CompleteAdu& adu : complete_) {
      ASSERT_TRUE(ids.insert(adu.header.adu_id).second);
      EXPECT_EQ(adu.ciphertext, adus.at(adu.header.adu_id).ciphertext);
    }
    EXPECT_EQ(ids, expected);
    whole += expected.size();
    ExpectNothingLeft();
  }
  EXPECT_GT(whole, 60u * 5) << "the test must not pass on nothing";
  EXPECT_LT(whole, 60u * 14);
}

}  // namespace
}  // namespace nark::receiver
