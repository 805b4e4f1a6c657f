#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/wire/header.h"
#include "common/wire/testing.h"

namespace nark::wire {
namespace {

using absl::StatusCode;

Digest ContextOf(uint8_t fill) {
  Digest context;
  context.fill(fill);
  return context;
}

class AuthenticationTest : public testing::Test {
 protected:
  Header HeaderOf(uint64_t adu_id) {
    Header header = SmallHeader(LoadBig64(context_.data()));
    header.adu_id = adu_id;
    return header;
  }

  std::vector<Bytes> HeadersOf(size_t count) {
    std::vector<Bytes> headers;
    for (size_t i = 0; i < count; ++i) headers.push_back(SerialiseHeader(HeaderOf(100 + i)));
    return headers;
  }

  std::vector<Bytes> Batch(size_t count) {
    auto batch = SignBatch(context_, 1, HeadersOf(count), key_);
    EXPECT_TRUE(batch.ok()) << batch.status();
    return *std::move(batch);
  }

  Bytes Single() { return *SignSingle(context_, SerialiseHeader(HeaderOf(5)), key_); }

  StatusCode Verify(ByteView signed_header) { return VerifyBy(verifier_, signed_header); }

  StatusCode VerifyBy(HeaderVerifier& verifier, ByteView signed_header) {
    const auto parsed = ParseSignedHeader(signed_header);
    if (!parsed.ok()) return parsed.status().code();
    return verifier.Verify(*parsed, key_.public_key()).code();
  }

  const Digest context_ = ContextOf(0x11);
  const PrivateKey key_ = *PrivateKey::Generate();
  HeaderVerifier verifier_{context_};
};

TEST_F(AuthenticationTest, VerifiesASingleSignature) {
  EXPECT_EQ(Verify(Single()), StatusCode::kOk);
}

TEST_F(AuthenticationTest, VerifiesEveryHeaderOfEveryBatchSize) {
  for (size_t count = 1; count <= 33; ++count) {
    const std::vector<Bytes> batch = Batch(count);
    ASSERT_EQ(batch.size(), count);
    for (const Bytes& header : batch) EXPECT_EQ(Verify(header), StatusCode::kOk) << count;
  }
  EXPECT_EQ(verifier_.signatures_checked(), 33u);
}

TEST_F(AuthenticationTest, SignsTheLargestBatchAndNoLarger) {
  const std::vector<Bytes> batch = Batch(kMaxBatch);
  EXPECT_EQ(Verify(batch.front()), StatusCode::kOk);
  EXPECT_EQ(Verify(batch.back()), StatusCode::kOk);
  EXPECT_EQ(batch.back().size() - 2 - HeadersOf(1)[0].size(), kMaxAuthenticationBytes);
  EXPECT_EQ(SignBatch(context_, 1, HeadersOf(kMaxBatch + 1), key_).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(SignBatch(context_, 1, {}, key_).status().code(), StatusCode::kInvalidArgument);
}

// A flipped bit never gives the one other signature that verifies, n - s for s.
TEST_F(AuthenticationTest, RefusesEveryFlippedBit) {
  for (const Bytes& good : {Single(), Batch(6)[4]}) {
    ASSERT_EQ(Verify(good), StatusCode::kOk);
    for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
      Bytes flipped = good;
      flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_NE(Verify(flipped), StatusCode::kOk) << "bit " << bit;
    }
    EXPECT_EQ(Verify(good), StatusCode::kOk);
  }
}

TEST_F(AuthenticationTest, RefusesEveryTruncation) {
  for (const Bytes& good : {Single(), Batch(6)[4]}) {
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_EQ(Verify(ByteView(good).first(size)), StatusCode::kInvalidArgument) << size;
    }
  }
}

TEST_F(AuthenticationTest, RefusesAnotherKeyAndRemembersNothingOfIt) {
  const Bytes header = Single();
  const auto parsed = ParseSignedHeader(header);
  ASSERT_TRUE(parsed.ok());
  const PrivateKey other = *PrivateKey::Generate();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(verifier_.Verify(*parsed, other.public_key()).code(), StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(verifier_.signatures_checked(), 2u);
  EXPECT_EQ(Verify(header), StatusCode::kOk);
  EXPECT_EQ(verifier_.Verify(*parsed, other.public_key()).code(), StatusCode::kUnauthenticated)
      << "what one key signed counted for another";
}

TEST_F(AuthenticationTest, RefusesAnotherSession) {
  HeaderVerifier other(ContextOf(0x12));
  EXPECT_EQ(VerifyBy(other, Single()), StatusCode::kUnauthenticated);
  EXPECT_EQ(other.signatures_checked(), 0u) << "its tag alone says so";
  // The same tag, another session.
  Digest collision = context_;
  collision[31] ^= 1;
  HeaderVerifier colliding(collision);
  EXPECT_EQ(VerifyBy(colliding, Single()), StatusCode::kUnauthenticated);
  EXPECT_EQ(VerifyBy(colliding, Batch(3)[1]), StatusCode::kUnauthenticated);
}

TEST_F(AuthenticationTest, RefusesABatchOfAnotherSender) {
  const auto batch = SignBatch(context_, 2, HeadersOf(3), key_);  // whose headers say sender 1
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(Verify(batch->front()), StatusCode::kUnauthenticated);
}

TEST_F(AuthenticationTest, ASignatureOfOneFormIsNoneOfTheOther) {
  // A batch of one has an empty path, so it differs from a single by its type only.
  Bytes batch = Batch(1)[0];
  ASSERT_EQ(Verify(batch), StatusCode::kOk);
  const size_t header_end = 2 + LoadBig16(batch.data());
  Bytes as_single(batch.begin(), batch.begin() + header_end);
  as_single.push_back(1);
  as_single.insert(as_single.end(), batch.end() - 64, batch.end());
  EXPECT_EQ(Verify(as_single), StatusCode::kUnauthenticated);
}

TEST_F(AuthenticationTest, ChecksARepeatedHeaderOnce) {
  const Bytes header = Single();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Verify(header), StatusCode::kOk);
  EXPECT_EQ(verifier_.signatures_checked(), 1u);
}

TEST_F(AuthenticationTest, ForgeriesDoNotPushOutWhatHasVerified) {
  const Bytes header = Single();
  ASSERT_EQ(Verify(header), StatusCode::kOk);
  for (int i = 0; i < 200; ++i) {
    Bytes forged = header;
    forged[forged.size() - 1 - static_cast<size_t>(i) % 60] ^= static_cast<uint8_t>(1 + i / 60);
    EXPECT_NE(Verify(forged), StatusCode::kOk);
  }
  const uint64_t checked = verifier_.signatures_checked();
  EXPECT_EQ(Verify(header), StatusCode::kOk);
  EXPECT_EQ(verifier_.signatures_checked(), checked);
}

TEST_F(AuthenticationTest, ForgetsTheOldestOnly) {
  std::vector<Bytes> headers;
  for (uint64_t i = 0; i < 65; ++i) {
    headers.push_back(*SignSingle(context_, SerialiseHeader(HeaderOf(i)), key_));
    ASSERT_EQ(Verify(headers.back()), StatusCode::kOk);
  }
  EXPECT_EQ(Verify(headers[1]), StatusCode::kOk);
  EXPECT_EQ(Verify(headers[64]), StatusCode::kOk);
  EXPECT_EQ(verifier_.signatures_checked(), 65u);
  EXPECT_EQ(Verify(headers[0]), StatusCode::kOk);
  EXPECT_EQ(verifier_.signatures_checked(), 66u);
}

// What is remembered of a batch vouches for nothing but its headers on their own paths.
TEST_F(AuthenticationTest, RefusesSplicesOfABatchThatHasVerified) {
  const std::vector<Bytes> batch = Batch(8);
  for (const Bytes& header : batch) ASSERT_EQ(Verify(header), StatusCode::kOk);
  std::vector<Bytes> forged_headers;
  for (uint64_t i = 0; i < 8; ++i) forged_headers.push_back(SerialiseHeader(HeaderOf(500 + i)));
  const PrivateKey stranger = *PrivateKey::Generate();
  const std::vector<Bytes> forged = *SignBatch(context_, 1, forged_headers, stranger);
  for (size_t i = 0; i < 8; ++i) {
    const size_t header_end = 2 + LoadBig16(batch[i].data());
    ASSERT_EQ(forged[i].size(), batch[i].size());
    // A forged header on a genuine path, and with the genuine signature alone.
    Bytes on_path = forged[i], signature = forged[i];
    std::copy(batch[i].begin() + header_end, batch[i].end(), on_path.begin() + header_end);
    std::copy(batch[i].end() - 64, batch[i].end(), signature.end() - 64);
    EXPECT_EQ(Verify(on_path), StatusCode::kUnauthenticated);
    EXPECT_EQ(Verify(signature), StatusCode::kUnauthenticated);
    // A genuine header with each sibling replaced.
    for (size_t at = header_end + 6; at + 64 < batch[i].size(); at += 32) {
      Bytes poisoned = batch[i];
      std::copy_n(forged[i].begin() + at, 32, poisoned.begin() + at);
      EXPECT_EQ(Verify(poisoned), StatusCode::kUnauthenticated);
    }
    EXPECT_EQ(Verify(signature), StatusCode::kUnauthenticated);
    EXPECT_EQ(Verify(batch[i]), StatusCode::kOk);
  }
}

// One verifier that has seen all of the genuine ones, so that whatever it remembers is tried.
TEST_F(AuthenticationTest, RefusesSplicesOfTwoBatches) {
  for (const size_t count : {2, 5, 8}) {
    const std::vector<Bytes> batch = Batch(count);
    std::vector<Bytes> later;
    for (size_t i = 0; i < count; ++i) later.push_back(SerialiseHeader(HeaderOf(300 + i)));
    const std::vector<Bytes> other = *SignBatch(context_, 1, later, key_);
    for (const Bytes& header : batch) ASSERT_EQ(Verify(header), StatusCode::kOk);
    for (const Bytes& header : other) ASSERT_EQ(Verify(header), StatusCode::kOk);
    for (const Splice& splice : SplicesOf(batch, other)) {
      EXPECT_NE(Verify(splice.signed_header), StatusCode::kOk) << splice.name << " of " << count;
    }
    for (const Bytes& header : batch) EXPECT_EQ(Verify(header), StatusCode::kOk);
  }
}

// Whichever of a batch comes, and in whatever order: the others need not.
TEST_F(AuthenticationTest, EveryHeaderOfABatchStandsAlone) {
  for (const size_t count : {2, 7, 256, 1024}) {
    const std::vector<Bytes> batch = Batch(count);
    for (size_t i = 0; i < count; i += 1 + count / 40) {
      HeaderVerifier alone(context_);
      EXPECT_EQ(VerifyBy(alone, batch[i]), StatusCode::kOk) << i << " of " << count;
      EXPECT_EQ(alone.signatures_checked(), 1u);
    }
    HeaderVerifier backwards(context_);
    for (size_t i = count; i-- > 0;) ASSERT_EQ(VerifyBy(backwards, batch[i]), StatusCode::kOk);
    EXPECT_EQ(backwards.signatures_checked(), 1u);
  }
}

TEST_F(AuthenticationTest, RefusesWhatVerifiedUnderAnotherKeyOrForAnotherSender) {
  const std::vector<Bytes> batch = Batch(4);
  for (const Bytes& header : batch) ASSERT_EQ(Verify(header), StatusCode::kOk);
  const PrivateKey other = *PrivateKey::Generate();
  const auto parsed = ParseSignedHeader(batch[1]);
  EXPECT_EQ(verifier_.Verify(*parsed, other.public_key()).code(), StatusCode::kUnauthenticated);
}

TEST_F(AuthenticationTest, RemembersFewBatchesAndOnlyGenuineOnes) {
  const PrivateKey stranger = *PrivateKey::Generate();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Verify(SignBatch(context_, 1, HeadersOf(4), stranger)->front()),
              StatusCode::kUnauthenticated);
  }
  EXPECT_EQ(verifier_.batches_remembered(), 0u);
  std::vector<std::vector<Bytes>> batches;
  for (size_t count = 1; count <= 40; ++count) {
    batches.push_back(Batch(count));
    for (const Bytes& header : batches.back()) EXPECT_EQ(Verify(header), StatusCode::kOk);
    EXPECT_LE(verifier_.batches_remembered(), 8u);
  }
  EXPECT_EQ(verifier_.signatures_checked(), 20u + 40u);
  // A forgotten one is hashed again; its signature has been checked all the same.
  EXPECT_EQ(Verify(batches[1][1]), StatusCode::kOk);
  EXPECT_EQ(verifier_.signatures_checked(), 20u + 40u);
  EXPECT_EQ(verifier_.batches_remembered(), 8u);
}

TEST_F(AuthenticationTest, ParsesBothForms) {
  const Bytes single = Single();
  const auto parsed_single = ParseAuthentication(ParseSignedHeader(single)->authentication);
  ASSERT_TRUE(parsed_single.ok());
  EXPECT_FALSE(parsed_single->batch.has_value());
  EXPECT_TRUE(Equal(parsed_single->signature, ByteView(single).last(64)));

  const Bytes batched = Batch(6)[4];
  const auto parsed_batch = ParseAuthentication(ParseSignedHeader(batched)->authentication);
  ASSERT_TRUE(parsed_batch.ok());
  ASSERT_TRUE(parsed_batch->batch.has_value());
  EXPECT_EQ(parsed_batch->batch->index, 4);
  EXPECT_EQ(parsed_batch->batch->count, 6);
  EXPECT_EQ(parsed_batch->batch->path.size(), 2u) << "the last pair of six moves up a level";
}

TEST_F(AuthenticationTest, RefusesPlacesThatAreNone) {
  const auto code = [](uint16_t index, uint16_t count, uint8_t path) {
    Bytes field = {2, 0, 0, 0, 0, path};
    StoreBig16(&field[1], index);
    StoreBig16(&field[3], count);
    field.resize(field.size() + 32 * path + 64);
    return ParseAuthentication(field).status().code();
  };
  EXPECT_EQ(code(0, 1, 0), StatusCode::kOk);
  EXPECT_EQ(code(4, 5, 1), StatusCode::kOk);
  EXPECT_EQ(code(0, 1024, 10), StatusCode::kOk);
  EXPECT_EQ(code(0, 0, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(1, 1, 0), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, 5, 3), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, 5, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0, 1025, 11), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nark::wire
