#ifndef NARK_NARKCTL_ISSUER_H_
#define NARK_NARKCTL_ISSUER_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "nark/v1/note.pb.h"

// The issuer's desk: a folder with issuer.pem, key.pem and crl.pem.
namespace nark::narkctl {

// How long a revocation list holds; joins wait for a newer one after that.
inline constexpr std::chrono::days kRevocationListDays{30};

// Founds an issuer in a new folder.
absl::Status InitIssuer(const std::string& folder, const std::string& name, Timestamp now);

// "emulated", "tpm", "card".
std::string AssuranceName(v1::AssuranceClass assurance);

struct CertifyRequest {
  std::string request;  // the file of the request
  std::string out;      // the file of the certificate
  v1::AssuranceClass assurance = v1::ASSURANCE_CLASS_EMULATED;
};

// Certifies the secure space whose request is in the file `request`; returns its
// id. Refuses a request that is not signed by both of its keys, one that claims
// another class than `assurance`, which the issuer vouches for, and a secure space
// of which a certificate was revoked. Keeps a copy in DIR/certified/ID.pem.
absl::StatusOr<Digest> Certify(const std::string& folder, const CertifyRequest& request,
                               Timestamp now);

// Adds the certificate in the file `certificate`, which this issuer must have
// issued, and every other certificate of the same secure space to crl.pem and signs
// that anew. Returns the secure space's id. Doing it again renews the list.
absl::StatusOr<Digest> Revoke(const std::string& folder, const std::string& certificate,
                              Timestamp now);

// Signs crl.pem anew with what it holds, so that it is current for longer. Returns until when.
absl::StatusOr<Timestamp> RenewRevocations(const std::string& folder, Timestamp now);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_ISSUER_H_
