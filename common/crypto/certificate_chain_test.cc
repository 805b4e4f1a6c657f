#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_fixture.h"
#include "common/crypto/odd_certificate.h"

namespace nark {
namespace {

using namespace std::chrono_literals;

Bytes Flipped(ByteView bytes, size_t bit) {
  Bytes copy = ToBytes(bytes);
  copy[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  return copy;
}

class ChainTest : public CertificateFixture {
 protected:
  static absl::Status Verify(const std::vector<Certificate>& chain, const Certificate& root,
                             CertificateRole role, std::optional<Timestamp> at = kNow) {
    absl::StatusOr<Certificate> leaf = VerifyChain(chain, root, {.at = at, .leaf_role = role});
    if (leaf.ok()) {
      EXPECT_EQ(leaf->der(), chain[0].der());
    }
    return leaf.status();
  }
  Certificate TlsServer() const {
    CertificateTemplate content = Template(CertificateRole::kNone);
    content.dns_name = "keymanager.nark";
    return Issue(content, tls_);
  }
  std::vector<Certificate> KeyManagerChain() const {
    return {Issue(CertificateRole::kKeyManager, pool_), pool_.certificate};
  }
};

TEST_F(ChainTest, AcceptsEveryRoleUnderItsRoot) {
  for (CertificateRole role :
       {CertificateRole::kDescriptor, CertificateRole::kTill, CertificateRole::kRefunds,
        CertificateRole::kPool, CertificateRole::kSenders, CertificateRole::kControl}) {
    absl::Status status = Verify({Issue(role, provider_)}, provider_.certificate, role);
    EXPECT_TRUE(status.ok()) << RoleName(role) << ": " << status;
  }
  EXPECT_TRUE(Verify(KeyManagerChain(), provider_.certificate, CertificateRole::kKeyManager).ok());
  EXPECT_TRUE(Verify(SenderChain(), provider_.certificate, CertificateRole::kSender).ok());
  EXPECT_TRUE(Verify({SecureSpace()}, issuer_.certificate, CertificateRole::kSecureSpace).ok());
  EXPECT_TRUE(Verify({TlsServer()}, tls_.certificate, CertificateRole::kNone).ok());
}

TEST_F(ChainTest, RefusesEveryOtherRole) {
  std::vector<Certificate> chain = {Issue(CertificateRole::kTill, provider_)};
  for (int role = 0; role <= 13; ++role) {
    auto wanted = static_cast<CertificateRole>(role);
    if (wanted == CertificateRole::kTill) continue;
    EXPECT_EQ(Verify(chain, provider_.certificate, wanted).code(), kUnauthenticated) << role;
  }
}

TEST_F(ChainTest, RefusesAnotherRoot) {
  Ca stranger = MakeRoot(CertificateRole::kProviderRoot);  // of the same name
  absl::Status status = Verify({Issue(CertificateRole::kTill, provider_)}, stranger.certificate,
                               CertificateRole::kTill);
  EXPECT_EQ(status.code(), kUnauthenticated);
  EXPECT_EQ(Verify({SecureSpace()}, provider_.certificate, CertificateRole::kSecureSpace).code(),
            kUnauthenticated);
}

TEST_F(ChainTest, RefusesAnotherLengthThanTheRoleAsksFor) {
  Certificate key_manager = KeyManagerChain()[0];
  Certificate till = Issue(CertificateRole::kTill, provider_);
  const Certificate& root = provider_.certificate;
  const auto kKeyManager = CertificateRole::kKeyManager;
  EXPECT_EQ(Verify({}, root, CertificateRole::kTill).code(), kUnauthenticated);
  EXPECT_EQ(Verify({key_manager}, root, kKeyManager).code(), kUnauthenticated);
  EXPECT_EQ(Verify({key_manager, pool_.certificate, root}, root, kKeyManager).code(),
            kUnauthenticated);
  EXPECT_EQ(Verify({pool_.certificate, key_manager}, root, kKeyManager).code(), kUnauthenticated);
  EXPECT_EQ(Verify({till, root}, root, CertificateRole::kTill).code(), kUnauthenticated);
  EXPECT_EQ(Verify({root}, root, CertificateRole::kProviderRoot).code(), kUnauthenticated);
}

TEST_F(ChainTest, RefusesAnIntermediateThatDidNotIssueTheLeaf) {
  Ca other_pool = MakeCa(CertificateRole::kPool, provider_);
  EXPECT_EQ(Verify({KeyManagerChain()[0], other_pool.certificate}, provider_.certificate,
                   CertificateRole::kKeyManager)
                .code(),
            kUnauthenticated);
  EXPECT_EQ(Verify({KeyManagerChain()[0], senders_.certificate}, provider_.certificate,
                   CertificateRole::kKeyManager)
                .code(),
            kUnauthenticated);
}

TEST_F(ChainTest, ValidityIsCheckedAtTheGivenTime) {
  CertificateTemplate content = Template(CertificateRole::kTill);
  content.not_before = kStart + 24h;
  content.not_after = kEnd - 24h;
  std::vector<Certificate> chain = {Issue(content, provider_)};
  const Certificate& root = provider_.certificate;
  const auto kTill = CertificateRole::kTill;
  absl::Status early = Verify(chain, root, kTill, content.not_before - 1s);
  EXPECT_EQ(early.code(), kUnauthenticated);
  EXPECT_EQ(Std(early.message()), "certificate chain: \"till\": certificate is not yet valid");
  EXPECT_TRUE(Verify(chain, root, kTill, content.not_before).ok());
  EXPECT_TRUE(Verify(chain, root, kTill, content.not_after - 1s).ok());
  absl::Status late = Verify(chain, root, kTill, content.not_after + 1s);
  EXPECT_EQ(late.code(), kUnauthenticated);
  EXPECT_EQ(Std(late.message()), "certificate chain: \"till\": certificate has expired");
  EXPECT_TRUE(Verify(chain, root, kTill, std::nullopt).ok()) << "no time asked for";
}

TEST_F(ChainTest, AnExpiredRootCarriesNothing) {
  std::vector<Certificate> chain = {Issue(CertificateRole::kTill, provider_)};
  EXPECT_EQ(Verify(chain, provider_.certificate, CertificateRole::kTill, kEnd + 1s).code(),
            kUnauthenticated);
}

TEST_F(ChainTest, RefusesEveryFlippedBitOfALeaf) {
  const Certificate leaf = SecureSpace();
  for (size_t bit = 0; bit < 8 * leaf.der().size(); ++bit) {
    absl::StatusOr<Certificate> broken = Certificate::FromDer(Flipped(leaf.der(), bit));
    if (!broken.ok()) {
      EXPECT_EQ(broken.status().code(), kInvalid) << bit;
      continue;
    }
    EXPECT_EQ(Verify({*broken}, issuer_.certificate, leaf.role(), std::nullopt).code(),
              kUnauthenticated)
        << bit;
  }
}

TEST_F(ChainTest, RefusesEveryFlippedBitOfAnIntermediate) {
  std::vector<Certificate> chain = SenderChain();
  for (size_t bit = 0; bit < 8 * chain[1].der().size(); ++bit) {
    absl::StatusOr<Certificate> broken = Certificate::FromDer(Flipped(chain[1].der(), bit));
    if (!broken.ok()) continue;
    EXPECT_EQ(Verify({chain[0], *broken}, provider_.certificate, CertificateRole::kSender).code(),
              kUnauthenticated)
        << bit;
  }
}

TEST_F(ChainTest, RefusesEveryFlippedBitOfARoot) {
  std::vector<Certificate> chain = {Issue(CertificateRole::kTill, provider_)};
  const Bytes& der = provider_.certificate.der();
  for (size_t bit = 0; bit < 8 * der.size(); ++bit) {
    absl::StatusOr<Certificate> broken = Certificate::FromDer(Flipped(der, bit));
    if (!broken.ok()) continue;
    EXPECT_EQ(VerifySelfSigned(*broken).code(), kUnauthenticated) << bit;
    EXPECT_EQ(Verify(chain, *broken, CertificateRole::kTill).code(), kUnauthenticated) << bit;
  }
}

TEST_F(ChainTest, OnlyRootsSignThemselves) {
  EXPECT_TRUE(VerifySelfSigned(provider_.certificate).ok());
  EXPECT_TRUE(VerifySelfSigned(provider_.certificate).ok()) << "remembered";
  EXPECT_EQ(VerifySelfSigned(pool_.certificate).code(), kUnauthenticated);
}

// One row for everything that can be wrong with a secure space's certificate, and with
// the two of a key manager.
class ChainFaultTest : public ChainTest {
 protected:
  struct Case {
    std::string name;
    std::vector<Certificate> chain;
    ChainFault fault = ChainFault::kNone;
    std::string message;
    CertificateRole role = CertificateRole::kSecureSpace;
    Timestamp at = kNow;
  };
  void ExpectFault(const Case& c) const {
    SCOPED_TRACE(c.name);
    const Certificate& root =
        c.role == CertificateRole::kSecureSpace ? issuer_.certificate : provider_.certificate;
    const RevocationList list = IssueRevocationList(issuer_.certificate, issuer_.key,
                                                    {revoked_.serial_hex()}, kStart, kEnd, 1)
                                    .value();
    const ChainRules rules = {
        .at = c.at,
        .leaf_role = c.role,
        .revocations = c.role == CertificateRole::kSecureSpace ? &list : nullptr};
    const absl::Status status = VerifyChain(c.chain, root, rules).status();
    EXPECT_EQ(ChainFaultOf(status), c.fault) << status;
    EXPECT_EQ(status.code(), kUnauthenticated) << status;
    EXPECT_NE(Std(status.message()).find(c.message), std::string::npos) << status;
  }
  Certificate Parsed(const Bytes& der) const { return Certificate::FromDer(der).value(); }
  Certificate SecureSpaceUnder(const Ca& issuer) const {
    CertificateTemplate content = Template(CertificateRole::kSecureSpace);
    content.secure_space_scope = SecureSpaceScope{note_key_.public_key().spki(), 2};
    return Issue(content, issuer);
  }

  const Certificate revoked_ = SecureSpace();
};

TEST_F(ChainFaultTest, EverySecureSpaceIsRefusedForItsOwnFault) {
  const Certificate good = SecureSpace();
  const Ca same_name = MakeRoot(CertificateRole::kIssuerRoot);
  Bytes changed = good.der();
  changed.back() ^= 1;  // of the signature's s
  const Case cases[] = {
      {"no certificate", {}, ChainFault::kLength, "certificate missing"},
      {"too long", {good, issuer_.certificate}, ChainFault::kLength, "longer than"},
      {"with a stranger's root", {good, same_name.certificate}, ChainFault::kLength, "longer than"},
      {"self-signed", {Parsed(SelfIssued(good, key_))}, ChainFault::kSelfSigned, "but itself"},
      {"the issuer itself", {issuer_.certificate}, ChainFault::kSelfSigned, "but itself"},
      {"a till", {Issue(CertificateRole::kTill, provider_)}, ChainFault::kUsage, "is a till"},
      {"a TLS server", {TlsServer()}, ChainFault::kUsage, "not a secure-space"},
      {"another CA", {SecureSpaceUnder(same_name)}, ChainFault::kUntrusted, "issuer certificate"},
      {"changed", {Parsed(changed)}, ChainFault::kUntrusted, "signature failure"},
      {"too early",
       {good},
       ChainFault::kNotYetValid,
       "not yet valid",
       CertificateRole::kSecureSpace,
       kStart - 1s},
      {"expired",
       {good},
       ChainFault::kExpired,
       "has expired",
       CertificateRole::kSecureSpace,
       kEnd + 1s},
      {"revoked", {revoked_}, ChainFault::kRevoked, "is revoked"},
  };
  for (const Case& c : cases) ExpectFault(c);
}

TEST_F(ChainFaultTest, EveryKeyManagerIsRefusedForItsOwnFault) {
  const auto kRole = CertificateRole::kKeyManager;
  const Certificate leaf = KeyManagerChain()[0];
  const Certificate& pool = pool_.certificate;
  const Ca stranger = MakeRoot(CertificateRole::kProviderRoot);
  const Ca theirs = MakeCa(CertificateRole::kPool, stranger);
  const Case cases[] = {
      {"alone", {leaf}, ChainFault::kLength, "pool certificate missing", kRole},
      {"too long", {leaf, pool, provider_.certificate}, ChainFault::kLength, "longer", kRole},
      {"self-signed",
       {Parsed(SelfIssued(leaf, key_)), pool},
       ChainFault::kSelfSigned,
       "but itself",
       kRole},
      {"another role", {SenderChain()[0], pool}, ChainFault::kUsage, "is a sender", kRole},
      {"under another role", {leaf, senders_.certificate}, ChainFault::kUsage, "not a pool", kRole},
      {"another provider's",
       {Issue(kRole, theirs), theirs.certificate},
       ChainFault::kUntrusted,
       "issuer certificate",
       kRole},
      {"too early", {leaf, pool}, ChainFault::kNotYetValid, "not yet valid", kRole, kStart - 1s},
      {"expired", {leaf, pool}, ChainFault::kExpired, "has expired", kRole, kEnd + 1s},
  };
  for (const Case& c : cases) ExpectFault(c);
}

TEST_F(ChainFaultTest, KeysAndSignaturesOfOtherKindsAreWeak) {
  const Certificate good = SecureSpace();
  const std::pair<const char*, Bytes> cases[] = {
      {"P-192", WithOddKey(good, OddKey::kP192, issuer_.key)},
      {"P-384", WithOddKey(good, OddKey::kP384, issuer_.key)},
      {"RSA-1024", WithOddKey(good, OddKey::kRsa1024, issuer_.key)},
      {"signed by RSA-1024", SignedByRsa(good)},
  };
  for (const auto& [name, der] : cases) {
    const absl::Status status = Certificate::FromDer(der).status();
    EXPECT_EQ(status.code(), kInvalid) << name << status;
    EXPECT_EQ(ChainFaultOf(status), ChainFault::kWeakKey) << name << status;
  }
  Bytes trailing = good.der();
  trailing.push_back(0);
  EXPECT_EQ(ChainFaultOf(Certificate::FromDer(trailing).status()), ChainFault::kNone);
  EXPECT_EQ(ChainFaultOf(absl::OkStatus()), ChainFault::kNone);
}

TEST_F(ChainTest, ThreadsMayShareCertificates) {
  std::vector<Certificate> chain = SenderChain();
  std::vector<std::thread> threads;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        if (!Verify(chain, provider_.certificate, CertificateRole::kSender).ok()) ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0);
}

class RevocationTest : public ChainTest {
 protected:
  static RevocationList List(const Ca& issuer, const std::vector<std::string>& serials) {
    return IssueRevocationList(issuer.certificate, issuer.key, serials, kNow - 1h, kNow + 1h, 7)
        .value();
  }
  static absl::Status Verify(const std::vector<Certificate>& chain, const Certificate& root,
                             CertificateRole role, const RevocationList& list,
                             std::optional<Timestamp> at = kNow) {
    return VerifyChain(chain, root, {.at = at, .leaf_role = role, .revocations = &list}).status();
  }
};

TEST_F(RevocationTest, ReadsBackFromPem) {
  RevocationList list = List(issuer_, {"7b", "4a0102", "7b"});
  RevocationList read = RevocationList::FromPem(AsBytes(list.ToPem())).value();
  EXPECT_EQ(read.serials_hex(), (std::vector<std::string>{"4a0102", "7b"}));
  EXPECT_EQ(read.number(), 7u);
  EXPECT_EQ(read.this_update(), kNow - 1h);
  EXPECT_EQ(read.next_update(), kNow + 1h);
  EXPECT_EQ(read.ToPem(), list.ToPem());
  EXPECT_TRUE(List(issuer_, {}).serials_hex().empty());
}

TEST_F(RevocationTest, RefusesACertificateOnTheListAndNoOther) {
  Certificate good = SecureSpace();
  Certificate bad = SecureSpace();
  RevocationList list = List(issuer_, {"0123", bad.serial_hex(), "7fff"});
  const auto kRole = CertificateRole::kSecureSpace;
  EXPECT_TRUE(Verify({good}, issuer_.certificate, kRole, list).ok());
  absl::Status status = Verify({bad}, issuer_.certificate, kRole, list);
  EXPECT_EQ(status.code(), kUnauthenticated);
  EXPECT_EQ(Std(status.message()), "certificate chain: \"secure-space\" is revoked");
  EXPECT_EQ(Verify({bad}, issuer_.certificate, kRole, list, std::nullopt).code(), kUnauthenticated)
      << "also where time is left out";
}

TEST_F(RevocationTest, AnIntermediateOnTheListBreaksTheChain) {
  std::vector<Certificate> chain = SenderChain();
  for (const Certificate& revoked : chain) {
    EXPECT_EQ(Verify(chain, provider_.certificate, CertificateRole::kSender,
                     List(provider_, {revoked.serial_hex()}))
                  .code(),
              kUnauthenticated);
  }
  EXPECT_TRUE(
      Verify(chain, provider_.certificate, CertificateRole::kSender, List(provider_, {"01"})).ok());
}

TEST_F(RevocationTest, AListThatIsNotCurrentIsUnavailable) {
  RevocationList list = List(issuer_, {});
  Certificate certificate = SecureSpace();
  const auto kRole = CertificateRole::kSecureSpace;
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  EXPECT_EQ(Verify({certificate}, issuer_.certificate, kRole, list, kNow + 2h).code(),
            kUnavailable);
  EXPECT_EQ(Verify({certificate}, issuer_.certificate, kRole, list, kNow - 2h).code(),
            kUnavailable);
  EXPECT_TRUE(Verify({certificate}, issuer_.certificate, kRole, list, std::nullopt).ok());
}

TEST_F(RevocationTest, AListOfAnotherIssuerIsRefused) {
  Ca stranger = MakeRoot(CertificateRole::kIssuerRoot);
  RevocationList list = List(stranger, {});
  EXPECT_EQ(
      Verify({SecureSpace()}, issuer_.certificate, CertificateRole::kSecureSpace, list).code(),
      kUnauthenticated);
  EXPECT_TRUE(list.VerifySignedBy(stranger.certificate).ok());
  EXPECT_EQ(list.VerifySignedBy(issuer_.certificate).code(), kUnauthenticated)
      << "after one that verified";
}

TEST_F(RevocationTest, ACertificateThatIsNoCaSignsNoList) {
  Ca till{PrivateKey::Generate().value(), provider_.certificate};
  till.certificate = IssueCertificate(Template(CertificateRole::kTill), till.key.public_key(),
                                      provider_.certificate, provider_.key)
                         .value();
  EXPECT_EQ(List(till, {}).VerifySignedBy(till.certificate).code(), kUnauthenticated);
}

TEST_F(RevocationTest, RefusesEveryFlippedBit) {
  const std::string pem = List(issuer_, {"4a0102", "7b"}).ToPem();
  for (size_t bit = 0; bit < 8 * pem.size(); ++bit) {
    absl::StatusOr<RevocationList> list = RevocationList::FromPem(Flipped(AsBytes(pem), bit));
    if (!list.ok()) {
      EXPECT_EQ(list.status().code(), kInvalid) << bit;
      continue;
    }
    EXPECT_EQ(list->VerifySignedBy(issuer_.certificate).code(), kUnauthenticated) << bit;
  }
}

TEST_F(RevocationTest, RefusesSerialsThatAreNone) {
  for (const char* serial : {"", "xy", "abc", "00", "010203040506070809101112131415161718192021"}) {
    EXPECT_EQ(IssueRevocationList(issuer_.certificate, issuer_.key, {serial}, kNow, kNow + 1h, 1)
                  .status()
                  .code(),
              kInvalid)
        << serial;
  }
  EXPECT_EQ(IssueRevocationList(issuer_.certificate, provider_.key, {}, kNow, kNow + 1h, 1)
                .status()
                .code(),
            kInvalid);
  EXPECT_EQ(
      IssueRevocationList(issuer_.certificate, issuer_.key, {}, kNow, kNow, 1).status().code(),
      kInvalid);
}

}  // namespace
}  // namespace nark
