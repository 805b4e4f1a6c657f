#include <openssl/err.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/certificate.h"
#include "common/crypto/certificate_parsed.h"

namespace nark {
namespace {

using UniqueStore = std::unique_ptr<X509_STORE, OpenSslFree<X509_STORE_free>>;
using UniqueStoreContext = std::unique_ptr<X509_STORE_CTX, OpenSslFree<X509_STORE_CTX_free>>;

struct FreeStack {
  // The stack alone: its certificates belong to the chain.
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};
using UniqueStack = std::unique_ptr<STACK_OF(X509), FreeStack>;

absl::Status Refused(ChainFault fault, std::string_view why) {
  return WithChainFault(OpenSslRefusal(absl::StatusCode::kUnauthenticated,
                                       absl::StrCat("certificate chain: ", Absl(why))),
                        fault);
}

// What OpenSSL's path validation found.
ChainFault FaultOf(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChainFault::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ChainFault::kNotYetValid;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return ChainFault::kSelfSigned;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
    case X509_V_ERR_AKID_SKID_MISMATCH:
    case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
      return ChainFault::kUntrusted;
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return ChainFault::kUsage;
    default:
      return ChainFault::kNone;
  }
}

// First, whatever else is wrong with it: nobody vouches for such a leaf. Costs a
// signature only where subject and issuer are one.
absl::Status CheckNotItsOwnIssuer(const std::vector<Certificate>& chain) {
  if (chain.empty()) return absl::OkStatus();
  const bool signed_itself = X509_self_signed(chain[0].parsed().x509.get(), 1) == 1;
  ERR_clear_error();
  if (!signed_itself) return absl::OkStatus();
  return Refused(ChainFault::kSelfSigned,
                 absl::StrCat("\"", chain[0].subject(), "\" is signed by nobody but itself"));
}

// The chain and its root carry, in order, the roles that `leaf_role` asks for.
absl::Status CheckRoles(const std::vector<Certificate>& chain, const Certificate& root,
                        CertificateRole leaf_role) {
  std::optional<CertificateRole> expected = leaf_role;
  size_t length = 0;
  for (; IssuerRoleOf(*expected).has_value(); expected = IssuerRoleOf(*expected)) {
    if (length == chain.size()) {
      return Refused(ChainFault::kLength, RoleName(*expected) + " certificate missing");
    }
    const Certificate& certificate = chain[length++];
    if (certificate.role() != *expected) {
      return Refused(ChainFault::kUsage,
                     absl::StrCat("\"", certificate.subject(), "\" is a ",
                                  RoleName(certificate.role()), ", not a ", RoleName(*expected)));
    }
  }
  if (length == 0) {
    return Refused(ChainFault::kUsage, absl::StrCat("a ", RoleName(leaf_role), " is no leaf"));
  }
  if (length != chain.size()) return Refused(ChainFault::kLength, "longer than its role asks for");
  if (root.role() != *expected) {
    return Refused(ChainFault::kUntrusted,
                   absl::StrCat("the root \"", root.subject(), "\" is a ", RoleName(root.role()),
                                ", not a ", RoleName(*expected)));
  }
  return absl::OkStatus();
}

// OpenSSL must have found the path that was given, not another one.
bool IsPath(const STACK_OF(X509) * found, const std::vector<Certificate>& chain,
            const Certificate& root) {
  if (static_cast<size_t>(sk_X509_num(found)) != chain.size() + 1) return false;
  for (size_t i = 0; i < chain.size(); ++i) {
    if (X509_cmp(sk_X509_value(found, static_cast<int>(i)), chain[i].parsed().x509.get()) != 0) {
      return false;
    }
  }
  return X509_cmp(sk_X509_value(found, static_cast<int>(chain.size())), root.parsed().x509.get()) ==
         0;
}

void SetRules(X509_VERIFY_PARAM* param, std::optional<Timestamp> at) {
  unsigned long flags = X509_V_FLAG_X509_STRICT;
  if (at.has_value()) {
    auto seconds = std::chrono::floor<std::chrono::seconds>(*at).time_since_epoch().count();
    X509_VERIFY_PARAM_set_time(param, static_cast<time_t>(seconds));
  } else {
    flags |= X509_V_FLAG_NO_CHECK_TIME;
  }
  CheckOpenSsl(X509_VERIFY_PARAM_set_flags(param, flags), "path validation");
}

// RFC 5280 section 6, by OpenSSL, trusting `root` alone.
absl::Status CheckPath(const std::vector<Certificate>& chain, const Certificate& root,
                       std::optional<Timestamp> at) {
  UniqueStore store(X509_STORE_new());
  UniqueStoreContext context(X509_STORE_CTX_new());
  UniqueStack others(sk_X509_new_null());
  if (store == nullptr || context == nullptr || others == nullptr ||
      X509_STORE_add_cert(store.get(), root.parsed().x509.get()) != 1) {
    return OpenSslError("cannot verify a certificate chain");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (sk_X509_push(others.get(), chain[i].parsed().x509.get()) <= 0) {
      return OpenSslError("cannot verify a certificate chain");
    }
  }
  if (X509_STORE_CTX_init(context.get(), store.get(), chain[0].parsed().x509.get(), others.get()) !=
      1) {
    return OpenSslError("cannot verify a certificate chain");
  }
  SetRules(X509_STORE_CTX_get0_param(context.get()), at);
  if (X509_verify_cert(context.get()) != 1) {
    int depth = X509_STORE_CTX_get_error_depth(context.get());
    const Certificate& at_fault =
        depth >= 0 && static_cast<size_t>(depth) < chain.size() ? chain[depth] : root;
    const int error = X509_STORE_CTX_get_error(context.get());
    return Refused(FaultOf(error), absl::StrCat("\"", at_fault.subject(),
                                                "\": ", X509_verify_cert_error_string(error)));
  }
  if (!IsPath(X509_STORE_CTX_get0_chain(context.get()), chain, root)) {
    return Refused(ChainFault::kUntrusted, "not the path from the leaf to the root");
  }
  return absl::OkStatus();
}

absl::Status CheckRevocations(const std::vector<Certificate>& chain, const Certificate& root,
                              const RevocationList& list, std::optional<Timestamp> at) {
  RETURN_IF_ERROR(list.VerifySignedBy(root));
  if (at.has_value() && (*at < list.this_update() || *at > list.next_update())) {
    return absl::UnavailableError(
        absl::StrCat("the revocation list of \"", root.subject(), "\" is not current: renew it"));
  }
  // Serials are random and of 16 bytes, so that a list may also name what an
  // intermediate of the root issued.
  const std::vector<std::string>& revoked = list.parsed().serials_hex;
  for (const Certificate& certificate : chain) {
    if (std::binary_search(revoked.begin(), revoked.end(), certificate.parsed().serial_hex)) {
      return Refused(ChainFault::kRevoked,
                     absl::StrCat("\"", certificate.subject(), "\" is revoked"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifySelfSigned(const Certificate& root) {
  const Certificate::Parsed& parsed = root.parsed();
  if (parsed.signed_itself.load(std::memory_order_acquire)) return absl::OkStatus();
  if (X509_self_signed(parsed.x509.get(), 1) != 1) {
    return Refused(ChainFault::kUntrusted,
                   absl::StrCat("\"", root.subject(), "\" did not sign itself"));
  }
  parsed.signed_itself.store(true, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<Certificate> VerifyChain(const std::vector<Certificate>& chain,
                                        const Certificate& root, const ChainRules& rules) {
  RETURN_IF_ERROR(CheckNotItsOwnIssuer(chain));
  RETURN_IF_ERROR(CheckRoles(chain, root, rules.leaf_role));
  RETURN_IF_ERROR(VerifySelfSigned(root));
  RETURN_IF_ERROR(CheckPath(chain, root, rules.at));
  if (rules.revocations != nullptr) {
    RETURN_IF_ERROR(CheckRevocations(chain, root, *rules.revocations, rules.at));
  }
  return chain[0];
}

}  // namespace nark
