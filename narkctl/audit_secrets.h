#ifndef NARK_NARKCTL_AUDIT_SECRETS_H_
#define NARK_NARKCTL_AUDIT_SECRETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "nark/v1/session.pb.h"

// The secrets of the provider's families of marked blocks, in the provider's folder:
//   audit/BLOCK-ID.secret   32 bytes, mode 0600; BLOCK-ID in hexadecimal digits
// Who has one can trace the sessions that name it, and make recordings that accuse anybody.
namespace nark::narkctl {

// ALREADY_EXISTS where it is kept already.
absl::Status WriteAuditSecret(const std::string& provider, const audit::Family& family);

// Whether the one that the terms name is there, without reading it. NOT_FOUND, and what to do.
absl::Status CheckAuditSecretIsThere(const std::string& provider, const v1::AuditTrail& trail);

// The one that the terms name. Messages name the file; INVALID_ARGUMENT where it is another.
absl::StatusOr<audit::Family> ReadAuditSecret(const std::string& provider,
                                              const v1::AuditTrail& trail);
absl::StatusOr<audit::Family> ReadAuditSecret(const std::string& provider, const Digest& block_id,
                                              uint32_t words_log2);

// All that are kept and yield blocks of this size, ascending by id.
absl::StatusOr<std::vector<Digest>> ListAuditSecrets(const std::string& provider,
                                                     uint32_t words_log2);

// Makes a folder of the provider's that only its owner may look into, and those above it that
// are missing.
absl::Status MakePrivateFolder(const std::string& path);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_AUDIT_SECRETS_H_
