#ifndef NARK_NARKCTL_FOLDER_H_
#define NARK_NARKCTL_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/certificate.h"
#include "common/crypto/signature.h"
#include "common/object/identity.h"
#include "common/object/identity_files.h"

namespace nark::narkctl {

// A folder that is filled under another name beside its own and gets its own last,
// so that nobody ever sees half of it. Removed where it is not finished. Mode 0700.
class NewFolder {
 public:
  // ALREADY_EXISTS where `path` is a file or a folder that is not empty.
  static absl::StatusOr<NewFolder> Create(const std::string& path);
  ~NewFolder();
  NewFolder(NewFolder&& other) noexcept;
  NewFolder& operator=(NewFolder&&) = delete;

  // Of a file in it, for as long as it is being filled.
  std::string PathOf(const std::string& name) const;
  // Mode 0700.
  absl::Status MakeSubfolder(const std::string& name) const;
  // Gives the folder its name, durably.
  absl::Status Finish();

 private:
  NewFolder(std::string path, std::string filling)
      : path_(std::move(path)), filling_(std::move(filling)) {}
  std::string path_;
  std::string filling_;  // empty once finished or moved from
};

// Writes certificate and key (mode 0600) as PEM.
absl::Status WriteIdentity(const SigningIdentity& identity, const std::string& certificate_path,
                           const std::string& key_path);

// 64 hexadecimal digits as 32 bytes.
absl::StatusOr<Digest> ParseDigest(const std::string& text);
absl::StatusOr<Digest> ParseSecureSpaceId(const std::string& text);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_FOLDER_H_
