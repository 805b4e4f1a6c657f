// What every SecureSpace does, whether it is in this process or behind a socket.

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "securespace/grpc_space_fixture.h"
#include "securespace/remote.h"
#include "securespace/socket_server.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

// A folder of its own, with a short path or one that no socket address holds.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(size_t depth) {
    char path[] = "/tmp/nark-XXXXXX";
    path_ = root_ = mkdtemp(path);
    for (size_t i = 0; i < depth; ++i) {
      path_ += "/a-folder-with-a-rather-long-name-" + std::to_string(i);
      EXPECT_EQ(mkdir(path_.c_str(), 0700), 0);
    }
  }
  ~TemporaryFolder() {
    if (system(("rm -rf " + root_).c_str()) != 0) ADD_FAILURE() << root_ << " stays behind";
  }
  const std::string& path() const { return path_; }

 private:
  std::string root_;
  std::string path_;
};

enum class Way { kInProcess, kFrames, kDeepFrames, kGrpc };

class ContractTest : public testing::TestWithParam<Way> {
 protected:
  explicit ContractTest(SessionOptions options = {})
      : world_(std::move(options)), folder_(GetParam() == Way::kDeepFrames ? 5 : 0) {
    if (GetParam() == Way::kInProcess) return;
    auto server = SocketServer::Start(world_.space(), socket());
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto remote =
        GetParam() == Way::kGrpc ? GrpcSpace::Connect(socket()) : ConnectSecureSpace(socket());
    EXPECT_TRUE(remote.ok()) << remote.status();
    remote_ = *std::move(remote);
  }
  std::string socket() const { return folder_.path() + "/socket"; }
  SecureSpace& space() { return remote_ != nullptr ? *remote_ : world_.space(); }

  TestWorld world_;
  TemporaryFolder folder_;
  std::unique_ptr<SocketServer> server_;
  std::unique_ptr<SecureSpace> remote_;
};

TEST_P(ContractTest, SaysWhoItIs) {
  absl::StatusOr<v1::GetIdentityResponse> identity = space().GetIdentity();
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->secure_space_id(), ToText(world_.identity.id));
  EXPECT_EQ(identity->certificates_size(), 1);
  EXPECT_EQ(identity->grants_size(), 0);
}

TEST_P(ContractTest, JoinsAndReleasesInOrderOfTheList) {
  ASSERT_TRUE(world_.Join(space(), world_.Voucher(0, 9)).ok());
  EXPECT_EQ(space().GetIdentity()->grants_size(), 1);
  TestAdu one = MakeAdu(world_.session, 1);
  TestAdu beyond = MakeAdu(world_.session, 10);
  auto decisions = space().ReleaseKeys(
      {world_.session.name(), 0, {one.header, beyond.header, one.header, ByteView()}});
  ASSERT_TRUE(decisions.ok()) << decisions.status();
  ASSERT_EQ(decisions->size(), 4u);
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_TRUE((*decisions)[0].data_key == one.data_key);
  EXPECT_EQ((*decisions)[1].refusal, v1::REFUSAL_REASON_RANGE);
  EXPECT_TRUE((*decisions)[1].data_key.empty());
  EXPECT_EQ((*decisions)[2].refusal, v1::REFUSAL_REASON_RELEASED);
  EXPECT_EQ((*decisions)[3].refusal, v1::REFUSAL_REASON_MALFORMED);
}

class MarkedContractTest : public ContractTest {
 protected:
  MarkedContractTest() : ContractTest(WithAuditTrail({}, ChameleonBlock::kMaxWordsLog2)) {}
};

// The largest, in as many bytes as there are.
TEST_P(MarkedContractTest, OpensItsMarkedBlock) {
  ASSERT_TRUE(world_.Join(space(), world_.Voucher(0, 9)).ok());
  const audit::Family family = world_.session.family();
  const Digest& id = world_.identity.id;
  Bytes sealed =
      *audit::SealBlock(*family.BlockKey(id), family.id(), id, *family.MarkedBlockOf(id));
  const auto block = space().OpenMarkedBlock(world_.session.name(), sealed);
  ASSERT_TRUE(block.ok()) << block.status();
  ASSERT_NE(*block, nullptr);
  EXPECT_TRUE((*block)->bytes() == family.MarkedBlockOf(id)->bytes());
  sealed[1000] ^= 1;
  EXPECT_EQ(space().OpenMarkedBlock(world_.session.name(), sealed).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(ContractTest, AnEmptyListIsAnsweredByOne) {
  auto decisions = space().ReleaseKeys({world_.session.name(), 0, {}});
  ASSERT_TRUE(decisions.ok());
  EXPECT_TRUE(decisions->empty());
}

TEST_P(ContractTest, RefusalsKeepCodeAndReason) {
  v1::InstallGrantRequest request;
  *request.mutable_session() = world_.session.name().ToProto();
  absl::Status status = space().InstallGrant(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "NO_EXCHANGE");
  GrantOptions lie;
  lie.spoil_grant = [](v1::Grant& grant) { grant.clear_seeds(); };
  status = world_.Join(space(), world_.Voucher(0, 9), lie).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(ReasonOf(status), "GRANT_REFUSED");
  ReleaseRequest many{world_.session.name(), 0, std::vector<ByteView>(1025)};
  EXPECT_EQ(space().ReleaseKeys(many).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(ContractTest, TakesDigestsBesideHeaders) {
  ReleaseRequest many{world_.session.name(), 0, {}, std::vector<DigestClaim>(65)};
  EXPECT_EQ(space().ReleaseKeys(many).status().code(), absl::StatusCode::kInvalidArgument);
  ReleaseRequest most{world_.session.name(), 0, {}, std::vector<DigestClaim>(64)};
  EXPECT_TRUE(space().ReleaseKeys(most).ok());
  OpenRequest cards{world_.session.name(), 0, {}, std::vector<DigestClaim>(65)};
  EXPECT_EQ(space().OpenAdus(cards).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(ContractTest, GivesNotes) {
  ASSERT_TRUE(world_.Join(space(), world_.Voucher(0, 9)).ok());
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = world_.session.name().ToProto();
  request.set_status(v1::NOTE_STATUS_FINAL);
  absl::StatusOr<v1::GetDeliveryNoteResponse> note = space().GetDeliveryNote(request);
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_TRUE(VerifyEnvelope(note->note(), payload_type::kDeliveryNote,
                             world_.identity.note_key.public_key())
                  .ok());
}

INSTANTIATE_TEST_SUITE_P(Ways, ContractTest,
                         testing::Values(Way::kInProcess, Way::kFrames, Way::kDeepFrames,
                                         Way::kGrpc));
INSTANTIATE_TEST_SUITE_P(Ways, MarkedContractTest,
                         testing::Values(Way::kInProcess, Way::kFrames, Way::kGrpc));

SessionOptions WithAdverts() {
  SessionOptions options;
  v1::SubSession& adverts = options.sub_sessions.emplace_back();
  adverts.set_id(3);
  adverts.set_demands_digest(true);
  return options;
}

class AdvertsContractTest : public ContractTest {
 protected:
  AdvertsContractTest() : ContractTest(WithAdverts()) {}
};

TEST_P(AdvertsContractTest, DigestsComeThrough) {
  VoucherOptions bought;
  bought.secure_space_id = world_.identity.id;
  bought.policy.mutable_range()->set_last(9);
  bought.policy.add_sub_sessions(3);
  ASSERT_TRUE(world_.Join(space(), world_.provider.MakeVoucher(world_.session, bought)).ok());
  AduOptions options;
  options.sub_session = 3;
  const TestAdu first = MakeAdu(world_.session, options);
  options.id = 1;
  const TestAdu second = MakeAdu(world_.session, options);
  const auto ask = [&](const TestAdu& adu, std::vector<DigestClaim> digests) {
    const auto decisions =
        space().ReleaseKeys({world_.session.name(), 3, {adu.header}, std::move(digests)});
    EXPECT_TRUE(decisions.ok()) << decisions.status();
    return decisions->front().refusal;
  };
  EXPECT_EQ(ask(first, {}), v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ(ask(second, {}), v1::REFUSAL_REASON_DIGEST);
  EXPECT_EQ(ask(second, {first.claim}), v1::REFUSAL_REASON_UNSPECIFIED);
}

INSTANTIATE_TEST_SUITE_P(Ways, AdvertsContractTest,
                         testing::Values(Way::kInProcess, Way::kFrames, Way::kGrpc));

SessionOptions OnCard() {
  SessionOptions options;
  options.release = v1::RELEASE_MODE_PLAINTEXT;
  return options;
}

class OnCardContractTest : public ContractTest {
 protected:
  OnCardContractTest() : ContractTest(OnCard()) {}
};

TEST_P(OnCardContractTest, OpensAdus) {
  ASSERT_TRUE(world_.Join(space(), world_.Voucher(0, 9)).ok());
  AduOptions options;
  options.plaintext_bytes = 1 << 20;
  TestAdu adu = MakeAdu(world_.session, options);
  auto decisions = space().OpenAdus(
      {world_.session.name(),
       0,
       {{adu.header, ByteView(adu.ciphertext).first(9)}, {adu.header, adu.ciphertext}}});
  ASSERT_TRUE(decisions.ok()) << decisions.status();
  EXPECT_EQ((*decisions)[0].refusal, v1::REFUSAL_REASON_CIPHERTEXT);
  EXPECT_EQ((*decisions)[1].refusal, v1::REFUSAL_REASON_UNSPECIFIED);
  EXPECT_EQ((*decisions)[1].plaintext, adu.plaintext);
}

INSTANTIATE_TEST_SUITE_P(Ways, OnCardContractTest,
                         testing::Values(Way::kInProcess, Way::kFrames, Way::kGrpc));

TEST(SocketServerTest, IsForItsOwnerOnly) {
  TestWorld world;
  TemporaryFolder folder(0);
  std::string path = folder.path() + "/socket";
  auto server = SocketServer::Start(world.space(), path);
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  server->reset();
  EXPECT_NE(stat(path.c_str(), &info), 0);
}

TEST(SocketServerTest, RefusesAPathThatIsServedOrAFile) {
  TestWorld world;
  TemporaryFolder folder(0);
  std::string path = folder.path() + "/socket";
  auto server = SocketServer::Start(world.space(), path);
  ASSERT_TRUE(server.ok());
  EXPECT_TRUE(absl::IsUnavailable(SocketServer::Start(world.space(), path).status()));
  std::string file = folder.path() + "/file";
  ASSERT_TRUE(WriteFile(file, AsBytes("x"), FileMode::kPublic).ok());
  EXPECT_TRUE(absl::IsUnavailable(SocketServer::Start(world.space(), file).status()));
  EXPECT_TRUE(ReadFile(file).ok());
}

TEST(RemoteTest, SaysWhereNobodyListens) {
  auto remote = ConnectSecureSpace("/tmp/nark-nobody-listens-here");
  ASSERT_TRUE(remote.ok());
  absl::Status status = (*remote)->GetIdentity().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("/tmp/nark-nobody-listens-here"), absl::string_view::npos);
}

}  // namespace
}  // namespace nark::securespace
