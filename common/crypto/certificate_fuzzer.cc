// What a stranger sends as certificate, revocation list, request or key: never a
// crash, and what is accepted encodes to what was given.

#include <cstdint>
#include <cstdlib>

#include "common/crypto/certificate.h"
#include "common/crypto/pem.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nark;
  ByteView input(data, size);
  if (auto certificate = Certificate::FromDer(input); certificate.ok()) {
    Check(Equal(certificate->der(), input));
    auto again = Certificate::FromPem(AsBytes(certificate->ToPem()));
    Check(again.ok() && again->der() == certificate->der());
    (void)VerifySelfSigned(*certificate);
    ChainRules rules;
    rules.leaf_role = certificate->role();
    (void)VerifyChain({*certificate}, *certificate, rules);
  }
  if (auto list = RevocationList::FromDer(input); list.ok()) {
    auto again = RevocationList::FromPem(AsBytes(list->ToPem()));
    Check(again.ok() && again->serials_hex() == list->serials_hex());
  }
  if (auto key = PublicKey::FromSpki(input); key.ok()) Check(Equal(key->spki(), input));
  (void)ParseSecureSpaceRequestPem(AsBytes(EncodePem("CERTIFICATE REQUEST", input)));
  if (auto blocks = DecodePem("CERTIFICATE", input); blocks.ok()) {
    std::string text;
    for (const Bytes& block : *blocks) text += EncodePem("CERTIFICATE", block);
    Check(Equal(AsBytes(text), input));
  }
  return 0;
}
