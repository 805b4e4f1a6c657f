#include "securespace/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/pem.h"
#include "common/crypto/secret_bytes.h"
#include "common/crypto/secret_file.h"
#include "common/crypto/signature.h"
#include "nark/v1/note.pb.h"

namespace nark::securespace {

// flock(2) on the folder itself, which the kernel takes back when a process dies. A
// lock file could be removed under its holder.
class FolderLock {
 public:
  static absl::StatusOr<std::unique_ptr<FolderLock>> Take(const std::string& folder) {
    int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", folder));
    auto lock = absl::WrapUnique(new FolderLock(fd));
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno != EWOULDBLOCK) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot lock ", folder));
    }
    return absl::UnavailableError(
        absl::StrCat("the secure space ", folder,
                     " is in use by another process; stop that one, or use its socket unix:",
                     SocketPath(folder)));
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  const int fd_;
};

namespace {

constexpr char kAttestationKey[] = "/attestation-key.pem";
constexpr char kNoteKey[] = "/note-key.pem";
constexpr char kStateKey[] = "/state-key.pem";
constexpr char kRequest[] = "/request.pem";
constexpr char kCertificate[] = "/certificate.pem";
constexpr char kTpm[] = "tpm";
constexpr std::string_view kStateKeyLabel = "NARK STATE KEY";
constexpr size_t kStateKeyBytes = 32;
constexpr size_t kMaxChain = 4;

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

absl::StatusOr<PrivateKey> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(SecretBytes pem, ReadSecretFile(path));
  absl::StatusOr<PrivateKey> key = PrivateKey::FromPem(pem);
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

absl::StatusOr<SecretBytes> ReadStateKey(const std::string& path) {
  ASSIGN_OR_RETURN(SecretBytes pem, ReadSecretFile(path));
  absl::StatusOr<SecretBytes> key = DecodeSecretPem(kStateKeyLabel, pem.Reveal());
  if (!key.ok()) return Annotate(key.status(), path);
  if (key->size() != kStateKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, " holds a key of another size"));
  }
  return key;
}

// Whoever may write into the folder may exchange what stands in it.
absl::Status CheckPrivate(const std::string& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", folder));
  }
  if (info.st_uid == ::geteuid() && (info.st_mode & 077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(folder, " is open to other users; make it your own with chmod 700"));
}

absl::StatusOr<std::unique_ptr<FolderLock>> LockExisting(const std::string& folder) {
  if (!Exists(folder + kRequest)) {
    return absl::NotFoundError(
        absl::StrCat(folder, " is no secure space; make one with nark-securespace init"));
  }
  RETURN_IF_ERROR(CheckPrivate(folder));
  return FolderLock::Take(folder);
}

absl::StatusOr<SecureSpaceKeys> ReadKeys(const std::string& folder) {
  ASSIGN_OR_RETURN(PrivateKey attestation, ReadKey(folder + kAttestationKey));
  ASSIGN_OR_RETURN(PrivateKey note, ReadKey(folder + kNoteKey));
  ASSIGN_OR_RETURN(SecretBytes state, ReadStateKey(folder + kStateKey));
  return SecureSpaceKeys{std::move(attestation), std::move(note), std::move(state)};
}

absl::StatusOr<PrivateKey> MakeKey(const std::string& path) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  ASSIGN_OR_RETURN(SecretBytes pem, key.ToPem());
  RETURN_IF_ERROR(WriteFile(path, pem.Reveal(), FileMode::kSecret));
  return key;
}

enum class HasCounter { kNo, kYes };

HasCounter CounterOf(const std::string& folder) {
  return Exists(folder + "/" + kTpm) ? HasCounter::kYes : HasCounter::kNo;
}

// What the counter is used with follows from the state's key: whoever has not this
// folder counts no step of it, and the folder holds no further secret.
absl::StatusOr<SecretBytes> CounterAuthorisation(const SecretBytes& state_key) {
  return Hkdf(AsBytes("nark secure space counter v1"), state_key, {}, 32);
}

// Null where the folder has none.
absl::StatusOr<std::unique_ptr<TpmCounter>> OpenCounter(const std::string& folder,
                                                        const SecretBytes& state_key) {
  if (CounterOf(folder) == HasCounter::kNo) return nullptr;
  const std::string path = folder + "/" + kTpm;
  ASSIGN_OR_RETURN(Bytes text, ReadFile(path));
  absl::StatusOr<TpmBinding> binding = ParseTpmBinding(AsText(text));
  if (!binding.ok()) return Annotate(binding.status(), path);
  ASSIGN_OR_RETURN(SecretBytes authorisation, CounterAuthorisation(state_key));
  absl::StatusOr<std::unique_ptr<TpmCounter>> counter = TpmCounter::Open(*binding, authorisation);
  if (!counter.ok()) return Annotate(counter.status(), folder);
  return counter;
}

absl::StatusOr<std::unique_ptr<TpmCounter>> DefineCounter(const std::string& folder,
                                                          const std::string& tpm,
                                                          const SecretBytes& state_key) {
  ASSIGN_OR_RETURN(SecretBytes authorisation, CounterAuthorisation(state_key));
  ASSIGN_OR_RETURN(std::unique_ptr<TpmCounter> counter, TpmCounter::Define(tpm, authorisation));
  RETURN_IF_ERROR(
      WriteFile(folder + "/" + kTpm, AsBytes(Format(counter->binding())), FileMode::kPublic));
  return counter;
}

// The chain in `pem`, whose leaf must be a certificate for these keys.
absl::StatusOr<std::vector<Certificate>> CheckChain(ByteView pem, const SecureSpaceKeys& keys,
                                                    HasCounter has_counter) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, CertificatesFromPem(pem));
  if (chain.empty() || chain.size() > kMaxChain) {
    return absl::InvalidArgumentError(
        absl::StrCat("it holds ", chain.size(), " certificates instead of 1 to ", kMaxChain));
  }
  const Certificate& leaf = chain.front();
  if (leaf.role() != CertificateRole::kSecureSpace || !leaf.secure_space_scope().has_value()) {
    return absl::InvalidArgumentError("it is not a secure space's certificate");
  }
  if (!Equal(leaf.public_key().spki(), keys.attestation.public_key().spki()) ||
      !Equal(leaf.secure_space_scope()->note_spki, keys.note.public_key().spki())) {
    return absl::InvalidArgumentError("it certifies another secure space's keys");
  }
  const int assurance = leaf.secure_space_scope()->assurance;
  if (assurance == v1::ASSURANCE_CLASS_TPM && has_counter == HasCounter::kNo) {
    return absl::InvalidArgumentError(
        "it certifies a TPM's counter, and the folder has none (no file tpm); put the file back");
  }
  if (assurance != v1::ASSURANCE_CLASS_TPM && assurance != v1::ASSURANCE_CLASS_EMULATED) {
    return absl::InvalidArgumentError(
        "it certifies hardware, and this secure space is software; have it certified as emulated");
  }
  return chain;
}

absl::Status MakeFolder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  struct stat info {};
  if (errno == EEXIST && ::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return CheckPrivate(folder);
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot create the folder ", folder));
}

}  // namespace

std::string SocketPath(const std::string& folder) { return folder + "/socket"; }

absl::StatusOr<Digest> InitialiseFolder(const std::string& folder, Random& random,
                                        const std::string& tpm) {
  // The request is written last: without it the folder is no secure space, and one
  // that was interrupted is begun anew.
  if (Exists(folder + kRequest)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, " holds a secure space already; choose another folder"));
  }
  if (!tpm.empty()) RETURN_IF_ERROR(CheckTcti(tpm));
  RETURN_IF_ERROR(MakeFolder(folder));
  ASSIGN_OR_RETURN(PrivateKey attestation, MakeKey(folder + kAttestationKey));
  ASSIGN_OR_RETURN(PrivateKey note, MakeKey(folder + kNoteKey));
  SecretBytes state(kStateKeyBytes);
  RETURN_IF_ERROR(random.Fill(state.RevealMutable()));
  RETURN_IF_ERROR(WriteFile(folder + kStateKey,
                            EncodeSecretPem(kStateKeyLabel, state.Reveal()).Reveal(),
                            FileMode::kSecret));
  FolderStorage storage(folder);
  RETURN_IF_ERROR(storage.Remove("sessions"));  // of an interrupted beginning
  RETURN_IF_ERROR(storage.Remove(kTpm));
  std::unique_ptr<TpmCounter> counter;
  if (!tpm.empty()) {
    ASSIGN_OR_RETURN(counter, DefineCounter(folder, tpm, state));
  }
  RETURN_IF_ERROR(Emulation::Initialise(state, storage, random, counter.get()));
  ASSIGN_OR_RETURN(std::string request,
                   MakeSecureSpaceRequestPem(attestation, note,
                                             counter == nullptr ? v1::ASSURANCE_CLASS_EMULATED
                                                                : v1::ASSURANCE_CLASS_TPM));
  RETURN_IF_ERROR(WriteFile(folder + kRequest, AsBytes(request), FileMode::kPublic));
  return SecureSpaceId(attestation.public_key().spki(), note.public_key().spki());
}

absl::Status InstallCertificate(const std::string& folder, const std::string& certificate_path) {
  ASSIGN_OR_RETURN(std::unique_ptr<FolderLock> lock, LockExisting(folder));
  ASSIGN_OR_RETURN(SecureSpaceKeys keys, ReadKeys(folder));
  ASSIGN_OR_RETURN(Bytes pem, ReadFile(certificate_path));
  absl::StatusOr<std::vector<Certificate>> chain = CheckChain(pem, keys, CounterOf(folder));
  if (!chain.ok()) return Annotate(chain.status(), certificate_path);
  return WriteFile(folder + kCertificate, pem, FileMode::kPublic);
}

Folder::Folder(std::unique_ptr<FolderLock> lock, std::string path)
    : lock_(std::move(lock)), storage_(std::move(path)) {}
Folder::~Folder() {
  // For people only: where it cannot be written, nothing that counts is lost.
  if (space_ != nullptr) space_->Flush().IgnoreError();
}

absl::StatusOr<std::unique_ptr<Folder>> Folder::Open(const std::string& folder, Clock& clock,
                                                     Random& random, InsecureSessions insecure) {
  ASSIGN_OR_RETURN(std::unique_ptr<FolderLock> lock, LockExisting(folder));
  ASSIGN_OR_RETURN(SecureSpaceKeys keys, ReadKeys(folder));
  auto opened = absl::WrapUnique(new Folder(std::move(lock), folder));
  if (std::string path = folder + kCertificate; Exists(path)) {
    ASSIGN_OR_RETURN(Bytes pem, ReadFile(path));
    absl::StatusOr<std::vector<Certificate>> chain = CheckChain(pem, keys, CounterOf(folder));
    if (!chain.ok()) return Annotate(chain.status(), path);
    opened->certificates_ = *std::move(chain);
  }
  ASSIGN_OR_RETURN(opened->counter_, OpenCounter(folder, keys.state));
  absl::StatusOr<std::unique_ptr<Emulation>> space =
      Emulation::Open(std::move(keys), opened->certificates_,
                      {opened->storage_, clock, random, opened->counter_.get(), insecure});
  if (!space.ok()) return Annotate(space.status(), folder);
  opened->space_ = *std::move(space);
  return opened;
}

}  // namespace nark::securespace
