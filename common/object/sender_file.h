#ifndef NARK_COMMON_OBJECT_SENDER_FILE_H_
#define NARK_COMMON_OBJECT_SENDER_FILE_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/secret_bytes.h"
#include "common/crypto/signature.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"

namespace nark {

// A sender file that has been verified whole: under the root of the session that
// it carries, with keys that match their certificates. Move-only.
struct OpenedSenderFile {
  VerifiedSession session;
  uint32_t sender_id = 0;
  PrivateKey signing_key;
  std::map<uint32_t, SecretBytes> roots;      // by sub-session; 0 is there
  std::vector<Certificate> tls_certificates;  // for sender.nark, leaf first
  PrivateKey tls_key;
  // With an audit trail (audit/stream_keys.h), else empty.
  SecretBytes base_block_key;
  std::map<uint32_t, SecretBytes> audit_keys;  // by sub-session, as roots
};

// UNAUTHENTICATED for signatures and chains, INVALID_ARGUMENT for shapes.
absl::StatusOr<OpenedSenderFile> OpenSenderFile(const v1::SignedEnvelope& envelope, Timestamp now);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_SENDER_FILE_H_
