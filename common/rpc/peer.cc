#include "common/rpc/peer.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <vector>

#include "common/base/bytes.h"

namespace nark::rpc {

absl::StatusOr<Certificate> PeerCertificate(const grpc::ServerContextBase& context) {
  const auto peer = context.auth_context();
  const std::vector<grpc::string_ref> pem =
      peer == nullptr ? std::vector<grpc::string_ref>()
                      : peer->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.size() != 1) return absl::UnauthenticatedError("the caller showed no certificate");
  auto certificate = Certificate::FromPem(
      ByteView(reinterpret_cast<const uint8_t*>(pem[0].data()), pem[0].size()));
  if (!certificate.ok()) return absl::UnauthenticatedError("the caller's certificate is no Nark's");
  return certificate;
}

}  // namespace nark::rpc
