#include "narkctl/audit_secrets.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/secret_file.h"

namespace nark::narkctl {
namespace {

constexpr char kSuffix[] = ".secret";

std::string FolderOf(const std::string& provider) { return provider + "/audit"; }

std::string PathOf(const std::string& provider, const Digest& block_id) {
  return absl::StrCat(FolderOf(provider), "/", ToHex(block_id), kSuffix);
}

Digest BlockIdOf(const v1::AuditTrail& trail) {
  Digest block_id{};
  std::copy_n(AsBytes(trail.block_id()).begin(), std::min(trail.block_id().size(), block_id.size()),
              block_id.begin());
  return block_id;
}

// Of which size its blocks are: the name tells, as it follows from secret and size. A secret
// that was changed is the owner's to notice, not to be passed over.
absl::StatusOr<uint32_t> WordsLog2Of(const std::string& provider, const Digest& block_id) {
  absl::Status refused;
  for (uint32_t size = ChameleonBlock::kMinWordsLog2; size <= ChameleonBlock::kMaxWordsLog2;
       ++size) {
    refused = ReadAuditSecret(provider, block_id, size).status();
    if (refused.ok()) return size;
    if (!absl::IsInvalidArgument(refused)) return refused;
  }
  return absl::InvalidArgumentError(absl::StrCat(PathOf(provider, block_id),
                                                 " is not the secret of its name; restore it "
                                                 "from a copy"));
}

}  // namespace

absl::Status WriteAuditSecret(const std::string& provider, const audit::Family& family) {
  const std::string folder = FolderOf(provider), path = PathOf(provider, family.id());
  RETURN_IF_ERROR(MakePrivateFolder(folder));
  std::error_code error;
  if (std::filesystem::exists(path, error)) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists"));
  }
  return WriteFile(path, family.secret().Reveal(), FileMode::kSecret);
}

absl::Status CheckAuditSecretIsThere(const std::string& provider, const v1::AuditTrail& trail) {
  const std::string path = PathOf(provider, BlockIdOf(trail));
  std::error_code error;
  if (std::filesystem::exists(path, error)) return absl::OkStatus();
  if (error) return FileError(error.value(), "cannot read", path);
  return absl::NotFoundError(
      absl::StrCat("there is no ", path, ", the session's audit secret: name the folder of the ",
                   "provider who made the session, or restore the file from a copy"));
}

absl::StatusOr<audit::Family> ReadAuditSecret(const std::string& provider,
                                              const v1::AuditTrail& trail) {
  return ReadAuditSecret(provider, BlockIdOf(trail), trail.block_words_log2());
}

absl::StatusOr<audit::Family> ReadAuditSecret(const std::string& provider, const Digest& block_id,
                                              uint32_t words_log2) {
  const std::string path = PathOf(provider, block_id);
  ASSIGN_OR_RETURN(SecretBytes secret, ReadSecretFile(path, audit::kAuditSecretBytes));
  absl::StatusOr<audit::Family> family = audit::Family::Of(std::move(secret), words_log2);
  if (!family.ok()) return Annotate(family.status(), path);
  if (family->id() != block_id) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not the secret of its name for blocks of ", 8u << words_log2,
                     " bytes: they are of another size, or it is to be restored from a copy"));
  }
  return family;
}

absl::StatusOr<std::vector<Digest>> ListAuditSecrets(const std::string& provider,
                                                     uint32_t words_log2) {
  std::vector<Digest> ids;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(FolderOf(provider), error)) {
    if (entry.path().extension() != kSuffix) continue;
    const Bytes name = FromHex(entry.path().stem().string());
    Digest id;
    if (name.size() != id.size()) continue;
    std::copy(name.begin(), name.end(), id.begin());
    ASSIGN_OR_RETURN(const uint32_t size, WordsLog2Of(provider, id));
    if (size == words_log2) ids.push_back(id);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return FileError(error.value(), "cannot list", FolderOf(provider));
  }
  std::ranges::sort(ids);
  return ids;
}

absl::Status MakePrivateFolder(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
  const std::string parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) RETURN_IF_ERROR(MakePrivateFolder(parent));
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  return FileError(errno, "cannot make", path);
}

}  // namespace nark::narkctl
