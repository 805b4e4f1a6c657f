#include "narkctl/testing.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "narkctl/issuer.h"
#include "narkctl/pool.h"
#include "narkctl/provider.h"

namespace nark::narkctl {
namespace {

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "Desk: %s\n", status.ToString().c_str());
  std::abort();
}

std::string NewTemporaryFolder() {
  const char* set = std::getenv("TEST_TMPDIR");
  std::string name = std::string(set == nullptr ? "/tmp" : set) + "/desk-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

}  // namespace

// The programs take the system's time, so the folders are made at it.
Desk::Desk() : now_(SystemClock().Now()), folder_(NewTemporaryFolder()) {
  Must(InitProvider(provider(), "Desk", now_).status());
  Must(InitPool(pool(), provider(), now_, random_).status());
  Must(InitIssuer(issuer(), "Desk issuer", now_));
}

Desk::~Desk() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

SessionFlags Desk::GoodSession(const std::string& name) const {
  SessionFlags flags;
  flags.provider = provider();
  flags.pool = pool();
  flags.out = PathOf(name + ".nark");
  flags.sender_outs = {PathOf(name + ".sender")};
  flags.transport = "udp://239.255.1.2:5004?adapter=lo";
  flags.price_per_adu = "0.05";
  flags.currency = "EUR";
  return flags;
}

VoucherFlags Desk::GoodVoucher(const std::string& name) const {
  VoucherFlags flags;
  flags.provider = provider();
  flags.session = PathOf(name + ".nark");
  flags.out = PathOf(name + ".voucher");
  flags.secure_space = std::string(64, 'a');
  flags.range = "10-19";
  return flags;
}

Digest Desk::WriteRequest(const std::string& path) const {
  PrivateKey attestation_key = *PrivateKey::Generate();
  PrivateKey note_key = *PrivateKey::Generate();
  constexpr uint8_t kEmulated = 1;
  const std::string request = *MakeSecureSpaceRequestPem(attestation_key, note_key, kEmulated);
  Must(WriteFile(path, AsBytes(request), FileMode::kPublic));
  return SecureSpaceId(attestation_key.public_key().spki(), note_key.public_key().spki());
}

}  // namespace nark::narkctl
