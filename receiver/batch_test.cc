// Batches of headers under one signature, as a receiver meets them: each stands alone, and
// nothing put together from several does.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "common/wire/datagram.h"
#include "common/wire/testing.h"
#include "receiver/reassembler.h"
#include "receiver/testing.h"

namespace nark::receiver {
namespace {

constexpr size_t kCount = 6;

SessionOptions TwoSenders() {
  SessionOptions options;
  options.senders.emplace_back(options.senders[0]).set_sender_id(2);
  return options;
}

class BatchTest : public testing::Test {
 protected:
  BatchTest() : session_(provider_.MakeSession(TwoSenders())), maker_(session_) { Restart(); }

  void Restart() {
    ReassemblerOptions options;
    options.bad_headers_per_second = 1'000'000;
    reassembler_.emplace(session_.session(), 0, options);
    complete_.clear();
  }
  void Feed(const Bytes& datagram) { reassembler_->OnDatagram(datagram, kTestTime, complete_); }
  void FeedAll(const MadeAdu& adu) {
    for (const Bytes& one : adu.datagrams) Feed(one);
  }
  static std::vector<Bytes> HeadersOf(const std::vector<MadeAdu>& adus) {
    std::vector<Bytes> headers;
    for (const MadeAdu& adu : adus) headers.push_back(adu.signed_header);
    return headers;
  }
  // In a datagram that names the ADU, sender and session that the header itself does, so that
  // nothing but its authentication is wrong.
  static Bytes InDatagram(const Bytes& signed_header) {
    Bytes datagram(wire::kPrefixBytes);
    const uint8_t* header = signed_header.data() + 2;
    wire::WritePrefix({wire::DatagramKind::kHeader, LoadBig64(header + 4), LoadBig32(header + 12),
                       LoadBig64(header + 16), 0},
                      datagram.data());
    datagram.insert(datagram.end(), signed_header.begin(), signed_header.end());
    return datagram;
  }
  uint64_t Drops(Drop drop) const {
    return reassembler_->statistics().drops[static_cast<size_t>(drop)];
  }

  // Both batches have come and been believed where they belong; none of their splices is.
  void ExpectNoSpliceTaken(const std::vector<MadeAdu>& batch, const std::vector<MadeAdu>& other) {
    for (const auto& [one, two] : {std::pair(&batch, &other), std::pair(&other, &batch)}) {
      Restart();
      // The verifier remembers what is genuine, under ids that are not asked for again.
      for (const MadeAdu& adu : *one) Feed(InDatagram(adu.signed_header));
      const uint64_t genuine = reassembler_->statistics().used;
      const size_t held = reassembler_->unfinished();
      const std::vector<wire::Splice> splices = wire::SplicesOf(HeadersOf(*one), HeadersOf(*two));
      ASSERT_GT(splices.size(), kCount * 10);
      for (const wire::Splice& splice : splices) {
        Feed(InDatagram(splice.signed_header));
        ASSERT_EQ(reassembler_->statistics().used, genuine) << splice.name;
      }
      EXPECT_EQ(reassembler_->unfinished(), held);
      // The same, to a receiver that has heard nothing yet.
      Restart();
      for (const wire::Splice& splice : splices) {
        Feed(InDatagram(splice.signed_header));
        ASSERT_EQ(reassembler_->statistics().used, 0u) << splice.name;
      }
      EXPECT_GT(Drops(Drop::kHeaderSignature), 0u);
      EXPECT_EQ(Drops(Drop::kHeaderMismatch), 0u) << "the signature must be what is judged";
      // And none of it is in the way of the genuine ones.
      for (const MadeAdu& adu : batch) FeedAll(adu);
      EXPECT_EQ(complete_.size(), kCount);
    }
  }

  TestProvider provider_;
  TestSession session_;
  AduMaker maker_;
  std::optional<Reassembler> reassembler_;
  std::vector<CompleteAdu> complete_;
};

TEST_F(BatchTest, EveryAduCompletesWhenAllOthersAreLost) {
  for (const size_t count : {2, 7, 100}) {
    const std::vector<MadeAdu> batch = maker_.MakeBatch(50, count, 2000);
    for (size_t i = 0; i < count; ++i) {
      Restart();
      FeedAll(batch[i]);
      ASSERT_EQ(complete_.size(), 1u) << i << " of " << count;
      EXPECT_EQ(complete_[0].ciphertext, batch[i].ciphertext);
      EXPECT_EQ(complete_[0].signed_header, batch[i].signed_header);
    }
  }
}

TEST_F(BatchTest, AnyOrderWillDoAndCostsOneSignature) {
  const std::vector<MadeAdu> batch = maker_.MakeBatch(50, 20, 2000);
  for (size_t i = batch.size(); i-- > 0;) FeedAll(batch[(i * 7) % batch.size()]);
  EXPECT_EQ(complete_.size(), 20u);
  EXPECT_EQ(reassembler_->signatures_checked(), 1u);
}

TEST_F(BatchTest, RefusesSplicesOfTwoBatchesOfASender) {
  ExpectNoSpliceTaken(maker_.MakeBatch(50, kCount, 2000), maker_.MakeBatch(400, kCount, 2000));
}

TEST_F(BatchTest, RefusesSplicesWithAnotherSendersBatch) {
  AduMaker second(session_, 2);
  ExpectNoSpliceTaken(maker_.MakeBatch(50, kCount, 2000), second.MakeBatch(50, kCount, 2000));
}

TEST_F(BatchTest, RefusesSplicesWithAnotherSessionsBatch) {
  const TestSession other = provider_.MakeSession(TwoSenders());
  AduMaker stranger(other);
  const std::vector<MadeAdu> batch = maker_.MakeBatch(50, kCount, 2000);
  const std::vector<MadeAdu> foreign = stranger.MakeBatch(50, kCount, 2000);
  for (const wire::Splice& splice : wire::SplicesOf(HeadersOf(batch), HeadersOf(foreign))) {
    Feed(InDatagram(splice.signed_header));
    ASSERT_EQ(reassembler_->statistics().used, 0u) << splice.name;
  }
  for (const MadeAdu& adu : foreign) FeedAll(adu);
  EXPECT_EQ(reassembler_->statistics().used, 0u);
  for (const MadeAdu& adu : batch) FeedAll(adu);
  EXPECT_EQ(complete_.size(), kCount);
}

}  // namespace
}  // namespace nark::receiver
