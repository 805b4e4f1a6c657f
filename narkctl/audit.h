#ifndef NARK_NARKCTL_AUDIT_H_
#define NARK_NARKCTL_AUDIT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/random.h"
#include "common/object/provider.h"
#include "nark/v1/session.pb.h"

namespace nark::narkctl {

// The flags of `session create` for an audit trail, as written; absent ones take defaults.
struct AuditFlags {
  std::optional<uint64_t> colluders;  // 8, or as many as the block suffices for
  std::string false_accusation;       // a probability; 1e-6
  std::string block;                  // size; 512KiB
  std::string family;                 // block id in hexadecimal digits, or "new"

  bool any() const {
    return colluders.has_value() || !false_accusation.empty() || !block.empty() || !family.empty();
  }
};

// The audit trail that the flags ask for. Without --audit-family the one family of that size
// that the provider's folder keeps is shared, and where there is none, one is made: it is to
// be kept (KeepFamily) before anything names it. INVALID_ARGUMENT names the flag.
absl::StatusOr<AuditOptions> ChooseAudit(const AuditFlags& flags, const std::string& provider,
                                         Random& random);
// Keeps the family's secret in the provider's folder, if it is not kept there.
absl::Status KeepFamily(const AuditOptions& options, const std::string& provider);

// For people, one line: how long codewords are, how many colluders they find, and how seldom
// they accuse an innocent.
std::string DescribeAudit(const v1::AuditTrail& trail);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_AUDIT_H_
