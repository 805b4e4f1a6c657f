#include "common/object/pool_folder.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/crypto/secret_file.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/provider.h"
#include "common/object/sealed_session.h"
#include "common/object/session.h"

namespace nark {
namespace {

constexpr char kManifest[] = "manifest.nark";
constexpr char kRoot[] = "root.pem";
constexpr char kSigning[] = "signing.pem";
constexpr char kSigningKey[] = "signing-key.pem";
constexpr char kSigningKeyUri[] = "signing-key.pkcs11";
constexpr char kTls[] = "tls.pem";
constexpr char kTlsKey[] = "tls-key.pem";
constexpr char kHpkeKeyPrefix[] = "hpke-";
constexpr char kMacKeyPrefix[] = "challenge-";
constexpr char kHpkeKeySuffix[] = ".pem";
constexpr char kMacKeySuffix[] = ".key";
// A URI in place of the key.
constexpr char kUriSuffix[] = ".pkcs11";
constexpr char kHpkeKeyLabel[] = "NARK HPKE KEY";
constexpr char kMacKeyLabel[] = "NARK MAC KEY";
constexpr size_t kMacKeyBytes = 32;

struct Content {
  SecretBytes bytes;
  v1::PoolFile listed;  // without the name's and the bytes' part
};
using Files = std::map<std::string, Content>;

// The content of a folder's files, each read once; errors name the path.
class Reader {
 public:
  Reader(std::string folder, Files files, KeyStore* store)
      : folder_(std::move(folder)), files_(std::move(files)), store_(store) {}

  const Files& files() const { return files_; }
  bool Lists(const std::string& name) const { return files_.contains(name); }
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
  if (!reader.Lists(kSigningKeyUri)) return reader.Key(kSigningKey, leaf);
  return reader.Elsewhere(kSigningKeyUri, [&](KeyStore& store, const std::string& uri) {
    return store.FindSigningKey(uri, leaf.public_key());
  });
}

absl::StatusOr<SigningIdentity> Signing(const Reader& reader, const Certificate& root,
                                        Timestamp now) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, reader.Certificates(kSigning));
  absl::StatusOr<Certificate> leaf =
      VerifyChain(chain, root, {.at = now, .leaf_role = CertificateRole::kKeyManager});
  if (!leaf.ok()) return Annotate(leaf.status(), reader.PathOf(kSigning));
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

SecretBytes CopyOf(const std::string& text) { return SecretBytes::CopyOf(AsBytes(text)); }

std::string KeyName(std::string_view prefix, const Digest& id, std::string_view suffix) {
  return absl::StrCat(Absl(prefix), ToHex(id).substr(0, 8), Absl(suffix));
}

Content UriOf(const ExternalKey& key) { return {CopyOf(key.uri() + "\n"), {}}; }

absl::StatusOr<Files> FilesOf(const PoolFolder& pool) {
  Files files;
  std::string signing;
  for (const Certificate& certificate : pool.signing.Chain()) signing += certificate.ToPem();
  files.emplace(kRoot, Content{CopyOf(pool.root.ToPem()), {}});
  files.emplace(kSigning, Content{CopyOf(signing), {}});
  if (const EcdsaSigner* external = pool.signing.key.external(); external != nullptr) {
    files.emplace(kSigningKeyUri, UriOf(*external));
  } else {
    ASSIGN_OR_RETURN(SecretBytes signing_key, pool.signing.key.ToPem());
    files.emplace(kSigningKey, Content{std::move(signing_key), {}});
  }
  files.emplace(kTls, Content{CopyOf(pool.tls_certificates_pem), {}});
  files.emplace(kTlsKey, Content{pool.tls_key_pem.Clone(), {}});
  bool differ = true;
  for (const ChallengeKey& key : pool.challenge_keys) {
    const bool here = key.external == nullptr;
    Content content =
        here ? Content{EncodeSecretPem(kMacKeyLabel, key.key.Reveal()), {}} : UriOf(*key.external);
    content.listed.set_made_us(ToMicros(key.made));
    content.listed.set_makes_from_us(ToMicros(key.makes_from));
    const std::string name = KeyName(kMacKeyPrefix, key.Id(), here ? kMacKeySuffix : kUriSuffix);
    differ = files.emplace(name, std::move(content)).second && differ;
  }
  for (size_t i = 0; i < pool.hpke_keys.size(); ++i) {
    const HpkePrivateKey& key = pool.hpke_keys[i];
    const bool here = key.external() == nullptr;
    Content content = here ? Content{EncodeSecretPem(kHpkeKeyLabel, key.raw().Reveal()), {}}
                           : UriOf(*key.external());
    content.listed.set_made_us(ToMicros(pool.hpke_keys_made.at(i)));
    const std::string name =
        KeyName(kHpkeKeyPrefix, PoolKeyId(key.public_key()), here ? kHpkeKeySuffix : kUriSuffix);
    differ = files.emplace(name, std::move(content)).second && differ;
  }
  if (!differ) return absl::AlreadyExistsError("two keys have one short id; make another");
  return files;
}

bool IsKey(const std::string& name) {
  if (name == kSigningKey || name == kSigningKeyUri) return true;
  if (name.starts_with(kHpkeKeyPrefix)) {
    return name.ends_with(kHpkeKeySuffix) || name.ends_with(kUriSuffix);
  }
  return name.starts_with(kMacKeyPrefix) &&
         (name.ends_with(kMacKeySuffix) || name.ends_with(kUriSuffix));
}

// Keys of an earlier manifest: they are secrets, and nothing reads them any more.
absl::Status RemoveRetiredKeys(const std::string& folder, const Files& files) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (IsKey(name) && !files.contains(name)) std::filesystem::remove(entry.path(), error);
  }
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  return absl::OkStatus();
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
  const std::string path = absl::StrCat(folder, "/", kManifest);
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kPoolManifest));
  ASSIGN_OR_RETURN(v1::PoolManifest manifest,
                   PayloadOf<v1::PoolManifest>(file.pool_manifest(), path));
  ASSIGN_OR_RETURN(Certificate root, VerifyManifest(folder, file.pool_manifest(), manifest, now));
  ASSIGN_OR_RETURN(Files files, ReadAll(folder, manifest));
  const Reader reader(folder, std::move(files), store);
  ASSIGN_OR_RETURN(std::vector<AgedHpkeKey> aged, HpkeKeys(reader));
  std::vector<HpkePrivateKey> hpke_keys;
  std::vector<Timestamp> hpke_keys_made;
  for (AgedHpkeKey& key : aged) {
    hpke_keys.push_back(std::move(key.key));
    hpke_keys_made.push_back(key.made);
  }
  ASSIGN_OR_RETURN(std::vector<ChallengeKey> challenge_keys, MacKeys(reader));
  ASSIGN_OR_RETURN(SigningIdentity signing, Signing(reader, root, now));
  ASSIGN_OR_RETURN(std::vector<Certificate> tls, reader.Certificates(kTls));
  RETURN_IF_ERROR(reader.Key(kTlsKey, tls.front()).status());
  ASSIGN_OR_RETURN(std::vector<RevokedKeyManager> revoked, Revoked(reader, manifest));
  return PoolFolder{.root = root,
                    .hpke_keys = std::move(hpke_keys),
                    .hpke_keys_made = std::move(hpke_keys_made),
                    .challenge_keys = std::move(challenge_keys),
                    .signing = std::move(signing),
                    .tls_certificates_pem = ToText(reader.files().at(kTls).bytes.Reveal()),
                    .tls_key_pem = reader.files().at(kTlsKey).bytes.Clone(),
                    .revoked = std::move(revoked)};
}

absl::Status WritePoolFolder(const std::string& folder, const PoolFolder& pool,
                             const SigningIdentity& pool_role, Timestamp now) {
  ASSIGN_OR_RETURN(Files files, FilesOf(pool));
  std::vector<v1::PoolFile> listed;
  for (auto& [name, content] : files) {
    const ByteView bytes = content.bytes.Reveal();
    RETURN_IF_ERROR(WriteFile(absl::StrCat(folder, "/", name), bytes, FileMode::kSecret));
    content.listed.set_name(name);
    content.listed.set_sha256(ToText(Sha256(bytes)));
    listed.push_back(content.listed);
  }
  v1::NarkFile manifest;
  ASSIGN_OR_RETURN(
      *manifest.mutable_pool_manifest(),
      MakePoolManifest(pool.root.public_key().id(), listed, pool.revoked, pool_role, now));
  RETURN_IF_ERROR(WriteNarkFile(absl::StrCat(folder, "/", kManifest), manifest, FileMode::kSecret));
  return RemoveRetiredKeys(folder, files);
}

}  // namespace nark
