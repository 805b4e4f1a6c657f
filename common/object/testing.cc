#include "common/object/testing.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/statusor.h"
#include "common/schedule/key_schedule.h"

namespace nark {
namespace {

constexpr uint8_t kEmulated = 1;  // nark.v1.ASSURANCE_CLASS_EMULATED

// The value, or the end of the program: a fixture that fails has no test to fail.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "TestProvider: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

SecretBytes RandomSecret(Random& random, size_t bytes) {
  SecretBytes secret(bytes);
  if (!random.Fill(secret.RevealMutable()).ok()) std::abort();
  return secret;
}

std::vector<ChallengeKey> OneChallengeKey(Random& random, Timestamp now) {
  std::vector<ChallengeKey> keys;
  keys.push_back({.key = RandomSecret(random, 32), .made = now, .makes_from = now});
  return keys;
}

std::vector<HpkePrivateKey> OnePoolKey(Random& random) {
  std::vector<HpkePrivateKey> keys;
  keys.push_back(Must(HpkePrivateKey::Generate(random)));
  return keys;
}

}  // namespace

audit::Family TestSession::family() const {
  return Must(
      audit::Family::Of(secrets().audit.Clone(), session().terms().audit().block_words_log2()));
}

SessionOptions WithAuditTrail(SessionOptions options, uint32_t words_log2) {
  SecretBytes secret(audit::kAuditSecretBytes);
  secret.RevealMutable()[0] = 42;
  options.cipher = "chameleon";
  options.audit = AuditOptions{.family = std::make_shared<const audit::Family>(
                                   Must(audit::Family::Of(std::move(secret), words_log2))),
                               .colluders = 1};
  return options;
}

SecretBytes TestSession::SenderRoot(uint32_t sender_id, uint32_t sub_session) const {
  const v1::GeneratorParameters& generator = session().terms().generator();
  return Must(schedule::SenderRoot(seed(), name(), sub_session, {generator.id(), generator.depth()},
                                   sender_id));
}

TestProvider::TestProvider(Timestamp now, uint64_t seed)
    : now_(now),
      random_(seed),
      root(Must(MakeRoot(CertificateRole::kProviderRoot, "Test Provider", now))),
      descriptor_role(Must(MakeRole(CertificateRole::kDescriptor, root, now))),
      till(Must(MakeRole(CertificateRole::kTill, root, now))),
      refunds(Must(MakeRole(CertificateRole::kRefunds, root, now))),
      pool_role(Must(MakeRole(CertificateRole::kPool, root, now))),
      senders_role(Must(MakeRole(CertificateRole::kSenders, root, now))),
      control(Must(MakeRole(CertificateRole::kControl, root, now))),
      tls_ca(Must(MakeRoot(CertificateRole::kTlsCa, "Test Provider TLS", now))),
      issuer(Must(MakeRoot(CertificateRole::kIssuerRoot, "Test Issuer", now))),
      pool_keys(OnePoolKey(random_)),
      challenge_keys(OneChallengeKey(random_, now)),
      key_manager(MakeReplica()),
      key_manager_tls(Must(MakeTlsServer("keymanager.nark", tls_ca, now))) {}

TestSession TestProvider::MakeSession(SessionOptions options) {
  if (options.transports.empty()) {
    options.transports[0] = "udp://239.255.42.1:5004?adapter=lo";
    for (const v1::SubSession& sub : options.sub_sessions) {
      options.transports[sub.id()] = options.transports[0];
    }
  }
  SessionPool pool = {.keys = {}, .revoked_key_managers = revoked_key_managers};
  for (const HpkePrivateKey& key : pool_keys) pool.keys.push_back(key.public_key());
  NewSession made = Must(nark::MakeSession(options, signers(), pool, now_, random_));
  const SigningIdentity sender_tls = Must(MakeTlsServer("sender.nark", tls_ca, now_));
  std::map<uint32_t, v1::SignedEnvelope> files;
  for (const auto& [id, identity] : made.senders) {
    files[id] = Must(MakeSenderFile(made, id, senders_role, sender_tls));
  }
  return {.made = std::move(made), .sender_files = std::move(files)};
}

v1::SignedEnvelope TestProvider::MakeVoucher(const TestSession& session,
                                             const Digest& secure_space_id, uint64_t first,
                                             uint64_t last) {
  VoucherOptions options;
  options.secure_space_id = secure_space_id;
  options.policy.mutable_range()->set_first(first);
  options.policy.mutable_range()->set_last(last);
  return MakeVoucher(session, options);
}

v1::SignedEnvelope TestProvider::MakeVoucher(const TestSession& session,
                                             const VoucherOptions& options) {
  return Must(nark::MakeVoucher(options, session.session(), till, now_, random_));
}

TestSecureSpace TestProvider::MakeSecureSpace() { return MakeSecureSpace(issuer); }

TestSecureSpace TestProvider::MakeSecureSpace(const SigningIdentity& by_issuer) {
  PrivateKey attestation_key = Must(PrivateKey::Generate());
  PrivateKey note_key = Must(PrivateKey::Generate());
  const std::string request = Must(MakeSecureSpaceRequestPem(attestation_key, note_key, kEmulated));
  Certificate certificate =
      Must(CertifySecureSpace(Must(ParseSecureSpaceRequestPem(AsBytes(request))), by_issuer, now_));
  const Digest id =
      SecureSpaceId(attestation_key.public_key().spki(), note_key.public_key().spki());
  return {.attestation_key = std::move(attestation_key),
          .note_key = std::move(note_key),
          .certificate = std::move(certificate),
          .id = id};
}

SigningIdentity TestProvider::MakeReplica() {
  return Must(MakeKeyManager("Test Key Manager", pool_role, now_));
}

PoolFolder TestProvider::MakePool() {
  PoolFolder pool = {.root = root.certificate,
                     .hpke_keys = {},
                     .hpke_keys_made = {},
                     .challenge_keys = {},
                     .signing = MakeReplica(),
                     .tls_certificates_pem = key_manager_tls.certificate.ToPem(),
                     .tls_key_pem = Must(key_manager_tls.key.ToPem())};
  for (const HpkePrivateKey& key : pool_keys) {
    pool.hpke_keys.push_back(Must(HpkePrivateKey::FromRaw(key.raw().Clone())));
    pool.hpke_keys_made.push_back(now_);
  }
  for (const ChallengeKey& key : challenge_keys) pool.challenge_keys.push_back(key.Clone());
  return pool;
}

}  // namespace nark
