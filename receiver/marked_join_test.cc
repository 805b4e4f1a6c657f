// Joining a session with an audit trail, and playing it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/audit/family.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "keymanager/direct_client.h"
#include "keymanager/testing.h"
#include "receiver/block_cache.h"
#include "receiver/joiner.h"
#include "receiver/play_out.h"
#include "receiver/testing.h"
#include "securespace/testing.h"

namespace nark::receiver {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A pool of one, whose blocks a test spoils.
class SpoiltBlocks final : public keymanager::Client {
 public:
  explicit SpoiltBlocks(keymanager::Client& real) : real_(real) {}
  absl::StatusOr<v1::GetChallengeResponse> GetChallenge(
      const v1::GetChallengeRequest& request, std::chrono::milliseconds timeout) override {
    ++challenges;
    return real_.GetChallenge(request, timeout);
  }
  absl::StatusOr<v1::IssueGrantResponse> IssueGrant(const v1::IssueGrantRequest& request,
                                                    std::chrono::milliseconds timeout) override {
    ++grants;
    return real_.IssueGrant(request, timeout);
  }
  absl::StatusOr<Bytes> GetMarkedBlock(const v1::GetMarkedBlockRequest& request,
                                       std::chrono::milliseconds timeout,
                                       const BlockProgress& progress) override {
    ++blocks;
    if (!error.ok()) return error;
    auto sealed = real_.GetMarkedBlock(request, timeout, progress);
    if (sealed.ok() && damage) (*sealed)[sealed->size() / 2] ^= 1;
    return sealed;
  }
  int challenges = 0, grants = 0, blocks = 0;
  absl::Status error;  // of GetMarkedBlock
  bool damage = false;

 private:
  keymanager::Client& real_;
};

class MarkedJoinTest : public testing::Test {
 protected:
  MarkedJoinTest() {
    const char* set = std::getenv("TEST_TMPDIR");
    folder_ = std::string(set == nullptr ? "/tmp" : set) + "/blocks-XXXXXX";
    if (::mkdtemp(folder_.data()) == nullptr) std::abort();
    cache_.emplace(folder_);
  }
  ~MarkedJoinTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // `heard`: how many bytes of the block were told to be there, each time.
  absl::Status Join(std::vector<KeyManagerEndpoint> endpoints,
                    JoinOptions::Block block = JoinOptions::Block::kWanted,
                    std::vector<size_t>* heard = nullptr) {
    const Timestamp now = world_.clock.Now();
    verified_ = *VerifyVoucher(voucher_, world_.session.session(), now);
    joiner_.emplace(world_.session.session(), voucher_, *verified_, world_.space(),
                    std::move(endpoints));
    JoinOptions options;
    options.cache = &*cache_;
    warnings_.clear();
    options.warn = [this](const std::string& line) { warnings_.push_back(line); };
    options.block = block;
    if (heard != nullptr) {
      options.block_progress = [heard](size_t done, size_t) { heard->push_back(done); };
    }
    joiner_->Start(options, now);
    for (int steps = 0; !joiner_->done(); ++steps) {
      if (steps == 10'000) return absl::InternalError("the joiner does not end");
      if (joiner_->not_before() > world_.clock.Now()) world_.clock.Set(joiner_->not_before());
      joiner_->Step(world_.clock.Now());
    }
    return joiner_->result();
  }
  absl::Status JoinOne(std::vector<size_t>* heard = nullptr) {
    return Join({{"first:1", &first_}}, JoinOptions::Block::kWanted, heard);
  }
  std::string KeptFile() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) return entry.path();
    return "";
  }
  bool HasBlock() const {
    return joiner_->block() != nullptr &&
           joiner_->block()->bytes() ==
               world_.session.family().MarkedBlockOf(world_.identity.id)->bytes();
  }

  securespace::TestWorld world_{WithAuditTrail()};
  v1::SignedEnvelope voucher_ = world_.Voucher(0, 99);
  keymanager::RecordedRefusals refusals_;
  std::unique_ptr<keymanager::GrantAuthority> authority_ =
      keymanager::MakeAuthority(world_.provider, {world_.clock, world_.random, refusals_});
  keymanager::DirectClient direct_{*authority_};
  SpoiltBlocks first_{direct_}, second_{direct_};
  std::string folder_;
  std::optional<BlockCache> cache_;
  std::optional<VerifiedVoucher> verified_;
  std::optional<Joiner> joiner_;
  std::vector<std::string> warnings_;  // of the last join
};

TEST_F(MarkedJoinTest, FetchesItsBlockOnceAndKeepsIt) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_EQ(joiner_->block_origin(), Joiner::BlockOrigin::kKeyManager);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_EQ(first_.blocks, 1);
  // With the grant installed and the block kept nobody is asked.
  ASSERT_TRUE(Join({}).ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_EQ(joiner_->block_origin(), Joiner::BlockOrigin::kCache);
  EXPECT_TRUE(joiner_->used_installed_grant());
  EXPECT_EQ(first_.challenges, 1);
}

TEST_F(MarkedJoinTest, AnotherSessionOfTheProviderUsesTheKeptBlock) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  world_.session = world_.provider.MakeSession(WithAuditTrail());
  voucher_ = world_.Voucher(0, 9);
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_EQ(first_.grants, 2);
  EXPECT_EQ(first_.blocks, 1);
}

TEST_F(MarkedJoinTest, ADamagedBlockIsFoundOutAndFetchedAgain) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  const Bytes whole = *ReadFile(KeptFile());
  for (const size_t at : {size_t{0}, size_t{40}, whole.size() - 1}) {
    Bytes damaged = whole;
    damaged[at] ^= 0x10;
    ASSERT_TRUE(WriteFile(KeptFile(), damaged, FileMode::kSecret).ok());
    const int grants = first_.grants;
    ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
    EXPECT_TRUE(HasBlock());
    EXPECT_EQ(joiner_->block_origin(), Joiner::BlockOrigin::kKeyManager);
    EXPECT_THAT(warnings_, ElementsAre(AllOf(StartsWith(KeptFile() + ": "), HasSubstr("damaged"),
                                             HasSubstr("the marked block is fetched again"))));
    EXPECT_EQ(first_.grants, grants) << "the grant is installed";
    EXPECT_EQ(*ReadFile(KeptFile()), whole) << at;
  }
}

TEST_F(MarkedJoinTest, AFileThatIsCutShortIsFetchedAgain) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  ASSERT_TRUE(WriteFile(KeptFile(), Bytes(10), FileMode::kSecret).ok());
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
}

TEST_F(MarkedJoinTest, LeavesAReplicaWhoseBlockDoesNotOpenForTheNext) {
  first_.damage = true;
  ASSERT_TRUE(Join({{"first:1", &first_}, {"second:2", &second_}}).ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_EQ(second_.blocks, 1);
}

TEST_F(MarkedJoinTest, LeavesAReplicaThatGoesAwayForTheNext) {
  first_.error = absl::UnavailableError("killed");
  ASSERT_TRUE(Join({{"first:1", &first_}, {"second:2", &second_}}).ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_EQ(second_.grants, 0) << "granted already";
  EXPECT_EQ(second_.blocks, 1);
}

TEST_F(MarkedJoinTest, FailsWhereNobodyGivesABlock) {
  first_.error = absl::UnavailableError("killed");
  const absl::Status status = JoinOne();
  EXPECT_TRUE(IsRemote(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("killed"));
  // With a grant and nobody to ask.
  const absl::Status alone = Join({});
  EXPECT_EQ(alone.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(alone.message()), HasSubstr("--key-manager"));
}

TEST_F(MarkedJoinTest, ARenewalLeavesTheBlockAlone) {
  ASSERT_TRUE(Join({{"first:1", &first_}}, JoinOptions::Block::kHave).ok());
  EXPECT_EQ(joiner_->block(), nullptr);
  EXPECT_EQ(first_.blocks, 0);
}

TEST_F(MarkedJoinTest, PlaysWithoutACacheAndSaysWhyNothingWasKept) {
  cache_.emplace("/proc/nowhere");
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("is not kept"), HasSubstr("/proc/nowhere"))));
}

TEST_F(MarkedJoinTest, SaysWhyTheKeptBlockCanNotBeRead) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  const std::string kept = KeptFile();
  ASSERT_TRUE(std::filesystem::remove(kept));
  ASSERT_TRUE(std::filesystem::create_directory(kept));
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_TRUE(HasBlock());
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr(kept + " is a folder"),
                                           HasSubstr("the marked block is fetched again")),
                                     AllOf(HasSubstr("is not kept"), HasSubstr(kept))));
}

TEST_F(MarkedJoinTest, SaysForWhatItWaitedAndHowLong) {
  first_.error = absl::UnavailableError("down");
  std::vector<size_t> heard;
  const absl::Status status = JoinOne(&heard);
  EXPECT_THAT(std::string(status.message()),
              StartsWith("no key manager gave the marked block within 60 s: "));
  EXPECT_THAT(heard, ElementsAre(0));
}

TEST_F(MarkedJoinTest, SaysThatTheKeptOneWasDamagedThoughNobodyGivesAnother) {
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  ASSERT_TRUE(WriteFile(KeptFile(), Bytes(10), FileMode::kSecret).ok());
  first_.error = Refusal(absl::StatusCode::kPermissionDenied, "EXPELLED", "no more");
  EXPECT_FALSE(JoinOne().ok());
  EXPECT_THAT(warnings_, ElementsAre(AllOf(StartsWith(KeptFile() + ": "), HasSubstr("too short"))));
}

TEST_F(MarkedJoinTest, SaysThatNoFolderKeepsIt) {
  cache_.emplace("");
  ASSERT_TRUE(JoinOne().ok()) << joiner_->result();
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("is not kept"), HasSubstr("--cache"))));
}

TEST_F(MarkedJoinTest, ASlowFetchSaysNowAndThenWhatItWaitsFor) {
  first_.error = absl::UnavailableError("down");
  EXPECT_FALSE(JoinOne().ok());
  ASSERT_GE(warnings_.size(), 8u);
  ASSERT_LE(warnings_.size(), 12u);
  EXPECT_THAT(warnings_, Each(AllOf(StartsWith("no key manager gave the marked block yet"),
                                    HasSubstr(" s more: key manager first:1: down"))));
}

TEST_F(MarkedJoinTest, AReplicaThatIsLeftAtOnceForTheNextIsNoWarning) {
  first_.error = absl::UnavailableError("killed");
  ASSERT_TRUE(Join({{"first:1", &first_}, {"second:2", &second_}}).ok()) << joiner_->result();
  EXPECT_THAT(warnings_, IsEmpty());
}

// --- Play-out ---

class MarkedPlayOutTest : public testing::Test {
 protected:
  void Play(std::shared_ptr<const ChameleonBlock> block) {
    if (block != nullptr) {
      ASSERT_TRUE(play_out_->SetBlock(std::move(block)).ok());
    }
    adu_ = maker_.Make(0, maker_.Text(0, 6000), 1024, 0);
    CompleteAdu complete;
    complete.header = adu_.header;
    complete.signed_header = adu_.signed_header;
    complete.ciphertext = adu_.ciphertext;
    play_out_->Add(std::move(complete), kTestTime);
    status_ = play_out_->Run(kTestTime);
  }
  std::shared_ptr<const ChameleonBlock> BlockOf(const audit::Family& family, uint8_t whose) {
    Digest id{};
    id[0] = whose;
    return std::make_shared<const ChameleonBlock>(*family.MarkedBlockOf(id));
  }

  TestProvider provider_;
  TestSession session_ = provider_.MakeSession(WithAuditTrail());
  AduMaker maker_{session_};
  RecordingSpace space_{session_, maker_};
  RecordingSink sink_;
  std::unique_ptr<PlayOut> play_out_ = *PlayOut::Create(session_.session(), 0, space_, sink_);
  MadeAdu adu_;
  absl::Status status_;
};

TEST_F(MarkedPlayOutTest, TwoReceiversGetTheSameButForTheirMarks) {
  Play(BlockOf(session_.family(), 1));
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_EQ(sink_.written.size(), adu_.plaintext.size());
  size_t marked = 0;
  for (size_t i = 0; i < adu_.plaintext.size(); ++i) {
    const uint8_t differs = sink_.written[i] ^ adu_.plaintext[i];
    EXPECT_LE(differs, i % 2 == 0 ? 1 : 0) << i;
    marked += differs;
  }
  EXPECT_GT(marked, adu_.plaintext.size() / 8);
}

TEST_F(MarkedPlayOutTest, AnotherFamilysBlockMakesNoiseAndNoCrash) {
  SecretBytes secret(audit::kAuditSecretBytes);
  secret.RevealMutable()[0] = 1;
  Play(BlockOf(*audit::Family::Of(std::move(secret), 10), 1));
  ASSERT_TRUE(status_.ok()) << status_;
  ASSERT_EQ(sink_.written.size(), adu_.plaintext.size());
  size_t bits = 0;
  for (size_t i = 0; i < adu_.plaintext.size(); ++i) {
    bits += static_cast<size_t>(__builtin_popcount(sink_.written[i] ^ adu_.plaintext[i]));
  }
  EXPECT_NEAR(static_cast<double>(bits) / (8.0 * static_cast<double>(adu_.plaintext.size())), 0.5,
              0.02);
}

TEST_F(MarkedPlayOutTest, AsksForNoKeyWithoutABlock) {
  Play(nullptr);
  EXPECT_EQ(status_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(space_.asked().empty());
}

}  // namespace
}  // namespace nark::receiver
