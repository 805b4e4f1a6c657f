#include "narkctl/provider.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/deny_list.h"
#include "common/object/file.h"
#include "common/object/provider.h"
#include "narkctl/folder.h"

namespace nark::narkctl {
namespace {

// Where a role lives; "sender" is the role that certifies senders.
std::string FolderOf(CertificateRole role) {
  switch (role) {
    case CertificateRole::kDescriptor:
      return "descriptor";
    case CertificateRole::kTill:
      return "till";
    case CertificateRole::kRefunds:
      return "refunds";
    case CertificateRole::kPool:
      return "pool";
    case CertificateRole::kSenders:
      return "sender";
    case CertificateRole::kControl:
      return "control";
    default:
      return "";
  }
}

constexpr CertificateRole kRoles[] = {CertificateRole::kDescriptor, CertificateRole::kTill,
                                      CertificateRole::kRefunds,    CertificateRole::kPool,
                                      CertificateRole::kSenders,    CertificateRole::kControl};

absl::Status WriteSubfolder(const NewFolder& fresh, const std::string& name,
                            const SigningIdentity& identity) {
  RETURN_IF_ERROR(fresh.MakeSubfolder(name));
  return WriteIdentity(identity, fresh.PathOf(name + "/certificate.pem"),
                       fresh.PathOf(name + "/key.pem"));
}

// What `path` denies so far.
absl::StatusOr<std::vector<Digest>> DeniedIn(const std::string& path, const Certificate& root,
                                             Timestamp now) {
  absl::StatusOr<v1::NarkFile> file = ReadNarkFile(path, v1::NarkFile::kDenyList);
  if (absl::IsNotFound(file.status())) return std::vector<Digest>();
  if (!file.ok()) return file.status();
  absl::StatusOr<VerifiedDenyList> list = VerifyDenyList(file->deny_list(), root, now);
  if (!list.ok()) return Annotate(list.status(), path);
  return std::move(list->secure_space_ids);
}

}  // namespace

absl::StatusOr<Digest> InitProvider(const std::string& folder, const std::string& name,
                                    Timestamp now) {
  ASSIGN_OR_RETURN(NewFolder fresh, NewFolder::Create(folder));
  ASSIGN_OR_RETURN(SigningIdentity root, MakeRoot(CertificateRole::kProviderRoot, name, now));
  RETURN_IF_ERROR(WriteSubfolder(fresh, "root", root));
  for (CertificateRole role : kRoles) {
    ASSIGN_OR_RETURN(SigningIdentity identity, MakeRole(role, root, now));
    RETURN_IF_ERROR(WriteSubfolder(fresh, FolderOf(role), identity));
  }
  ASSIGN_OR_RETURN(SigningIdentity tls_ca,
                   MakeRoot(CertificateRole::kTlsCa, absl::StrCat(name, " TLS"), now));
  RETURN_IF_ERROR(WriteSubfolder(fresh, "tls", tls_ca));
  ASSIGN_OR_RETURN(SigningIdentity desk, MakeTlsServer("refunds.nark", tls_ca, now));
  RETURN_IF_ERROR(
      WriteIdentity(desk, fresh.PathOf("refunds/tls.pem"), fresh.PathOf("refunds/tls-key.pem")));
  RETURN_IF_ERROR(
      WriteFile(fresh.PathOf("root.pem"), AsBytes(root.certificate.ToPem()), FileMode::kPublic));
  RETURN_IF_ERROR(fresh.Finish());
  return root.certificate.public_key().id();
}

absl::StatusOr<Certificate> ReadProviderRoot(const std::string& folder) {
  return ReadRoot(folder + "/root.pem", CertificateRole::kProviderRoot);
}

absl::StatusOr<SigningIdentity> ReadRole(const std::string& folder, CertificateRole role,
                                         const Certificate& root, Timestamp now) {
  const std::string stem = absl::StrCat(folder, "/", FolderOf(role));
  ASSIGN_OR_RETURN(SigningIdentity identity,
                   ReadIdentity(stem + "/certificate.pem", stem + "/key.pem"));
  absl::Status verified =
      VerifyChain({identity.certificate}, root, {.at = now, .leaf_role = role}).status();
  if (!verified.ok()) return Annotate(verified, stem + "/certificate.pem");
  return identity;
}

absl::StatusOr<SigningIdentity> ReadTlsCa(const std::string& folder) {
  const std::string path = folder + "/tls/certificate.pem";
  RETURN_IF_ERROR(ReadRoot(path, CertificateRole::kTlsCa).status());
  return ReadIdentity(path, folder + "/tls/key.pem");
}

std::string DenyListOf(const std::string& folder) { return folder + "/deny.nark"; }

absl::StatusOr<size_t> Deny(const std::string& folder, const std::vector<Digest>& secure_spaces,
                            const std::string& out, Timestamp now) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(folder));
  ASSIGN_OR_RETURN(SigningIdentity control, ReadRole(folder, CertificateRole::kControl, root, now));
  ASSIGN_OR_RETURN(std::vector<Digest> ids, DeniedIn(out, root, now));
  // A list in a new file readmits nobody whom the folder's denies.
  ASSIGN_OR_RETURN(const std::vector<Digest> kept, DeniedIn(DenyListOf(folder), root, now));
  ids.insert(ids.end(), kept.begin(), kept.end());
  ids.insert(ids.end(), secure_spaces.begin(), secure_spaces.end());
  v1::NarkFile file;
  ASSIGN_OR_RETURN(*file.mutable_deny_list(), MakeDenyList(root.public_key().id(), std::move(ids),
                                                           control, now, now + kDenyListDays));
  ASSIGN_OR_RETURN(VerifiedDenyList list, VerifyDenyList(file.deny_list(), root, now));
  RETURN_IF_ERROR(WriteNarkFile(out, file, FileMode::kPublic));
  return list.secure_space_ids.size();
}

}  // namespace nark::narkctl
