#include "common/object/pool_folder.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/crypto/secret_file.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/pool_files.h"
#include "common/object/session.h"

namespace nark {
namespace {

using pool_files::Content;
using pool_files::Files;
using pool_files::IsNamed;
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

constexpr size_t kMaxManifestBytes = 4 << 20;
constexpr size_t kMacKeyBytes = 32;

// The content of a folder's files, each read once; errors name the path.
class Reader {
 public:
  Reader(std::string folder, Files files, KeyStore* store)
      : folder_(std::move(folder)), files_(std::move(files)), store_(store) {}

  const Files& files() const { return files_; }
  // Of the first file of its kind; empty where none is listed.
  std::string NameOf(std::string_view prefix, std::string_view suffix) const {
    for (const auto& [name, content] : files_) {
      if (IsNamed(name, prefix, suffix)) return name;
    }
    return "";
  }
  std::string PathOf(const std::string& name) const { return absl::StrCat(folder_, "/", name); }

  absl::StatusOr<const SecretBytes*> Find(const std::string& name) const {
    auto found = files_.find(name);
    if (found != files_.end()) return &found->second.bytes;
    return absl::InvalidArgumentError(
        absl::StrCat(PathOf(kManifest), " does not list ", name, "; make the pool again"));
  }

  absl::StatusOr<std::vector<Certificate>> Certificates(const std::string& name) const {
    ASSIGN_OR_RETURN(const SecretBytes* pem, Find(name));
    absl::StatusOr<std::vector<Certificate>> chain = CertificatesFromPem(pem->Reveal());
    return chain.ok() ? std::move(chain) : Annotate(chain.status(), PathOf(name));
  }

  absl::StatusOr<PrivateKey> Key(const std::string& name, const Certificate& certificate) const {
    ASSIGN_OR_RETURN(const SecretBytes* pem, Find(name));
    absl::StatusOr<PrivateKey> key = PrivateKey::FromPem(*pem);
    if (!key.ok()) return Annotate(key.status(), PathOf(name));
    if (key->public_key().id() != certificate.public_key().id()) {
      return absl::InvalidArgumentError(
          absl::StrCat(PathOf(name), " is not the key of its certificate"));
    }
    return key;
  }

  // Finds the key whose URI is in the file: find(store, URI).
  template <typename Find>
  auto Elsewhere(const std::string& name, Find find) const
      -> decltype(find(std::declval<KeyStore&>(), std::string())) {
    ASSIGN_OR_RETURN(const SecretBytes* content, this->Find(name));
    std::string uri = ToText(content->Reveal());
    if (uri.ends_with('\n')) uri.pop_back();
    if (store_ == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(PathOf(name),
                       ": the key lies in a token; name its module and PIN with "
                       "--pkcs11-module and --pkcs11-pin-file"));
    }
    auto key = find(*store_, uri);
    if (!key.ok()) return Annotate(key.status(), PathOf(name));
    return key;
  }

  absl::StatusOr<SecretBytes> Raw(const std::string& name, std::string_view label) const {
    ASSIGN_OR_RETURN(const SecretBytes* pem, Find(name));
    absl::StatusOr<SecretBytes> raw = DecodeSecretPem(label, pem->Reveal());
    return raw.ok() ? std::move(raw) : Annotate(raw.status(), PathOf(name));
  }

 private:
  std::string folder_;
  Files files_;
  KeyStore* store_;
};

bool PlainName(const std::string& name) {
  return !name.empty() && name.size() <= 100 && name[0] != '.' &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

// Reads one listed file and compares its hash.
absl::StatusOr<SecretBytes> ReadListed(const std::string& folder, const v1::PoolFile& file) {
  const std::string manifest = absl::StrCat(folder, "/", kManifest);
  if (!PlainName(file.name())) {
    return absl::InvalidArgumentError(absl::StrCat(manifest, " lists a bad name"));
  }
  const std::string path = absl::StrCat(folder, "/", file.name());
  absl::StatusOr<SecretBytes> content = ReadSecretFile(path);
  if (!content.ok()) return Annotate(content.status(), manifest);
  if (!Equal(AsBytes(file.sha256()), Sha256(content->Reveal()))) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not what ", kManifest,
                     " lists; restore it, or make another with 'narkctl pool'"));
  }
  return content;
}

absl::StatusOr<Files> ReadAll(const std::string& folder, const v1::PoolManifest& manifest) {
  Files files;
  for (const v1::PoolFile& file : manifest.files()) {
    ASSIGN_OR_RETURN(SecretBytes content, ReadListed(folder, file));
    if (!files.emplace(file.name(), Content{std::move(content), file}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, "/", kManifest, " lists ", file.name(), " twice"));
    }
  }
  return files;
}

absl::Status NoKey(const Reader& reader, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(reader.PathOf(kManifest), " lists no ", Absl(what), "; make the pool again"));
}

// The name of a file that there must be.
absl::StatusOr<std::string> Needed(const Reader& reader, std::string_view prefix,
                                   std::string_view suffix, std::string_view what) {
  std::string name = reader.NameOf(prefix, suffix);
  if (name.empty()) return NoKey(reader, what);
  return name;
}

struct AgedHpkeKey {
  HpkePrivateKey key;
  Timestamp made;
};

absl::StatusOr<HpkePrivateKey> ReadHpkeKey(const Reader& reader, const std::string& name) {
  if (name.ends_with(kUriSuffix)) {
    return reader.Elsewhere(
        name, [](KeyStore& store, const std::string& uri) { return store.FindHpkeKey(uri); });
  }
  ASSIGN_OR_RETURN(SecretBytes raw, reader.Raw(name, kHpkeKeyLabel));
  absl::StatusOr<HpkePrivateKey> key = HpkePrivateKey::FromRaw(std::move(raw));
  if (!key.ok()) return Annotate(key.status(), reader.PathOf(name));
  return key;
}

absl::StatusOr<std::vector<AgedHpkeKey>> HpkeKeys(const Reader& reader) {
  std::vector<AgedHpkeKey> keys;
  for (const auto& [name, content] : reader.files()) {
    if (!name.starts_with(kHpkeKeyPrefix)) continue;
    ASSIGN_OR_RETURN(HpkePrivateKey key, ReadHpkeKey(reader, name));
    keys.push_back({std::move(key), FromMicros(content.listed.made_us())});
  }
  if (keys.empty()) return NoKey(reader, "HPKE key");
  std::ranges::stable_sort(keys, {}, &AgedHpkeKey::made);
  return keys;
}

absl::StatusOr<std::vector<ChallengeKey>> MacKeys(const Reader& reader) {
  std::vector<ChallengeKey> keys;
  for (const auto& [name, content] : reader.files()) {
    if (!name.starts_with(kMacKeyPrefix)) continue;
    ChallengeKey key = {.key = {},
                        .made = FromMicros(content.listed.made_us()),
                        .makes_from = FromMicros(content.listed.makes_from_us())};
    if (name.ends_with(kUriSuffix)) {
      ASSIGN_OR_RETURN(key.external,
                       reader.Elsewhere(name, [](KeyStore& store, const std::string& uri) {
                         return store.FindMacKey(uri);
                       }));
    } else {
      ASSIGN_OR_RETURN(key.key, reader.Raw(name, kMacKeyLabel));
      if (key.key.size() != kMacKeyBytes) {
        return absl::InvalidArgumentError(absl::StrCat(reader.PathOf(name), " is not 32 bytes"));
      }
    }
    keys.push_back(std::move(key));
  }
  if (keys.empty()) return NoKey(reader, "challenge key");
  std::ranges::stable_sort(
      keys, {}, [](const ChallengeKey& key) { return std::pair(key.made, key.makes_from); });
  return keys;
}

absl::StatusOr<PrivateKey> ReadSigningKey(const Reader& reader, const Certificate& leaf) {
  const std::string uri_name = reader.NameOf(kSigningPrefix, kUriSuffix);
  if (uri_name.empty()) {
    ASSIGN_OR_RETURN(const std::string name,
                     Needed(reader, kSigningPrefix, kKeySuffix, "signing key"));
    return reader.Key(name, leaf);
  }
  return reader.Elsewhere(uri_name, [&](KeyStore& store, const std::string& uri) {
    return store.FindSigningKey(uri, leaf.public_key());
  });
}

absl::StatusOr<SigningIdentity> Signing(const Reader& reader, const Certificate& root,
                                        Timestamp now) {
  ASSIGN_OR_RETURN(const std::string name,
                   Needed(reader, kSigningPrefix, kPemSuffix, "signing certificate"));
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, reader.Certificates(name));
  absl::StatusOr<Certificate> leaf =
      VerifyChain(chain, root, {.at = now, .leaf_role = CertificateRole::kKeyManager});
  if (!leaf.ok()) return Annotate(leaf.status(), reader.PathOf(name));
  ASSIGN_OR_RETURN(PrivateKey key, ReadSigningKey(reader, *leaf));
  return SigningIdentity{std::move(key), *leaf, {chain.begin() + 1, chain.end()}};
}

// Verifies the manifest under the root that it lists, and returns that root.
absl::StatusOr<Certificate> VerifyManifest(const std::string& folder,
                                           const v1::SignedEnvelope& envelope,
                                           const v1::PoolManifest& manifest, Timestamp now) {
  const std::string path = absl::StrCat(folder, "/", kManifest);
  for (const v1::PoolFile& file : manifest.files()) {
    if (file.name() != kRoot) continue;
    ASSIGN_OR_RETURN(SecretBytes pem, ReadListed(folder, file));
    absl::StatusOr<Certificate> root = Certificate::FromPem(pem.Reveal());
    if (!root.ok()) return Annotate(root.status(), absl::StrCat(folder, "/", kRoot));
    absl::Status verified = VerifyEnvelopeChain(envelope, payload_type::kPoolManifest, *root,
                                                {.at = now, .leaf_role = CertificateRole::kPool})
                                .status();
    if (!verified.ok()) return Annotate(verified, path);
    if (!Equal(AsBytes(manifest.provider()), root->public_key().id())) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is of another provider than ", kRoot));
    }
    return root;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, " does not list ", kRoot));
}

absl::StatusOr<std::vector<RevokedKeyManager>> Revoked(const Reader& reader,
                                                       const v1::PoolManifest& manifest) {
  std::vector<RevokedKeyManager> revoked;
  for (const v1::RevokedKeyManager& entry : manifest.revoked_key_managers()) {
    RevokedKeyManager one;
    if (entry.key_id().size() != one.key_id.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(reader.PathOf(kManifest), " revokes a key whose id is not 32 bytes"));
    }
    std::ranges::copy(AsBytes(entry.key_id()), one.key_id.begin());
    one.not_after = FromMicros(entry.not_after_us());
    if (!revoked.empty() && revoked.back().key_id >= one.key_id) {
      return absl::InvalidArgumentError(absl::StrCat(
          reader.PathOf(kManifest), " does not list what it revokes in order, each once"));
    }
    revoked.push_back(one);
  }
  if (std::ssize(revoked) > kMaxRevokedKeyManagers) {
    return absl::InvalidArgumentError(absl::StrCat(reader.PathOf(kManifest), " revokes more than ",
                                                   kMaxRevokedKeyManagers, " key managers"));
  }
  return revoked;
}

// A folder's content as one manifest lists it.
struct Listed {
  v1::PoolManifest manifest;
  Certificate root;
  Files files;
};

absl::StatusOr<Listed> ReadListedFiles(const std::string& folder, const Bytes& manifest_bytes,
                                       Timestamp now) {
  const std::string path = absl::StrCat(folder, "/", kManifest);
  ASSIGN_OR_RETURN(const v1::NarkFile file,
                   ParseNarkFile(manifest_bytes, path, v1::NarkFile::kPoolManifest));
  ASSIGN_OR_RETURN(v1::PoolManifest manifest,
                   PayloadOf<v1::PoolManifest>(file.pool_manifest(), path));
  ASSIGN_OR_RETURN(Certificate root, VerifyManifest(folder, file.pool_manifest(), manifest, now));
  ASSIGN_OR_RETURN(Files files, ReadAll(folder, manifest));
  return Listed{std::move(manifest), std::move(root), std::move(files)};
}

// The same for the manifest in force. Where that changes meanwhile, its files may be gone.
absl::StatusOr<Listed> ReadInForce(const std::string& folder, Timestamp now) {
  const std::string path = absl::StrCat(folder, "/", kManifest);
  ASSIGN_OR_RETURN(Bytes manifest, ReadFile(path, kMaxManifestBytes));
  for (;;) {
    absl::StatusOr<Listed> listed = ReadListedFiles(folder, manifest, now);
    if (listed.ok()) return listed;
    absl::StatusOr<Bytes> later = ReadFile(path, kMaxManifestBytes);
    if (!later.ok() || *later == manifest) return listed;
    manifest = *std::move(later);
  }
}

// Its signature is not looked at.
absl::StatusOr<v1::PoolManifest> ManifestAsWritten(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kManifest);
  ASSIGN_OR_RETURN(const v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kPoolManifest));
  return PayloadOf<v1::PoolManifest>(file.pool_manifest(), path);
}

}  // namespace

Digest ChallengeKeyId(const SecretBytes& key) {
  return LabelledHash("nark challenge mac key v1", {key.Reveal()});
}

bool PoolFolder::Revokes(const Digest& key_id) const {
  return std::ranges::binary_search(revoked, key_id, {}, &RevokedKeyManager::key_id);
}

Digest ChallengeKey::Id() const {
  return external != nullptr ? external->id() : ChallengeKeyId(key);
}

absl::StatusOr<PoolFolder> LoadPoolFolder(const std::string& folder, Timestamp now,
                                          KeyStore* store) {
  ASSIGN_OR_RETURN(Listed listed, ReadInForce(folder, now));
  const Certificate& root = listed.root;
  const Reader reader(folder, std::move(listed.files), store);
  ASSIGN_OR_RETURN(std::vector<AgedHpkeKey> aged, HpkeKeys(reader));
  std::vector<HpkePrivateKey> hpke_keys;
  std::vector<Timestamp> hpke_keys_made;
  for (AgedHpkeKey& key : aged) {
    hpke_keys.push_back(std::move(key.key));
    hpke_keys_made.push_back(key.made);
  }
  ASSIGN_OR_RETURN(std::vector<ChallengeKey> challenge_keys, MacKeys(reader));
  ASSIGN_OR_RETURN(SigningIdentity signing, Signing(reader, root, now));
  ASSIGN_OR_RETURN(const std::string tls_name,
                   Needed(reader, kTlsPrefix, kPemSuffix, "TLS certificate"));
  ASSIGN_OR_RETURN(const std::string tls_key_name,
                   Needed(reader, kTlsPrefix, kKeySuffix, "TLS key"));
  ASSIGN_OR_RETURN(std::vector<Certificate> tls, reader.Certificates(tls_name));
  RETURN_IF_ERROR(reader.Key(tls_key_name, tls.front()).status());
  ASSIGN_OR_RETURN(std::vector<RevokedKeyManager> revoked, Revoked(reader, listed.manifest));
  return PoolFolder{
      .root = root,
      .hpke_keys = std::move(hpke_keys),
      .hpke_keys_made = std::move(hpke_keys_made),
      .challenge_keys = std::move(challenge_keys),
      .signing = std::move(signing),
      .tls_certificates_pem = ToText(reader.files().at(tls_name).bytes.Reveal()),
      .tls_key_pem = reader.files().at(tls_key_name).bytes.Clone(),
      .revoked = std::move(revoked),
      .kind = listed.manifest.replica() ? PoolFolderKind::kReplica : PoolFolderKind::kPool};
}

absl::StatusOr<std::string> SigningCertificateFile(const std::string& folder) {
  ASSIGN_OR_RETURN(const v1::PoolManifest manifest, ManifestAsWritten(folder));
  for (const v1::PoolFile& listed : manifest.files()) {
    if (IsNamed(listed.name(), kSigningPrefix, kPemSuffix)) {
      return absl::StrCat(folder, "/", listed.name());
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(folder, "/", kManifest, " lists no signing certificate"));
}

absl::StatusOr<std::vector<std::string>> UnlistedFiles(const std::string& folder) {
  ASSIGN_OR_RETURN(const v1::PoolManifest manifest, ManifestAsWritten(folder));
  std::set<std::string> listed;
  for (const v1::PoolFile& file : manifest.files()) listed.insert(file.name());
  return OursBeside(folder, listed);
}

}  // namespace nark
