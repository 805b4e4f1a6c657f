#include "common/object/signer_cache.h"

#include <gtest/gtest.h>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"

namespace nark {
namespace {

class SignerCacheTest : public testing::Test {
 protected:
  absl::Status Verify(const v1::SignedEnvelope& envelope, Timestamp now = kTestTime) {
    return VerifyVoucher(envelope, session_.session(), now, cache_).status();
  }
  TestProvider provider_;
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  const v1::SignedEnvelope voucher_ = provider_.MakeVoucher(session_, space_.id, 0, 9);
  SignerCache cache_;
};

TEST_F(SignerCacheTest, RemembersAChainOnce) {
  EXPECT_TRUE(Verify(voucher_).ok());
  EXPECT_TRUE(Verify(voucher_).ok());
  EXPECT_TRUE(Verify(provider_.MakeVoucher(session_, space_.id, 10, 19)).ok());
  EXPECT_EQ(cache_.size(), 1u);
}

TEST_F(SignerCacheTest, ChecksEverySignature) {
  ASSERT_TRUE(Verify(voucher_).ok());
  for (size_t bit = 0; bit < 512; ++bit) {
    v1::SignedEnvelope forged = voucher_;
    (*forged.mutable_signature())[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_EQ(Verify(forged).code(), absl::StatusCode::kUnauthenticated) << bit;
  }
  v1::SignedEnvelope forged = voucher_;
  (*forged.mutable_payload())[3] ^= 1;
  EXPECT_FALSE(Verify(forged).ok());
  forged = voucher_;
  (*forged.mutable_key_id())[3] ^= 1;
  EXPECT_EQ(Verify(forged).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(SignerCacheTest, KnowsNoChainThatDiffersInABit) {
  ASSERT_TRUE(Verify(voucher_).ok());
  const size_t size = voucher_.certificates(0).size();
  for (size_t at = 0; at < size; ++at) {
    v1::SignedEnvelope forged = voucher_;
    (*forged.mutable_certificates(0))[at] ^= static_cast<char>(1 << (at % 8));
    EXPECT_EQ(Verify(forged).code(), absl::StatusCode::kUnauthenticated) << at;
  }
  v1::SignedEnvelope forged = voucher_;
  forged.add_certificates(voucher_.certificates(0));
  EXPECT_EQ(Verify(forged).code(), absl::StatusCode::kUnauthenticated);
  forged = voucher_;
  forged.clear_certificates();
  EXPECT_EQ(Verify(forged).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(cache_.size(), 1u);
}

// A chain that is known expires as one that is not.
TEST_F(SignerCacheTest, AgreesWithAFreshLookOnTheTimes) {
  ASSERT_TRUE(Verify(voucher_).ok());
  const Certificate& till = provider_.till.certificate;
  for (const Timestamp edge : {till.not_before(), till.not_after()}) {
    for (const int offset_ms : {-1001, -1000, -999, -1, 0, 1, 999, 1000, 1001}) {
      const Timestamp at = edge + std::chrono::milliseconds(offset_ms);
      EXPECT_EQ(Verify(voucher_, at).ok(), VerifyVoucher(voucher_, session_.session(), at).ok())
          << offset_ms;
    }
  }
}

TEST_F(SignerCacheTest, KeepsRolesAndRootsApart) {
  ASSERT_TRUE(Verify(voucher_).ok());
  const auto other_role =
      cache_.VerifyEnvelope(voucher_, payload_type::kVoucher, provider_.root.certificate,
                            CertificateRole::kDescriptor, kTestTime);
  EXPECT_EQ(other_role.status().code(), absl::StatusCode::kUnauthenticated);
  TestProvider other(kTestTime, 2);
  const auto other_root = cache_.VerifyEnvelope(
      voucher_, payload_type::kVoucher, other.root.certificate, CertificateRole::kTill, kTestTime);
  EXPECT_EQ(other_root.status().code(), absl::StatusCode::kUnauthenticated);
  const auto other_type =
      cache_.VerifyEnvelope(voucher_, payload_type::kGrant, provider_.root.certificate,
                            CertificateRole::kTill, kTestTime);
  EXPECT_EQ(other_type.status().code(), absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace nark
