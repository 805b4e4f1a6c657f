#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "common/base/sanitized.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/provider.h"
#include "securespace/fake_file_system.h"
#include "securespace/fake_rollback_counter.h"
#include "securespace/testing.h"

// Exchanges whose grants are carried on a medium.
namespace nark::securespace {
namespace {

constexpr char kFile[] = "exchanges";

// What was asked, and what a key manager sees of it.
struct Asked {
  v1::SignedEnvelope voucher;
  v1::AttestRequest request;
  v1::AttestResponse response;
};

absl::StatusOr<Asked> Ask(SecureSpace& space, const TestSession& session,
                          const v1::SignedEnvelope& voucher,
                          v1::ExchangeLife life = v1::EXCHANGE_LIFE_KEPT) {
  Asked asked{voucher, AttestRequestFor(session.descriptor(), voucher), {}};
  asked.request.set_life(life);
  ASSIGN_OR_RETURN(asked.response, space.Attest(asked.request));
  return asked;
}

absl::StatusOr<v1::InstallGrantResponse> Install(TestWorld& world, const TestSession& session,
                                                 const Asked& asked) {
  v1::InstallGrantRequest install;
  *install.mutable_session() = session.name().ToProto();
  ASSIGN_OR_RETURN(*install.mutable_grant(), MakeGrant(world.provider, session, asked.voucher,
                                                       asked.request, asked.response));
  return world.space().InstallGrant(install);
}

absl::StatusOr<v1::InstallGrantResponse> Install(TestWorld& world, const Asked& asked) {
  return Install(world, world.session, asked);
}

TEST(KeptExchangeTest, OutlivesTheProcess) {
  TestWorld world;
  const auto asked = Ask(world.space(), world.session, world.Voucher(0, 9));
  ASSERT_TRUE(asked.ok()) << asked.status();
  ASSERT_TRUE(world.Reopen().ok());
  const auto installed = Install(world, *asked);
  ASSERT_TRUE(installed.ok()) << installed.status();
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
}

TEST(KeptExchangeTest, OthersEndWithTheProcess) {
  TestWorld world;
  const auto asked =
      Ask(world.space(), world.session, world.Voucher(0, 9), v1::EXCHANGE_LIFE_UNSPECIFIED);
  ASSERT_TRUE(asked.ok());
  EXPECT_TRUE(absl::IsNotFound(world.storage.Read(kFile).status()));
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(ReasonOf(Install(world, *asked).status()), "NO_EXCHANGE");
}

TEST(KeptExchangeTest, IsGoneOnceInstalled) {
  TestWorld world;
  const auto asked = Ask(world.space(), world.session, world.Voucher(0, 9));
  ASSERT_TRUE(Install(world, *asked).ok());
  EXPECT_EQ(ReasonOf(Install(world, *asked).status()), "NO_EXCHANGE");
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(ReasonOf(Install(world, *asked).status()), "NO_EXCHANGE");
}

TEST(KeptExchangeTest, TheNextOneOfItsSessionReplacesIt) {
  TestWorld world;
  const auto first = Ask(world.space(), world.session, world.Voucher(0, 9));
  const auto second = Ask(world.space(), world.session, world.Voucher(0, 9));
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(ReasonOf(Install(world, *first).status()), "GRANT_REFUSED");
  EXPECT_TRUE(Install(world, *second).ok());
}

TEST(KeptExchangeTest, AJoinOverTheNetworkLeavesItAlone) {
  TestWorld world;
  const auto asked = Ask(world.space(), world.session, world.Voucher(0, 4));
  ASSERT_TRUE(world.Join(world.Voucher(5, 9)).ok());
  ASSERT_TRUE(world.Reopen().ok());
  ASSERT_TRUE(Install(world, *asked).ok());
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(world.Reason(6), v1::REFUSAL_REASON_UNSPECIFIED);
}

// Two sessions of one name whose terms differ, as only their provider can make them: the
// second of the pair has the later descriptor.
std::pair<TestSession, TestSession> TwoTerms(TestWorld& world) {
  const auto make = [&](const char* generator, v1::ReceiptType receipts, Timestamp now) {
    SessionOptions options;
    options.transports[0] = "udp://239.255.42.1:5004?adapter=lo";
    options.generator = generator;
    options.receipts = receipts;
    SeededRandom same_name(3);
    return TestSession{
        .made = *MakeSession(options, world.provider.signers(),
                             {{world.provider.pool_keys[0].public_key()}, {}}, now, same_name),
        .sender_files = {}};
  };
  return {make("marks", v1::RECEIPT_TYPE_TREE, kTestTime),
          make("hkdf", v1::RECEIPT_TYPE_BITMAP, kTestTime + std::chrono::seconds(1))};
}

// Else what is kept of the session fits neither terms, and no session opens any more.
TEST(KeptExchangeTest, AskedUnderOtherTermsThanThoseJoinedItIsRefused) {
  for (const bool later_is_kept : {true, false}) {
    SCOPED_TRACE(later_is_kept);
    TestWorld world;
    world.clock.Advance(std::chrono::seconds(1));
    auto [earlier, later] = TwoTerms(world);
    ASSERT_EQ(earlier.name(), later.name());
    TestSession& kept = later_is_kept ? later : earlier;
    world.session = std::move(later_is_kept ? earlier : later);
    const auto asked =
        Ask(world.space(), kept, world.provider.MakeVoucher(kept, world.identity.id, 0, 9));
    ASSERT_TRUE(asked.ok()) << asked.status();
    ASSERT_TRUE(world.Join(world.Voucher(0, 9)).ok());
    ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
    const absl::Status refused = Install(world, kept, *asked).status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    ASSERT_TRUE(world.Reopen().ok());
    EXPECT_EQ(world.space().GetIdentity()->grants_size(), 1);
    EXPECT_EQ(world.Reason(2), v1::REFUSAL_REASON_UNSPECIFIED);
  }
}

TEST(KeptExchangeTest, TheOldestOfTooManyGoes) {
  TestWorld world;
  std::vector<TestSession> sessions;
  std::vector<Asked> all;
  for (int i = 0; i < 9; ++i) {
    sessions.push_back(world.provider.MakeSession());
    auto asked = Ask(world.space(), sessions.back(),
                     world.provider.MakeVoucher(sessions.back(), world.identity.id, 0, 9));
    ASSERT_TRUE(asked.ok()) << asked.status();
    all.push_back(*std::move(asked));
  }
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_EQ(ReasonOf(Install(world, sessions[0], all[0]).status()), "NO_EXCHANGE");
  for (size_t i = 1; i < all.size(); ++i) {
    EXPECT_TRUE(Install(world, sessions[i], all[i]).ok()) << i;
  }
}

TEST(KeptExchangeTest, AnUnknownLifeIsRefused) {
  TestWorld world;
  const auto asked =
      Ask(world.space(), world.session, world.Voucher(0, 9), static_cast<v1::ExchangeLife>(2));
  EXPECT_EQ(asked.status().code(), absl::StatusCode::kInvalidArgument) << asked.status();
}

TEST(KeptExchangeTest, IsOfNoUseToAnotherSecureSpace) {
  TestWorld world;
  const auto asked = Ask(world.space(), world.session, world.Voucher(0, 9));
  const TestSecureSpace identity = world.provider.MakeSecureSpace();
  FakeStorage storage;
  ASSERT_TRUE(Emulation::Initialise(KeysOf(identity).state, storage, world.random).ok());
  auto other = Emulation::Open(KeysOf(identity), {identity.certificate},
                               {storage, world.clock, world.random});
  ASSERT_TRUE(other.ok()) << other.status();
  v1::InstallGrantRequest install;
  *install.mutable_session() = world.session.name().ToProto();
  *install.mutable_grant() =
      *MakeGrant(world.provider, world.session, asked->voucher, asked->request, asked->response);
  EXPECT_EQ(ReasonOf((*other)->InstallGrant(install).status()), "NO_EXCHANGE");
  ASSERT_TRUE(
      Ask(**other, world.session, world.provider.MakeVoucher(world.session, identity.id, 0, 9))
          .ok());
  EXPECT_EQ(ReasonOf((*other)->InstallGrant(install).status()), "GRANT_REFUSED");
  EXPECT_TRUE(world.space().InstallGrant(install).ok());
}

// It is not held against a rollback counter; this is why that does no harm.
TEST(KeptExchangeTest, BroughtBackItChangesNothing) {
  TestWorld world;
  const auto asked = Ask(world.space(), world.session, world.Voucher(0, 9));
  const Bytes old = *world.storage.Read(kFile);
  const auto first = Install(world, *asked);
  ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  ASSERT_TRUE(world.storage.Replace(kFile, old).ok());
  ASSERT_TRUE(world.Reopen().ok());
  const auto again = Install(world, *asked);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->grant_id(), first->grant_id());
  EXPECT_EQ(world.space().GetIdentity()->grants_size(), 1);
  EXPECT_EQ(world.Reason(1), v1::REFUSAL_REASON_RELEASED);

  ASSERT_TRUE(world.Note(v1::NOTE_STATUS_FINAL).ok());
  ASSERT_TRUE(world.storage.Replace(kFile, old).ok());
  ASSERT_TRUE(world.Reopen().ok());
  EXPECT_FALSE(Install(world, *asked).ok());
}

TEST(KeptExchangeTest, AFileThatWasChangedIsNoticed) {
  TestWorld world;
  ASSERT_TRUE(Ask(world.space(), world.session, world.Voucher(0, 9)).ok());
  const Bytes file = *world.storage.Read(kFile);
  for (size_t at = 0; at < file.size(); at += kSanitized ? 7 : 1) {
    Bytes changed = file;
    changed[at] ^= static_cast<uint8_t>(1u << (at % 8));
    ASSERT_TRUE(world.storage.Replace(kFile, changed).ok());
    EXPECT_FALSE(world.Reopen().ok()) << "byte " << at;
  }
  for (size_t size = 0; size < file.size(); ++size) {
    ASSERT_TRUE(world.storage.Replace(kFile, ByteView(file).first(size)).ok());
    EXPECT_FALSE(world.Reopen().ok()) << size << " bytes";
  }
  ASSERT_TRUE(world.storage.Replace(kFile, file).ok());
  EXPECT_TRUE(world.Reopen().ok());
}

class KeptExchangeCrashTest : public testing::TestWithParam<std::tuple<bool, uint64_t>> {};

// Power fails at every operation between asking and playing. Evidence that left is worth
// a grant, and a grant that was installed stays.
TEST_P(KeptExchangeCrashTest, NoAnswerIsLost) {
  const auto [counts, seed] = GetParam();
  FakeFileSystem files;
  FakeRollbackCounter counter(1, &files);
  FolderStorage storage("/space", files);
  TestWorld world;
  world.UseStorage(storage);
  if (counts) world.UseCounter(&counter);
  const v1::SignedEnvelope voucher = world.Voucher(0, 9);
  bool reached = true;
  uint64_t crash = 0;
  for (; reached; ++crash) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", crash at operation " << crash);
    files = FakeFileSystem(1000 * seed + crash);
    counter.Reset();
    ASSERT_TRUE(
        Emulation::Initialise(world.state_key, storage, world.random, counts ? &counter : nullptr)
            .ok());
    ASSERT_TRUE(world.Reopen().ok());
    files.CrashAt(files.operations() + crash);
    absl::StatusOr<Asked> asked = Ask(world.space(), world.session, voucher);
    absl::Status installed = asked.ok() ? Install(world, *asked).status() : asked.status();
    reached = files.crashed();
    EXPECT_EQ(installed.ok(), !reached) << installed;
    files.Restart();
    ASSERT_TRUE(world.Reopen().ok());
    if (!asked.ok()) asked = Ask(world.space(), world.session, voucher);
    ASSERT_TRUE(asked.ok()) << asked.status();
    if (!installed.ok()) {
      installed = Install(world, *asked).status();
      // It was, and only the answer is missing.
      const bool forgotten = ReasonOf(installed) == "NO_EXCHANGE";
      ASSERT_TRUE(installed.ok() || forgotten) << installed;
    }
    ASSERT_TRUE(world.Reopen().ok());
    ASSERT_EQ(world.space().GetIdentity()->grants_size(), 1);
    ASSERT_EQ(world.Reason(1), v1::REFUSAL_REASON_UNSPECIFIED);
  }
  EXPECT_GT(crash, 10u) << "asking and installing have more operations than that";
}

INSTANTIATE_TEST_SUITE_P(Seeds, KeptExchangeCrashTest,
                         testing::Combine(testing::Bool(), testing::Range<uint64_t>(0, 4)));

}  // namespace
}  // namespace nark::securespace
