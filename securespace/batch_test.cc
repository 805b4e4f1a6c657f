// Batches of headers under one signature, as a secure space meets them: a key for each of
// them alone, and for nothing put together from several.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/wire/testing.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

constexpr size_t kCount = 6;

SessionOptions TwoSenders() {
  SessionOptions options;
  options.senders.emplace_back(options.senders[0]).set_sender_id(2);
  return options;
}

class BatchTest : public testing::Test {
 protected:
  BatchTest() {
    const auto joined = world_.Join(world_.Voucher(0, 9999));
    EXPECT_TRUE(joined.ok()) << joined.status();
  }

  static std::vector<Bytes> HeadersOf(const std::vector<TestAdu>& adus) {
    std::vector<Bytes> headers;
    for (const TestAdu& adu : adus) headers.push_back(adu.header);
    return headers;
  }

  void ExpectNoSpliceServed(const std::vector<TestAdu>& batch, const std::vector<TestAdu>& other) {
    const std::vector<wire::Splice> splices = wire::SplicesOf(HeadersOf(batch), HeadersOf(other));
    ASSERT_GT(splices.size(), kCount * 10);
    for (const wire::Splice& splice : splices) {
      const v1::RefusalReason reason = world_.Reason(TestAdu{splice.signed_header, {}, {}, {}});
      EXPECT_TRUE(reason == v1::REFUSAL_REASON_MALFORMED || reason == v1::REFUSAL_REASON_SIGNATURE)
          << splice.name << ": " << v1::RefusalReason_Name(reason);
    }
  }
  void ExpectServedOnce(const std::vector<TestAdu>& batch) {
    for (const TestAdu& adu : batch) {
      EXPECT_EQ(world_.Reason(adu), v1::REFUSAL_REASON_UNSPECIFIED);
      EXPECT_EQ(world_.Reason(adu), v1::REFUSAL_REASON_RELEASED);
    }
  }

  TestWorld world_{TwoSenders()};
};

TEST_F(BatchTest, EveryAduIsServedWhenAllOthersAreLost) {
  uint64_t id = 0;
  for (const size_t count : {2, 7, 100}) {
    const std::vector<TestAdu> batch = MakeBatch(world_.session, id, count);
    for (size_t i = 0; i < count; i += 1 + count / 20) {
      // Opened anew, it remembers no root.
      ASSERT_TRUE(world_.Reopen().ok());
      EXPECT_EQ(world_.Reason(batch[i]), v1::REFUSAL_REASON_UNSPECIFIED) << i << " of " << count;
    }
    id += count;
  }
}

TEST_F(BatchTest, AnyOrderWillDo) {
  const std::vector<TestAdu> batch = MakeBatch(world_.session, 0, 15);
  for (size_t i = batch.size(); i-- > 0;) {
    EXPECT_EQ(world_.Reason(batch[(i * 4) % batch.size()]), v1::REFUSAL_REASON_UNSPECIFIED);
  }
}

// Splices are tried before the genuine ones are known, and when all of them are.
TEST_F(BatchTest, RefusesSplicesOfTwoBatchesOfASender) {
  const std::vector<TestAdu> batch = MakeBatch(world_.session, 50, kCount);
  const std::vector<TestAdu> other = MakeBatch(world_.session, 400, kCount);
  ExpectNoSpliceServed(batch, other);
  ExpectServedOnce(other);
  ExpectNoSpliceServed(batch, other);
  ExpectServedOnce(batch);
  ExpectNoSpliceServed(batch, other);
}

TEST_F(BatchTest, RefusesSplicesWithAnotherSendersBatch) {
  const std::vector<TestAdu> batch = MakeBatch(world_.session, 50, kCount);
  const std::vector<TestAdu> other = MakeBatch(world_.session, 50, kCount, 2);
  ExpectNoSpliceServed(batch, other);
  ExpectNoSpliceServed(other, batch);
  ExpectServedOnce(other);
  ExpectNoSpliceServed(batch, other);
  ExpectServedOnce(batch);
  ExpectNoSpliceServed(other, batch);
}

TEST_F(BatchTest, RefusesSplicesWithAnotherSessionsBatch) {
  const TestSession stranger = world_.provider.MakeSession(TwoSenders());
  const std::vector<TestAdu> batch = MakeBatch(world_.session, 50, kCount);
  const std::vector<TestAdu> other = MakeBatch(stranger, 50, kCount);
  ExpectNoSpliceServed(batch, other);
  for (const TestAdu& adu : other) {
    EXPECT_EQ(world_.Reason(TestAdu{adu.header, {}, {}, {}}), v1::REFUSAL_REASON_MALFORMED);
  }
  ExpectServedOnce(batch);
  ExpectNoSpliceServed(batch, other);
}

}  // namespace
}  // namespace nark::securespace
