#ifndef NARK_SECURESPACE_SECURE_SPACE_H_
#define NARK_SECURESPACE_SECURE_SPACE_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "nark/v1/note.pb.h"
#include "nark/v1/secure_space.pb.h"

namespace nark::securespace {

// Whether a secure space plays sessions with an insecure cipher or generator. Who opens it
// decides, not who calls it.
enum class InsecureSessions { kRefuse, kAllow };

// The decision for one header.
struct KeyDecision {
  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;  // released
  SecretBytes data_key;                                        // empty where refused
};

// The most that one call decides on; a longer list is INVALID_ARGUMENT.
inline constexpr size_t kMaxReleaseHeaders = 1024;
inline constexpr size_t kMaxOpenAdus = 64;

inline constexpr size_t kMaxDigests = 64;

// That the ADU released last of this sender was decrypted (wire::AduDigest).
struct DigestClaim {
  uint32_t sender_id = 0;
  uint64_t adu_id = 0;
  Digest digest{};
};

struct ReleaseRequest {
  SessionName session;
  uint32_t sub_session = 0;
  std::vector<ByteView> headers;          // signed headers with authentication
  std::vector<DigestClaim> digests = {};  // where the terms demand them; taken first
};

// One complete ADU, for on-card decryption.
struct SealedAdu {
  ByteView header;
  ByteView ciphertext;
};

struct OpenRequest {
  SessionName session;
  uint32_t sub_session = 0;
  std::vector<SealedAdu> adus;
  std::vector<DigestClaim> digests = {};
};

struct OpenDecision {
  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;
  Bytes plaintext;
};

// What the host may ask of a secure space (the smartcard; section 3 of
// the paper): bytes in, bytes out, so that a card, another process or the
// emulation in this one serve alike. Thread-safe.
class SecureSpace {
 public:
  virtual ~SecureSpace() = default;

  virtual absl::StatusOr<v1::GetIdentityResponse> GetIdentity() = 0;

  // Evidence for a challenge, with an HPKE key made for it. One exchange a
  // session is pending at a time; a new one replaces it. Descriptor and voucher
  // are verified first. FAILED_PRECONDITION without an installed certificate.
  virtual absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request) = 0;

  // Opens and durably installs the grant made for the pending evidence. A grant
  // that is installed already must match what is installed and changes nothing
  // but the contact echo.
  virtual absl::StatusOr<v1::InstallGrantResponse> InstallGrant(
      const v1::InstallGrantRequest& request) = 0;

  // Decides on each header (docs/architecture.md, "When a key is released") and records everything
  // that is released durably before it returns: one group commit a call. On an error nothing is
  // released. Where the terms demand digests, one ADU of a sender is outstanding at a time.
  virtual absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request) = 0;

  // The same for sessions whose keys must not leave.
  virtual absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request) = 0;

  // Opens the holder's marked block, in a session with an audit trail of which a grant is
  // installed; to be called once a start. What it returns is for the host where keys are
  // released; where plaintext is, it stays inside and OpenAdus takes it, and there is none
  // here. INVALID_ARGUMENT where it was damaged or is another's: fetch it again.
  // FAILED_PRECONDITION, reason NO_GRANT.
  virtual absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(
      const SessionName& session, ByteView sealed) = 0;

  virtual absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request) = 0;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SECURE_SPACE_H_
