// Replicas as receivers see them over gRPC: any of them answers any step, and one
// that lies is found out.

#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_file.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/session.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "keymanager/grpc_client.h"
#include "nark/v1/grant.pb.h"
#include "nark/v1/keymanager.grpc.pb.h"
#include "securespace/folder.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCall{20000};

template <typename Value>
Value Must(absl::StatusOr<Value> value, const std::string& what) {
  if (!value.ok()) throw std::runtime_error(what + ": " + value.status().ToString());
  return *std::move(value);
}

// A receiver host's half of a join, one step at a time.
class Host {
 public:
  Host(const SessionFiles& session, const SecureSpaceFolder& space, const std::string& voucher)
      : descriptor_(Must(ReadNarkFile(session.session, v1::NarkFile::kSessionDescriptor), "session")
                        .session_descriptor()),
        voucher_(Must(ReadNarkFile(voucher, v1::NarkFile::kVoucher), "voucher").voucher()),
        session_(Must(VerifiedSession::Verify(descriptor_, clock_.Now()), "descriptor")),
        folder_(Must(securespace::Folder::Open(space.folder, clock_, random_), "secure space")) {}

  std::unique_ptr<keymanager::Client> Connect(const std::string& address) const {
    rpc::ChannelOptions options;
    options.endpoint = address;
    options.tls = rpc::TlsTrust{ToBytes(AsBytes(session_.descriptor().tls_ca_certificate())),
                                keymanager::kServerName};
    return Must(keymanager::MakeGrpcClient(options), address);
  }

  v1::GetChallengeRequest ChallengeRequest() {
    v1::GetChallengeRequest request;
    *request.mutable_session() = session_.name().ToProto();
    request.set_secure_space_id(Must(folder_->space().GetIdentity(), "identity").secure_space_id());
    return request;
  }
  v1::Challenge Challenge(keymanager::Client& replica) {
    return Must(replica.GetChallenge(ChallengeRequest(), kCall), "challenge").challenge();
  }
  // The request for a grant, with evidence for this challenge.
  v1::IssueGrantRequest Attest(const v1::Challenge& challenge) {
    v1::AttestRequest attest;
    *attest.mutable_session_descriptor() = descriptor_;
    *attest.mutable_voucher() = voucher_;
    *attest.mutable_challenge() = challenge;
    const v1::AttestResponse attested = Must(folder_->space().Attest(attest), "attest");
    v1::IssueGrantRequest request;
    *request.mutable_session_descriptor() = descriptor_;
    *request.mutable_voucher() = voucher_;
    *request.mutable_challenge() = challenge;
    *request.mutable_evidence() = attested.evidence();
    *request.mutable_secure_space_certificates() = attested.secure_space_certificates();
    return request;
  }
  absl::StatusOr<v1::InstallGrantResponse> Install(const v1::SignedEnvelope& grant) {
    v1::InstallGrantRequest request;
    *request.mutable_session() = session_.name().ToProto();
    *request.mutable_grant() = grant;
    return folder_->space().InstallGrant(request);
  }
  size_t installed() {
    return static_cast<size_t>(Must(folder_->space().GetIdentity(), "identity").grants_size());
  }

 private:
  SystemClock clock_;
  SystemRandom random_;
  v1::SignedEnvelope descriptor_;
  v1::SignedEnvelope voucher_;
  VerifiedSession session_;
  std::unique_ptr<securespace::Folder> folder_;
};

class KeyManagersTest : public testing::Test {
 protected:
  void StartReplicas(int count) {
    for (int i = 0; i < count; ++i) replicas_.push_back(world_.StartKeyManager());
    session_ = world_.MakeSession({replicas_[0].listen}, {});
    space_ = world_.MakeSecureSpace();
    voucher_ = world_.MakeVoucher(session_, space_.id, "0-999");
  }
  static void ExpectNotAttested(const absl::StatusOr<v1::IssueGrantResponse>& answer) {
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnauthenticated) << answer.status();
    EXPECT_EQ(ReasonOf(answer.status()), "NOT_ATTESTED") << answer.status();
  }

  World world_;
  std::vector<Server> replicas_;
  SessionFiles session_;
  SecureSpaceFolder space_;
  std::string voucher_;
};

TEST_F(KeyManagersTest, AnyReplicaAnswersAnyStep) {
  StartReplicas(3);
  Host host(session_, space_, voucher_);
  auto one = host.Connect(replicas_[0].listen), two = host.Connect(replicas_[1].listen),
       three = host.Connect(replicas_[2].listen);

  const v1::IssueGrantRequest request = host.Attest(host.Challenge(*one));
  replicas_[0].process->Kill();  // what it knew is gone with it
  const auto from_two = Must(two->IssueGrant(request, kCall), "grant");
  const auto retried = Must(three->IssueGrant(request, kCall), "retry");
  const auto installed = Must(host.Install(retried.grant()), "install");
  EXPECT_EQ(installed.grant_id().size(), 32u);
  EXPECT_EQ(host.installed(), 1u);

  // The grant that came from the other replica for the same evidence, and another
  // exchange altogether, are the same grant.
  const auto other = host.Install(from_two.grant());
  if (other.ok()) {
    EXPECT_EQ(other->grant_id(), installed.grant_id());
  } else {
    EXPECT_EQ(ReasonOf(other.status()), "NO_EXCHANGE") << other.status();
  }
  const auto again = Must(two->IssueGrant(host.Attest(host.Challenge(*three)), kCall), "again");
  EXPECT_EQ(Must(host.Install(again.grant()), "install again").grant_id(), installed.grant_id());
  EXPECT_EQ(host.installed(), 1u);
}

TEST_F(KeyManagersTest, ReplayingARequestIsHarmless) {
  StartReplicas(2);
  Host host(session_, space_, voucher_);
  auto one = host.Connect(replicas_[0].listen), two = host.Connect(replicas_[1].listen);
  const v1::IssueGrantRequest request = host.Attest(host.Challenge(*one));
  std::optional<std::string> id;
  for (int i = 0; i < 4; ++i) {
    const auto answer = Must((i % 2 == 0 ? one : two)->IssueGrant(request, kCall), "grant");
    const auto verified = PayloadOf<v1::SealedGrant>(answer.grant(), "grant");
    ASSERT_TRUE(verified.ok());
    // Bound to the same transcript each time: no other secure space can open it.
    if (!id) id = verified->transcript();
    EXPECT_EQ(verified->transcript(), *id);
  }
}

TEST_F(KeyManagersTest, ChangedForeignAndMixedUpEvidenceIsNotAttested) {
  StartReplicas(1);
  World elsewhere;
  const Server foreign = elsewhere.StartKeyManager();
  Host host(session_, space_, voucher_);
  auto replica = host.Connect(replicas_[0].listen);
  const v1::Challenge challenge = host.Challenge(*replica);
  const v1::IssueGrantRequest good = host.Attest(challenge);

  v1::IssueGrantRequest bad = good;
  bad.mutable_challenge()->mutable_mac()->front() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_challenge()->mutable_body()->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;  // evidence for this challenge under another one
  *bad.mutable_challenge() = host.Challenge(*replica);
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_evidence()->mutable_signature()->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_evidence()->mutable_payload()->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_voucher()->mutable_payload()->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_session_descriptor()->mutable_payload()->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.clear_secure_space_certificates();
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  bad = good;
  bad.mutable_secure_space_certificates(0)->back() ^= 1;
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
  ExpectNotAttested(replica->IssueGrant({}, kCall));

  // The request as it was is still good: nothing was spent.
  EXPECT_TRUE(replica->IssueGrant(good, kCall).ok());

  // Another pool makes no challenge for this session, and one that it makes for its
  // own is none here.
  const SessionFiles theirs = elsewhere.MakeSession({foreign.listen}, {});
  const SecureSpaceFolder their_space = elsewhere.MakeSecureSpace();
  Host their_host(theirs, their_space, elsewhere.MakeVoucher(theirs, their_space.id, "0-9"));
  auto their_replica = their_host.Connect(foreign.listen);
  const auto refused = their_replica->GetChallenge(host.ChallengeRequest(), kCall);
  EXPECT_EQ(ReasonOf(refused.status()), "NOT_ATTESTED") << refused.status();
  bad = good;
  *bad.mutable_challenge() = their_host.Challenge(*their_replica);
  ExpectNotAttested(replica->IssueGrant(bad, kCall));
}

TEST_F(KeyManagersTest, ACardThatWasHandedALieInstallsNothing) {
  StartReplicas(1);
  Host host(session_, space_, voucher_);
  auto replica = host.Connect(replicas_[0].listen);
  const v1::SignedEnvelope stale =
      Must(replica->IssueGrant(host.Attest(host.Challenge(*replica)), kCall), "grant").grant();
  // A new exchange has a new key: the grant of the one before does not open.
  const v1::IssueGrantRequest request = host.Attest(host.Challenge(*replica));
  const auto refused = host.Install(stale);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(ReasonOf(refused.status()), "GRANT_REFUSED") << refused.status();
  EXPECT_EQ(host.installed(), 0u);
  const auto grant = Must(replica->IssueGrant(request, kCall), "grant").grant();
  EXPECT_TRUE(host.Install(grant).ok());
}

// Two replicas with signing keys of their own; one was stolen, and is revoked.
TEST_F(KeyManagersTest, ARevokedReplicaServesNobodyAndTheOtherAll) {
  const auto own = [&](const std::string& name) {
    world_.Do("narkctl", {"pool", "replica", world_.pool(), "--provider", world_.provider(),
                          "--out", world_.Path(name)});
    return world_.StartServer("nark-keymanager",
                              {"--pool", world_.Path(name), "--issuer",
                               world_.issuer() + "/issuer.pem", "--listen", "127.0.0.1:0"});
  };
  const Server stolen = own("stolen"), other = own("other");
  session_ = world_.MakeSession({stolen.listen, other.listen}, {});
  space_ = world_.MakeSecureSpace();
  voucher_ = world_.MakeVoucher(session_, space_.id, "0-999");
  const SecureSpaceFolder early = world_.MakeSecureSpace();
  const auto join = [&](const SecureSpaceFolder& space, const std::string& voucher,
                        const Words& more) {
    return world_.StartJoin(session_, space, voucher, world_.Path("out-" + space.id), more)
        ->Stop()
        .status;
  };
  EXPECT_EQ(
      join(early, world_.MakeVoucher(session_, early.id, "0-9"), {"--key-manager", stolen.listen}),
      0);

  world_.Do("narkctl", {"pool", "revoke", world_.pool(), "--provider", world_.provider(),
                        "--certificate", world_.Path("stolen"), "--session", session_.session});
  Words arguments = world_.JoinArguments(session_, space_, voucher_, world_.Path("out"));
  arguments.insert(arguments.end(), {"--key-manager", stolen.listen, "--timeout", "5s"});
  const Outcome refused =
      Execute({"nark-receiver", arguments, "", {"NARK_LOG_LEVEL=off"}}, world_.Path("logs"));
  EXPECT_EQ(refused.status, 2) << refused.ToString();
  EXPECT_NE(refused.err.find("this key manager's certificate has been revoked"), std::string::npos)
      << refused.ToString();
  EXPECT_NE(refused.err.find(stolen.listen), std::string::npos) << refused.ToString();

  EXPECT_EQ(join(space_, voucher_, {"--key-manager", stolen.listen, "--key-manager", other.listen}),
            0);
}

// A key manager that passes requests on to a real one and tampers with what comes
// back.
class Liar final : public v1::KeyManager::Service {
 public:
  using Tamper = std::function<void(const v1::IssueGrantRequest&, v1::SignedEnvelope&)>;
  Liar(World& world, keymanager::Client& honest, Tamper tamper)
      : honest_(honest), tamper_(std::move(tamper)) {
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = rpc::TlsIdentity{ReadAll(world.PoolFile("tls-", ".pem")),
                                   Must(ReadSecretFile(world.PoolFile("tls-", ".key")), "TLS key")};
    server_ = Must(rpc::Server::Start(std::move(options), {this}), "liar");
  }
  const std::string& address() const { return server_->address(); }
  int grants() const { return grants_; }

  grpc::Status GetChallenge(grpc::ServerContext*, const v1::GetChallengeRequest* request,
                            v1::GetChallengeResponse* response) override {
    *response = Must(honest_.GetChallenge(*request, kCall), "challenge");
    return grpc::Status::OK;
  }
  grpc::Status IssueGrant(grpc::ServerContext*, const v1::IssueGrantRequest* request,
                          v1::IssueGrantResponse* response) override {
    ++grants_;
    *response = Must(honest_.IssueGrant(*request, kCall), "grant");
    tamper_(*request, *response->mutable_grant());
    return grpc::Status::OK;
  }

 private:
  keymanager::Client& honest_;
  Tamper tamper_;
  std::atomic<int> grants_{0};
  std::unique_ptr<rpc::Server> server_;
};

struct Lie {
  std::string name;
  Liar::Tamper tamper;
};

class LiarTest : public testing::TestWithParam<Lie> {
 protected:
  World world_;
};

TEST_P(LiarTest, IsFoundOutAndAnotherReplicaServes) {
  const Server honest = world_.StartKeyManager();
  const SessionFiles session = world_.MakeSession({honest.listen}, {});
  const SecureSpaceFolder space = world_.MakeSecureSpace(), other = world_.MakeSecureSpace();
  const std::string voucher = world_.MakeVoucher(session, space.id, "0-9");
  std::unique_ptr<keymanager::Client> client =
      Host(session, other, world_.MakeVoucher(session, other.id, "0-9")).Connect(honest.listen);
  Liar liar(world_, *client, GetParam().tamper);

  Words arguments = world_.JoinArguments(session, space, voucher, world_.Path("out"));
  arguments.insert(arguments.end(), {"--key-manager", liar.address(), "--timeout", "5s"});
  const Outcome refused =
      Execute({"nark-receiver", arguments, "", {"NARK_LOG_LEVEL=off"}}, world_.Path("logs"));
  EXPECT_EQ(refused.status, 2) << refused.ToString();
  EXPECT_NE(refused.err.find(liar.address()), std::string::npos) << refused.ToString();
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.ToString();
  EXPECT_GE(liar.grants(), 1);
  const std::string shown = world_.Do("nark-securespace", {"show", space.folder, "--json"});
  EXPECT_NE(shown.find("\"grants\":[]"), std::string::npos) << shown;

  // Nothing is lost: with an honest replica behind the liar the join succeeds.
  EXPECT_EQ(world_
                .StartJoin(session, space, voucher, world_.Path("out"),
                           {"--key-manager", liar.address(), "--key-manager", honest.listen})
                ->Stop()
                .status,
            0);
}

void Flip(std::string& bytes, size_t at) { bytes[at % bytes.size()] ^= 1; }

// Changes the SealedGrant inside.
Liar::Tamper Resealed(std::function<void(v1::SealedGrant&)> change) {
  return [change = std::move(change)](const v1::IssueGrantRequest&, v1::SignedEnvelope& grant) {
    v1::SealedGrant sealed;
    sealed.ParseFromString(grant.payload());
    change(sealed);
    grant.set_payload(Serialise(sealed));
  };
}

INSTANTIATE_TEST_SUITE_P(
    Lies, LiarTest,
    testing::Values(
        Lie{"Unsigned", [](const auto&, v1::SignedEnvelope& grant) { grant.clear_signature(); }},
        Lie{"SignatureOfNothing",
            [](const auto&, v1::SignedEnvelope& grant) {
              grant.set_signature(std::string(64, 0));
            }},
        Lie{"SignatureChanged",
            [](const auto&, v1::SignedEnvelope& grant) { Flip(*grant.mutable_signature(), 9); }},
        Lie{"NotCertified",
            [](const auto&, v1::SignedEnvelope& grant) { grant.clear_certificates(); }},
        Lie{"OtherType",
            [](const auto&, v1::SignedEnvelope& grant) {
              grant.set_payload_type(std::string(payload_type::kVoucher));
            }},
        Lie{"AnotherObject", [](const v1::IssueGrantRequest& request,
                                v1::SignedEnvelope& grant) { grant = request.voucher(); }},
        Lie{"Nothing", [](const auto&, v1::SignedEnvelope& grant) { grant.Clear(); }},
        Lie{"OtherTranscript",
            Resealed([](v1::SealedGrant& sealed) { Flip(*sealed.mutable_transcript(), 3); })},
        Lie{"OtherCiphertext",
            Resealed([](v1::SealedGrant& sealed) { Flip(*sealed.mutable_ciphertext(), 40); })},
        Lie{"OtherKey", Resealed([](v1::SealedGrant& sealed) { Flip(*sealed.mutable_enc(), 7); })},
        Lie{"SignedByTheCard",
            [](const v1::IssueGrantRequest& request, v1::SignedEnvelope& grant) {
              // A true signature of a true certificate, of the wrong role.
              grant.set_key_id(request.evidence().key_id());
              grant.set_signature(request.evidence().signature());
              *grant.mutable_certificates() = request.secure_space_certificates();
            }},
        Lie{"Truncated",
            [](const auto&, v1::SignedEnvelope& grant) {
              grant.mutable_payload()->resize(grant.payload().size() / 2);
            }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace nark::harness
