#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/object/file.h"
#include "common/object/pool_files.h"
#include "common/object/pool_folder.h"
#include "common/object/provider.h"
#include "common/object/sealed_session.h"

namespace nark {
namespace {

using pool_files::Content;
using pool_files::Files;
using pool_files::HexId;
using pool_files::kHpkeKeyLabel;
using pool_files::kHpkeKeyPrefix;
using pool_files::kKeySuffix;
using pool_files::kMacKeyLabel;
using pool_files::kMacKeyPrefix;
using pool_files::kManifest;
using pool_files::kPemSuffix;
using pool_files::kRoot;
using pool_files::kSigningPrefix;
using pool_files::kTlsPrefix;
using pool_files::kUriSuffix;
using pool_files::OursBeside;

SecretBytes CopyOf(const std::string& text) { return SecretBytes::CopyOf(AsBytes(text)); }

Content UriOf(const ExternalKey& key) { return {CopyOf(key.uri() + "\n"), {}}; }

// Adds a file unless there is one of its name.
bool Add(std::string_view prefix, const std::string& id, std::string_view suffix, Content content,
         Files& files) {
  std::string name = absl::StrCat(Absl(prefix), id);
  // One key can have several URIs, in tokens that are copies of each other.
  if (suffix == kUriSuffix) absl::StrAppend(&name, "-", HexId(Sha256(content.bytes.Reveal())));
  absl::StrAppend(&name, Absl(suffix));
  return files.emplace(std::move(name), std::move(content)).second;
}

absl::Status AddSigning(const SigningIdentity& signing, Files& files) {
  std::string chain;
  for (const Certificate& certificate : signing.Chain()) chain += certificate.ToPem();
  const std::string id = HexId(Sha256(AsBytes(chain)));
  Add(kSigningPrefix, id, kPemSuffix, Content{CopyOf(chain), {}}, files);
  if (const EcdsaSigner* external = signing.key.external(); external != nullptr) {
    Add(kSigningPrefix, id, kUriSuffix, UriOf(*external), files);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(SecretBytes key, signing.key.ToPem());
  Add(kSigningPrefix, id, kKeySuffix, Content{std::move(key), {}}, files);
  return absl::OkStatus();
}

absl::StatusOr<Files> FilesOf(const PoolFolder& pool) {
  Files files;
  files.emplace(kRoot, Content{CopyOf(pool.root.ToPem()), {}});
  RETURN_IF_ERROR(AddSigning(pool.signing, files));
  const std::string tls = HexId(Sha256(AsBytes(pool.tls_certificates_pem)));
  Add(kTlsPrefix, tls, kPemSuffix, Content{CopyOf(pool.tls_certificates_pem), {}}, files);
  Add(kTlsPrefix, tls, kKeySuffix, Content{pool.tls_key_pem.Clone(), {}}, files);
  bool differ = true;
  for (const ChallengeKey& key : pool.challenge_keys) {
    const bool here = key.external == nullptr;
    Content content =
        here ? Content{EncodeSecretPem(kMacKeyLabel, key.key.Reveal()), {}} : UriOf(*key.external);
    content.listed.set_made_us(ToMicros(key.made));
    content.listed.set_makes_from_us(ToMicros(key.makes_from));
    differ = Add(kMacKeyPrefix, HexId(key.Id()), here ? kKeySuffix : kUriSuffix, std::move(content),
                 files) &&
             differ;
  }
  for (size_t i = 0; i < pool.hpke_keys.size(); ++i) {
    const HpkePrivateKey& key = pool.hpke_keys[i];
    const bool here = key.external() == nullptr;
    Content content = here ? Content{EncodeSecretPem(kHpkeKeyLabel, key.raw().Reveal()), {}}
                           : UriOf(*key.external());
    content.listed.set_made_us(ToMicros(pool.hpke_keys_made.at(i)));
    differ = Add(kHpkeKeyPrefix, HexId(PoolKeyId(key.public_key())), here ? kPemSuffix : kUriSuffix,
                 std::move(content), files) &&
             differ;
  }
  if (!differ) return absl::AlreadyExistsError("two keys have one short id; make another");
  return files;
}

// Files of earlier manifests, and of writes that were cut off: most are secrets, and nothing
// reads them any more.
absl::Status RemoveRetired(const std::string& folder, const Files& files,
                           FileOperations& operations) {
  std::set<std::string> listed;
  for (const auto& [name, content] : files) listed.insert(name);
  ASSIGN_OR_RETURN(const std::vector<std::string> retired, OursBeside(folder, listed));
  for (const std::string& name : retired) {
    if (absl::Status gone = operations.Unlink(absl::StrCat(folder, "/", name));
        !gone.ok() && !absl::IsNotFound(gone)) {
      return gone;
    }
  }
  return operations.SyncFolder(folder);
}

}  // namespace

absl::Status WritePoolFolder(const std::string& folder, const PoolFolder& pool,
                             const SigningIdentity& pool_role, Timestamp now,
                             FileOperations& operations) {
  ASSIGN_OR_RETURN(Files files, FilesOf(pool));
  PoolContent said = {.kind = pool.kind, .files = {}, .revoked = pool.revoked};
  for (auto& [name, content] : files) {
    const ByteView bytes = content.bytes.Reveal();
    RETURN_IF_ERROR(
        WriteFile(absl::StrCat(folder, "/", name), bytes, FileMode::kSecret, operations));
    content.listed.set_name(name);
    content.listed.set_sha256(ToText(Sha256(bytes)));
    said.files.push_back(content.listed);
  }
  v1::NarkFile manifest;
  ASSIGN_OR_RETURN(*manifest.mutable_pool_manifest(),
                   MakePoolManifest(pool.root.public_key().id(), said, pool_role, now));
  RETURN_IF_ERROR(
      WriteNarkFile(absl::StrCat(folder, "/", kManifest), manifest, FileMode::kSecret, operations));
  // Only now: until then the files of the manifest before may be needed.
  return RemoveRetired(folder, files, operations);
}

}  // namespace nark
