#ifndef NARK_REFUNDS_DESK_FILES_H_
#define NARK_REFUNDS_DESK_FILES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file_stamp.h"
#include "common/crypto/secret_bytes.h"
#include "refunds/desk.h"

namespace nark::refunds {

// Where a desk reads what it knows: PROVIDER/root.pem and PROVIDER/refunds, nothing
// else of the provider's.
struct DeskFiles {
  std::string provider;                  // folder
  std::vector<std::string> issuers;      // PEM, one certificate each
  std::vector<std::string> revocations;  // PEM, one list each
};

struct LoadedDesk {
  std::shared_ptr<Desk> desk;
  std::string tls_certificates_pem;
  SecretBytes tls_key_pem;
};

// Reads every file and checks it. The message names the file that is at fault.
absl::StatusOr<LoadedDesk> LoadDesk(const DeskFiles& files, Clock& clock, Ledger& ledger);

// Others whenever an issuer or a list was replaced or rewritten.
std::vector<FileStamp> StampsOf(const DeskFiles& files);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_DESK_FILES_H_
