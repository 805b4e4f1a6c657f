#include "common/object/signer_cache.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"

namespace nark {
namespace {

constexpr size_t kMaxChains = 64;

// Every byte that verifying a chain looks at, sizes in front.
Digest NameOf(const v1::SignedEnvelope& envelope, const Certificate& root, CertificateRole role) {
  Sha256Stream hash;
  const auto absorb = [&hash](ByteView part) {
    uint8_t size[8];
    StoreBig64(size, part.size());
    hash.Update(size);
    hash.Update(part);
  };
  const uint8_t role_byte = static_cast<uint8_t>(role);
  absorb({&role_byte, 1});
  absorb(root.der());
  for (const std::string& certificate : envelope.certificates()) absorb(AsBytes(certificate));
  return hash.Finish();
}

}  // namespace

absl::StatusOr<Certificate> SignerCache::VerifyEnvelope(const v1::SignedEnvelope& envelope,
                                                        std::string_view payload_type,
                                                        const Certificate& root,
                                                        CertificateRole leaf_role, Timestamp now) {
  const Digest name = NameOf(envelope, root, leaf_role);
  // OpenSSL's reading: whole seconds, and the last one does not count.
  const Timestamp second = std::chrono::floor<std::chrono::seconds>(now);
  std::optional<Certificate> leaf;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = chains_.find(name);
    if (found != chains_.end() && found->second.not_before <= second &&
        second < found->second.not_after) {
      leaf = found->second.leaf;
    }
  }
  if (leaf) {
    v1::SignedEnvelope bare = envelope;
    bare.clear_certificates();  // they have verified
    RETURN_IF_ERROR(nark::VerifyEnvelope(bare, payload_type, leaf->public_key()));
    return *std::move(leaf);
  }

  ASSIGN_OR_RETURN(Certificate signer, VerifyEnvelopeChain(envelope, payload_type, root,
                                                           {.at = now, .leaf_role = leaf_role}));
  std::vector<Certificate> chain = {signer};
  if (envelope.certificates_size() > 1) {
    ASSIGN_OR_RETURN(chain, ParseCertificates(envelope.certificates()));
  }
  Chain verified = {.leaf = signer, .not_before = root.not_before(), .not_after = root.not_after()};
  for (const Certificate& certificate : chain) {
    verified.not_before = std::max(verified.not_before, certificate.not_before());
    verified.not_after = std::min(verified.not_after, certificate.not_after());
  }
  absl::MutexLock lock(&mutex_);
  // Only chains under roots that the caller trusts come here: few.
  if (chains_.size() >= kMaxChains) chains_.clear();
  chains_.insert_or_assign(name, std::move(verified));
  return signer;
}

size_t SignerCache::size() const {
  absl::MutexLock lock(&mutex_);
  return chains_.size();
}

}  // namespace nark
