#ifndef NARK_COMMON_OBJECT_TESTING_H_
#define NARK_COMMON_OBJECT_TESTING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "common/audit/family.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/identity.h"
#include "common/object/pool_folder.h"
#include "common/object/provider.h"
#include "common/object/session.h"

namespace nark {

// 2026-01-01 00:00:00 UTC: the time of tests that do not care.
inline constexpr Timestamp kTestTime{std::chrono::seconds{1767225600}};

// A session of a TestProvider, with all its secrets.
struct TestSession {
  NewSession made;                                      // .session, .secrets, .senders
  std::map<uint32_t, v1::SignedEnvelope> sender_files;  // by sender id

  const VerifiedSession& session() const { return made.session; }
  const v1::SignedEnvelope& descriptor() const { return made.descriptor; }
  const SessionName& name() const { return made.session.name(); }
  const SecretBytes& seed() const { return made.secrets.seed; }
  const SessionSecrets& secrets() const { return made.secrets; }
  const PrivateKey& sender_key(uint32_t sender_id = 1) const {
    return made.senders.at(sender_id).key;
  }
  // The audit trail's, which the session must have.
  audit::Family family() const;
  // The sender's root in a sub-session.
  SecretBytes SenderRoot(uint32_t sender_id = 1, uint32_t sub_session = 0) const;
};

// `options` with an audit trail: a family that is the same for the same size.
SessionOptions WithAuditTrail(SessionOptions options = {}, uint32_t words_log2 = 10);

// A secure space's keys and certificate.
struct TestSecureSpace {
  PrivateKey attestation_key;
  PrivateKey note_key;
  Certificate certificate;
  Digest id{};
};

// A provider, its pool and an issuer in memory, made by the builders that narkctl
// uses too. Ends the test program where something fails. One thread only.
class TestProvider {
 public:
  explicit TestProvider(Timestamp now = kTestTime, uint64_t seed = 1);

  Timestamp now() const { return now_; }
  Random& random() { return random_; }
  const Digest& id() const { return root.certificate.public_key().id(); }
  SessionSigners signers() const {
    return {root.certificate, descriptor_role, senders_role, tls_ca.certificate};
  }

  // A session as `options` say; sealed to pool_key. Where options name no
  // transport: "udp://239.255.42.1:5004?adapter=lo" for every sub-session.
  TestSession MakeSession(SessionOptions options = {});

  // Everything of `first` to `last`.
  v1::SignedEnvelope MakeVoucher(const TestSession& session, const Digest& secure_space_id,
                                 uint64_t first, uint64_t last);
  v1::SignedEnvelope MakeVoucher(const TestSession& session, const VoucherOptions& options);

  // New keys, certified by `issuer`.
  TestSecureSpace MakeSecureSpace();
  TestSecureSpace MakeSecureSpace(const SigningIdentity& by_issuer);

  // Another replica of the pool: same HPKE and MAC key, own signing key.
  SigningIdentity MakeReplica();
  // All that such a replica holds.
  PoolFolder MakePool();

 private:
  Timestamp now_;
  SeededRandom random_;

 public:
  SigningIdentity root;
  SigningIdentity descriptor_role;
  SigningIdentity till;
  SigningIdentity refunds;
  SigningIdentity pool_role;
  SigningIdentity senders_role;
  SigningIdentity control;
  SigningIdentity tls_ca;
  SigningIdentity issuer;
  std::vector<HpkePrivateKey> pool_keys;     // one
  std::vector<ChallengeKey> challenge_keys;  // one
  SigningIdentity key_manager;               // Chain(): key manager, pool role
  SigningIdentity key_manager_tls;           // for keymanager.nark
  std::vector<Digest> revoked_key_managers;  // of the next sessions; ascending
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_TESTING_H_
