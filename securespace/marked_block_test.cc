// Marked blocks inside the secure space.

#include <gtest/gtest.h>

#include <string>

#include "common/audit/family.h"
#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

SessionOptions Audited(v1::ReleaseMode release) {
  SessionOptions options = WithAuditTrail();
  options.release = release;
  return options;
}

Bytes SealedBlockFor(const TestWorld& world) {
  const audit::Family family = world.session.family();
  return *audit::SealBlock(*family.BlockKey(world.identity.id), family.id(), world.identity.id,
                           *family.MarkedBlockOf(world.identity.id));
}

TestAdu SomeAdu(const TestWorld& world, uint64_t id) {
  AduOptions options;
  options.id = id;
  options.plaintext_bytes = 4001;
  return MakeAdu(world.session, options);
}

// By how much samples differ: at most in their least significant bits; an odd last byte not.
void ExpectMarked(const Bytes& got, const Bytes& sent) {
  ASSERT_EQ(got.size(), sent.size());
  size_t differing = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const uint8_t may = i % 2 == 0 && i + 1 < got.size() ? 1 : 0;
    EXPECT_EQ(got[i] & ~may, sent[i] & ~may) << i;
    differing += got[i] != sent[i] ? 1 : 0;
  }
  EXPECT_GT(differing, got.size() / 8);
}

TEST(MarkedBlockTest, GivesTheBlockToTheHostWhereKeysAreReleased) {
  TestWorld world(Audited(v1::RELEASE_MODE_KEY));
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  const auto block = world.space().OpenMarkedBlock(world.session.name(), SealedBlockFor(world));
  ASSERT_TRUE(block.ok()) << block.status();
  ASSERT_NE(*block, nullptr);
  EXPECT_TRUE((*block)->bytes() ==
              world.session.family().MarkedBlockOf(world.identity.id)->bytes());
}

TEST(MarkedBlockTest, KeepsItInsideAndMarksPlaintext) {
  TestWorld world(Audited(v1::RELEASE_MODE_PLAINTEXT));
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  const auto block = world.space().OpenMarkedBlock(world.session.name(), SealedBlockFor(world));
  ASSERT_TRUE(block.ok()) << block.status();
  EXPECT_EQ(*block, nullptr) << "the host has no use for it";
  const TestAdu adu = SomeAdu(world, 3);
  const auto opened =
      world.space().OpenAdus({world.session.name(), 0, {{adu.header, adu.ciphertext}}});
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(opened->front().refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  ExpectMarked(opened->front().plaintext, adu.plaintext);
}

// Nothing is billed that could not be decrypted, and the next call finds it usable.
TEST(MarkedBlockTest, OpensNothingAndBillsNothingBeforeItsBlockIsOpen) {
  TestWorld world(Audited(v1::RELEASE_MODE_PLAINTEXT));
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  const TestAdu adu = SomeAdu(world, 3);
  const OpenRequest request{world.session.name(), 0, {{adu.header, adu.ciphertext}}};
  const absl::Status early = world.space().OpenAdus(request).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(early), "NO_MARKED_BLOCK");
  ASSERT_TRUE(world.space().OpenMarkedBlock(world.session.name(), SealedBlockFor(world)).ok());
  const auto opened = world.space().OpenAdus(request);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->front().refusal, v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(MarkedBlockTest, ItsKeyOutlivesAReopening) {
  TestWorld world(Audited(v1::RELEASE_MODE_KEY));
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_TRUE(world.space().OpenMarkedBlock(world.session.name(), SealedBlockFor(world)).ok());
}

TEST(MarkedBlockTest, RefusesABlockThatWasDamagedOrIsAnothers) {
  TestWorld world(Audited(v1::RELEASE_MODE_KEY));
  ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
  const Bytes sealed = SealedBlockFor(world);
  const auto refused = [&](ByteView bytes) {
    return world.space().OpenMarkedBlock(world.session.name(), bytes).status().code();
  };
  for (size_t bit = 0; bit < 8 * sealed.size(); bit += 509) {
    Bytes damaged = sealed;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(refused(damaged), absl::StatusCode::kInvalidArgument) << bit;
  }
  for (const size_t size : {size_t{0}, size_t{1}, size_t{48}, sealed.size() - 1}) {
    EXPECT_EQ(refused(ByteView(sealed).first(size)), absl::StatusCode::kInvalidArgument) << size;
  }
  const audit::Family family = world.session.family();
  Digest other = world.identity.id;
  other[0] ^= 1;
  EXPECT_EQ(refused(*audit::SealBlock(*family.BlockKey(other), family.id(), other,
                                      *family.MarkedBlockOf(other))),
            absl::StatusCode::kInvalidArgument);
}

TEST(MarkedBlockTest, OpensNoneWithoutAGrantOrAnAuditTrail) {
  TestWorld world(Audited(v1::RELEASE_MODE_KEY));
  const absl::Status early =
      world.space().OpenMarkedBlock(world.session.name(), SealedBlockFor(world)).status();
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(early), "NO_GRANT");
  TestWorld plain;
  ASSERT_TRUE(plain.Join(plain.Voucher(0, 9)).ok());
  EXPECT_EQ(plain.space().OpenMarkedBlock(plain.session.name(), Bytes(100)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MarkedBlockTest, RefusesGrantsWhoseBlockKeyDoesNotFitTheTerms) {
  const auto refused = [](TestWorld& world, const std::string& key) {
    GrantOptions lie;
    lie.spoil_grant = [&key](v1::Grant& grant) { grant.set_block_key(key); };
    return ReasonOf(world.Join(world.Voucher(0, 9), lie).status());
  };
  TestWorld audited(Audited(v1::RELEASE_MODE_KEY)), plain;
  EXPECT_EQ(refused(audited, ""), "GRANT_REFUSED");
  EXPECT_EQ(refused(audited, std::string(31, 'x')), "GRANT_REFUSED");
  EXPECT_EQ(refused(plain, std::string(32, 'x')), "GRANT_REFUSED");
}

}  // namespace
}  // namespace nark::securespace
