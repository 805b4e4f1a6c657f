#include "securespace/tpm_counter.h"

#include <stdlib.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_sys.h>
#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::securespace {
namespace {

// In the owner's range (TCG registry of reserved handles), away from its beginning,
// where people and installers number their own.
constexpr uint32_t kFirstIndex = 0x01804E00;
constexpr uint32_t kLastIndex = 0x01BFFFFF;
constexpr uint16_t kCounterBytes = 8;
constexpr size_t kAuthorisationBytes = 32;

// The library would print lines of its own beside our one. It reads this when it first
// has something to say, and no thread runs before main.
[[maybe_unused]] const int kQuiet = ::setenv("TSS2_LOG", "all+NONE", 0);

// Format-one codes name the parameter that they are about; what they say stands below.
TSS2_RC WithoutParameter(TSS2_RC code) {
  if ((code & TSS2_RC_LAYER_MASK) == 0 && (code & TPM2_RC_FMT1) != 0) return code & 0xBF;
  return code;
}

constexpr char kReach[] = "be reached (is the path right, and may this user open it?)";

absl::Status Failed(const std::string& tcti, std::string_view what, TSS2_RC code) {
  const std::string message =
      absl::StrCat("the TPM ", tcti, " cannot ", Absl(what), ": ", Tss2_RC_Decode(code));
  switch (WithoutParameter(code)) {
    case TPM2_RC_HANDLE & 0xBF:
      return absl::FailedPreconditionError(
          absl::StrCat("the counter is not in the TPM ", tcti,
                       " any more, and the state cannot be held against another; restore the "
                       "TPM's own state, or begin a new secure space"));
    case TPM2_RC_AUTH_FAIL & 0xBF:
    case TPM2_RC_BAD_AUTH & 0xBF:
      return absl::FailedPreconditionError(absl::StrCat(message, "; its authorisation is another"));
    case TPM2_RC_NV_SPACE:
      return absl::FailedPreconditionError(
          absl::StrCat(message, "; delete an index that is not needed"));
    default:
      return absl::UnavailableError(absl::StrCat(message, "; try again when it answers"));
  }
}

TPM2B_AUTH AuthOf(const SecretBytes& value) {
  TPM2B_AUTH auth{};
  auth.size = static_cast<uint16_t>(value.size());
  std::copy(value.Reveal().begin(), value.Reveal().end(), auth.buffer);
  return auth;
}

void WipeAuth(TPM2B_AUTH& auth) { Wipe({auth.buffer, sizeof(auth.buffer)}); }

TPM2B_NV_PUBLIC PublicOf(uint32_t index) {
  TPM2B_NV_PUBLIC area{};
  area.nvPublic.nvIndex = index;
  area.nvPublic.nameAlg = TPM2_ALG_SHA256;
  // No lock-out: the value is 32 random bytes. No writing by the owner, who could count
  // a secure space out of order; deleting takes the same right and is noticed alike.
  area.nvPublic.attributes = (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHWRITE |
                             TPMA_NV_AUTHREAD | TPMA_NV_NO_DA;
  area.nvPublic.dataSize = kCounterBytes;
  return area;
}

// The storage root key of the TCG's provisioning guidance, as a key to encrypt with.
TPM2B_PUBLIC StorageKey() {
  TPM2B_PUBLIC key{};
  key.publicArea.type = TPM2_ALG_ECC;
  key.publicArea.nameAlg = TPM2_ALG_SHA256;
  key.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                    TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& parameters = key.publicArea.parameters.eccDetail;
  parameters.symmetric.algorithm = TPM2_ALG_AES;
  parameters.symmetric.keyBits.aes = 128;
  parameters.symmetric.mode.aes = TPM2_ALG_CFB;
  parameters.scheme.scheme = TPM2_ALG_NULL;
  parameters.curveID = TPM2_ECC_NIST_P256;
  parameters.kdf.scheme = TPM2_ALG_NULL;
  return key;
}

}  // namespace

// One way to one TPM, and what is open there. One thread only.
class TpmCounter::Connection {
 public:
  static absl::StatusOr<std::unique_ptr<Connection>> Create(const std::string& tcti) {
    RETURN_IF_ERROR(CheckTcti(tcti));
    auto connection = absl::WrapUnique(new Connection(tcti));
    RETURN_IF_ERROR(
        connection->Check(kReach, Tss2_TctiLdr_Initialize(tcti.c_str(), &connection->tcti_)));
    RETURN_IF_ERROR(
        connection->Check(kReach, Esys_Initialize(&connection->esys_, connection->tcti_, nullptr)));
    return connection;
  }
  ~Connection() {
    if (esys_ != nullptr) Esys_Finalize(&esys_);
    if (tcti_ != nullptr) Tss2_TctiLdr_Finalize(&tcti_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  absl::StatusOr<uint32_t> FreeIndex() const;
  // The authorisation passes the bus encrypted to a key of the TPM, this once.
  absl::Status Define(uint32_t index, const SecretBytes& authorisation);
  // Finds the index; returns its name.
  absl::StatusOr<Bytes> Find(uint32_t index, const SecretBytes& authorisation);

  // Runs `command` in an HMAC session of its own: one that was kept would be lost with
  // a process that is killed, and a TPM without a resource manager has room for three.
  template <typename Command>
  absl::Status InSession(std::string_view what, Command command) {
    ASSIGN_OR_RETURN(ESYS_TR session, StartSession(ESYS_TR_NONE));
    const TSS2_RC code = command(esys_, index_, session);
    // Gone already where the command failed for its sake.
    (void)Esys_FlushContext(esys_, session);
    return Check(what, code);
  }

 private:
  explicit Connection(std::string tcti) : name_(std::move(tcti)) {}

  absl::Status Check(std::string_view what, TSS2_RC code) const {
    return code == TSS2_RC_SUCCESS ? absl::OkStatus() : Failed(name_, what, code);
  }
  // `key`: the session is salted with it; or ESYS_TR_NONE.
  absl::StatusOr<ESYS_TR> StartSession(ESYS_TR key) const;
  void FlushAllSessions() const;

  const std::string name_;
  TSS2_TCTI_CONTEXT* tcti_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
  ESYS_TR index_ = ESYS_TR_NONE;
};

absl::StatusOr<ESYS_TR> TpmCounter::Connection::StartSession(ESYS_TR key) const {
  TPMT_SYM_DEF symmetric{};
  symmetric.algorithm = TPM2_ALG_AES;
  symmetric.keyBits.aes = 128;
  symmetric.mode.aes = TPM2_ALG_CFB;
  ESYS_TR session = ESYS_TR_NONE;
  const auto start = [&] {
    return Esys_StartAuthSession(esys_, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                 nullptr, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256, &session);
  };
  TSS2_RC code = start();
  // Only where no resource manager shares the TPM out: processes that were killed left
  // their sessions in it.
  if (code == TPM2_RC_SESSION_MEMORY) {
    FlushAllSessions();
    code = start();
  }
  RETURN_IF_ERROR(Check("start a session", code));
  TPMA_SESSION attributes = TPMA_SESSION_CONTINUESESSION;
  if (key != ESYS_TR_NONE) attributes |= TPMA_SESSION_DECRYPT;
  RETURN_IF_ERROR(
      Check("start a session", Esys_TRSess_SetAttributes(esys_, session, attributes, 0xFF)));
  return session;
}

void TpmCounter::Connection::FlushAllSessions() const {
  TPMI_YES_NO more = TPM2_NO;
  TPMS_CAPABILITY_DATA* data = nullptr;
  TSS2_SYS_CONTEXT* sys = nullptr;
  if (Esys_GetCapability(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                         TPM2_LOADED_SESSION_FIRST, TPM2_MAX_CAP_HANDLES, &more,
                         &data) != TSS2_RC_SUCCESS) {
    return;
  }
  // The enhanced API flushes its own sessions only.
  if (Esys_GetSysContext(esys_, &sys) == TSS2_RC_SUCCESS) {
    const TPML_HANDLE& handles = data->data.handles;
    for (uint32_t i = 0; i < handles.count; ++i)
      (void)Tss2_Sys_FlushContext(sys, handles.handle[i]);
  }
  Esys_Free(data);
}

absl::StatusOr<uint32_t> TpmCounter::Connection::FreeIndex() const {
  uint32_t free = kFirstIndex;
  while (free <= kLastIndex) {
    TPMI_YES_NO more = TPM2_NO;
    TPMS_CAPABILITY_DATA* data = nullptr;
    RETURN_IF_ERROR(
        Check("list its indices",
              Esys_GetCapability(esys_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                 free, TPM2_MAX_CAP_HANDLES, &more, &data)));
    const TPML_HANDLE& handles = data->data.handles;
    // In ascending order, from `free` on.
    for (uint32_t i = 0; i < handles.count && handles.handle[i] == free; ++i) ++free;
    const bool found = handles.count == 0 || handles.handle[handles.count - 1] >= free;
    Esys_Free(data);
    if (found || more == TPM2_NO) return free;
  }
  return absl::FailedPreconditionError(absl::StrCat("the TPM ", name_, " has no free index"));
}

absl::Status TpmCounter::Connection::Define(uint32_t index, const SecretBytes& authorisation) {
  const TPM2B_SENSITIVE_CREATE sensitive{};
  const TPM2B_PUBLIC key_area = StorageKey();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  ESYS_TR key = ESYS_TR_NONE;
  RETURN_IF_ERROR(Check("make its storage key (the owner's authorisation must be empty)",
                        Esys_CreatePrimary(esys_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                           ESYS_TR_NONE, &sensitive, &key_area, &outside, &pcrs,
                                           &key, nullptr, nullptr, nullptr, nullptr)));
  absl::StatusOr<ESYS_TR> session = StartSession(key);
  absl::Status status = session.status();
  if (status.ok()) {
    TPM2B_AUTH auth = AuthOf(authorisation);
    const TPM2B_NV_PUBLIC area = PublicOf(index);
    ESYS_TR defined = ESYS_TR_NONE;
    status = Check("define a counter",
                   Esys_NV_DefineSpace(esys_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, *session,
                                       ESYS_TR_NONE, &auth, &area, &defined));
    WipeAuth(auth);
    (void)Esys_FlushContext(esys_, *session);
  }
  (void)Esys_FlushContext(esys_, key);
  return status;
}

absl::StatusOr<Bytes> TpmCounter::Connection::Find(uint32_t index,
                                                   const SecretBytes& authorisation) {
  RETURN_IF_ERROR(Check(
      "find the counter",
      Esys_TR_FromTPMPublic(esys_, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index_)));
  TPM2B_AUTH auth = AuthOf(authorisation);
  absl::Status status = Check("use the counter", Esys_TR_SetAuth(esys_, index_, &auth));
  WipeAuth(auth);
  RETURN_IF_ERROR(status);
  TPM2B_NAME* name = nullptr;
  RETURN_IF_ERROR(Check("name the counter", Esys_TR_GetName(esys_, index_, &name)));
  Bytes result = ToBytes(ByteView(name->name, name->size));
  Esys_Free(name);
  return result;
}

TpmCounter::TpmCounter(std::unique_ptr<Connection> connection, TpmBinding binding,
                       const SecretBytes& auth)
    : connection_(std::move(connection)),
      binding_(std::move(binding)),
      // Names repeat from TPM to TPM, the authorisation does not.
      identity_(HmacSha256(auth, {AsBytes("nark tpm counter v1"), binding_.name})) {}
TpmCounter::~TpmCounter() = default;

absl::StatusOr<std::unique_ptr<TpmCounter>> TpmCounter::Define(const std::string& tcti,
                                                               const SecretBytes& authorisation) {
  if (authorisation.size() != kAuthorisationBytes) {
    return absl::InvalidArgumentError("a counter's authorisation has 32 bytes");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Create(tcti));
  TpmBinding binding{tcti, 0, {}};
  ASSIGN_OR_RETURN(binding.index, connection->FreeIndex());
  RETURN_IF_ERROR(connection->Define(binding.index, authorisation));
  RETURN_IF_ERROR(connection->Find(binding.index, authorisation).status());
  auto counter =
      absl::WrapUnique(new TpmCounter(std::move(connection), std::move(binding), authorisation));
  RETURN_IF_ERROR(counter->Increment());
  // Being written changes the name.
  TpmBinding written = counter->binding_;
  ASSIGN_OR_RETURN(written.name, counter->connection_->Find(written.index, authorisation));
  return absl::WrapUnique(
      new TpmCounter(std::move(counter->connection_), std::move(written), authorisation));
}

absl::StatusOr<std::unique_ptr<TpmCounter>> TpmCounter::Open(const TpmBinding& binding,
                                                             const SecretBytes& authorisation) {
  if (authorisation.size() != kAuthorisationBytes) {
    return absl::InvalidArgumentError("a counter's authorisation has 32 bytes");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Create(binding.tcti));
  ASSIGN_OR_RETURN(Bytes name, connection->Find(binding.index, authorisation));
  if (!Equal(name, binding.name)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "index 0x", absl::Hex(binding.index, absl::kZeroPad8), " of the TPM ", binding.tcti,
        " is not the counter that was made there; restore the TPM's "
        "own state, or begin a new secure space"));
  }
  return absl::WrapUnique(new TpmCounter(std::move(connection), binding, authorisation));
}

const TpmBinding& TpmCounter::binding() const { return binding_; }
Digest TpmCounter::identity() const { return identity_; }

absl::StatusOr<uint64_t> TpmCounter::Read() {
  uint64_t value = 0;
  RETURN_IF_ERROR(connection_->InSession(
      "read the counter", [&value](ESYS_CONTEXT* esys, ESYS_TR index, ESYS_TR session) -> TSS2_RC {
        TPM2B_MAX_NV_BUFFER* data = nullptr;
        const TSS2_RC code = Esys_NV_Read(esys, index, index, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                          kCounterBytes, 0, &data);
        if (code != TSS2_RC_SUCCESS) return code;
        const bool whole = data->size == kCounterBytes;
        if (whole) value = LoadBig64(data->buffer);
        Esys_Free(data);
        return whole ? TSS2_RC_SUCCESS : TPM2_RC_SIZE;
      }));
  return value;
}

absl::Status TpmCounter::Increment() {
  return connection_->InSession(
      "increment the counter", [](ESYS_CONTEXT* esys, ESYS_TR index, ESYS_TR session) {
        return Esys_NV_Increment(esys, index, index, session, ESYS_TR_NONE, ESYS_TR_NONE);
      });
}

}  // namespace nark::securespace
