#ifndef NARK_SECURESPACE_FOLDER_H_
#define NARK_SECURESPACE_FOLDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "common/crypto/random.h"
#include "securespace/emulation.h"
#include "securespace/tpm_counter.h"

namespace nark::securespace {

// The folder of an emulated secure space (mode 0700):
//
//   attestation-key.pem  note-key.pem  state-key.pem    PEM, mode 0600
//   request.pem          for `narkctl issuer certify`
//   certificate.pem      after `install`: leaf first, then intermediates
//   sessions, session-*  the sealed state
//   tpm                  where its counter is, of a secure space that has one
//   lock                 held by the one process that has the folder open
//   socket               served by that process, mode 0600
//
// state-key.pem stands in for a card's own non-volatile memory: whoever can read
// it can read the granted seeds. That is what the class EMULATED says. With a TPM's
// counter, class TPM, the same holds but for one thing: a folder whose state is not the
// newest is refused. Keys are not in the TPM.

// Makes a new one and returns its id. ALREADY_EXISTS where there is one. `tpm`: where
// to define a counter (TpmBinding::tcti), whose errors it returns; empty: none.
absl::StatusOr<Digest> InitialiseFolder(const std::string& folder, Random& random,
                                        const std::string& tpm = "");

// Puts the chain in `certificate_path` (PEM, leaf first, 1 to 4) into the folder,
// provided that the leaf certifies this folder's keys. Replaces an older one.
// UNAVAILABLE where another process has the folder open. INVALID_ARGUMENT where it
// certifies the class TPM and the folder has no counter: no issuer is bound to claim as
// much as the folder offers, but none more.
// Whether anybody trusts its issuer is for key managers to say.
absl::Status InstallCertificate(const std::string& folder, const std::string& certificate_path);

std::string SocketPath(const std::string& folder);

class FolderLock;

// An open folder: the secure space and the lock that keeps it to one process.
class Folder {
 public:
  // UNAVAILABLE where another process holds it, naming its socket, or where its TPM
  // cannot be reached; NOT_FOUND where it is no secure space; and the errors of
  // Emulation::Open.
  static absl::StatusOr<std::unique_ptr<Folder>> Open(
      const std::string& folder, Clock& clock, Random& random,
      InsecureSessions insecure = InsecureSessions::kRefuse);
  ~Folder();

  Emulation& space() { return *space_; }
  // Empty before `install`.
  const std::vector<Certificate>& certificates() const { return certificates_; }
  // Null without one.
  const TpmCounter* counter() const { return counter_.get(); }

 private:
  Folder(std::unique_ptr<FolderLock> lock, std::string path);
  std::unique_ptr<FolderLock> lock_;  // outlives what it guards
  FolderStorage storage_;
  std::vector<Certificate> certificates_;
  std::unique_ptr<TpmCounter> counter_;
  std::unique_ptr<Emulation> space_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_FOLDER_H_
