#ifndef NARK_SECURESPACE_EMULATION_H_
#define NARK_SECURESPACE_EMULATION_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/storage.h"
#include "common/crypto/certificate.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/crypto/signature.h"
#include "securespace/rollback_counter.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// What makes a secure space itself; a card makes them inside and never shows them.
struct SecureSpaceKeys {
  PrivateKey attestation;  // signs evidence
  PrivateKey note;         // signs delivery notes
  SecretBytes state;       // 32 bytes: seals the state at rest
};

// What the emulation needs from around it. All outlive it.
struct Surroundings {
  Storage& storage;  // of this secure space alone
  Clock& clock;      // judges certificates only, never a release
  Random& random;
  RollbackCounter* counter = nullptr;  // none: an older state is not told from the newest
  // Not kept in the state: whoever opens it next decides anew.
  InsecureSessions insecure = InsecureSessions::kRefuse;
};

// A secure space in software, of the assurance class EMULATED: it keeps every rule
// of a card but cannot keep its host from copying its state. With a rollback counter,
// class TPM, a copy is no use once the original has gone on.
//
// Sessions are kept for ever, closed ones too: their tombstones keep vouchers from
// being installed again. After a storage error it is in doubt what is durable, so
// everything but GetIdentity is refused (UNAVAILABLE) until it is opened again. So it
// is after an error of the counter.
//
// A session whose cipher or generator is insecure is refused (FAILED_PRECONDITION,
// reason INSECURE_SESSION) by Attest, InstallGrant, ReleaseKeys and OpenAdus, unless the
// surroundings allow it; delivery notes of it are given all the same.
class Emulation final : public SecureSpace {
 public:
  // Writes the state of a secure space that has never been used. ALREADY_EXISTS
  // where the storage holds a state.
  static absl::Status Initialise(const SecretBytes& state_key, Storage& storage, Random& random,
                                 RollbackCounter* counter = nullptr);

  // Reads the state back. `chain`: leaf first, as installed; empty before. NOT_FOUND
  // where a file of the state is missing, DATA_LOSS where one was changed: the
  // message names file and offset. FAILED_PRECONDITION where the state is not the newest
  // by the counter, or was made with another; UNAVAILABLE where that cannot be reached.
  // Nothing is ever reset.
  static absl::StatusOr<std::unique_ptr<Emulation>> Open(SecureSpaceKeys keys,
                                                         std::vector<Certificate> chain,
                                                         const Surroundings& surroundings);
  ~Emulation() override;

  absl::StatusOr<v1::GetIdentityResponse> GetIdentity() override;

  // The voucher may be made out to another secure space: the key manager refuses
  // it. INVALID_ARGUMENT where the session asks for a cipher or generator that is
  // not built in, or its terms are not those of the session installed.
  // FAILED_PRECONDITION, reason SESSION_CLOSED, after a FINAL note.
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request) override;

  // FAILED_PRECONDITION with reason NO_EXCHANGE (nothing is pending),
  // SESSION_CLOSED, or STOPPED (the voucher is not younger than a stop order that
  // was obeyed); INVALID_ARGUMENT where the session was joined under other terms since the
  // evidence was given; UNAUTHENTICATED with reason GRANT_REFUSED for whatever is wrong
  // with the grant, and GRANT_MISMATCH where it differs from the one installed
  // under its id. The pending exchange stays after a refusal, so that another
  // replica's grant can be tried.
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(
      const v1::InstallGrantRequest& request) override;

  // INVALID_ARGUMENT beyond 1,024 headers.
  absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request) override;

  // INVALID_ARGUMENT beyond 64 ADUs. FAILED_PRECONDITION, reason NO_MARKED_BLOCK, in a
  // session with an audit trail before OpenMarkedBlock.
  absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request) override;

  // The block is kept in memory alone.
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName& session,
                                                                        ByteView sealed) override;

  // NOT_FOUND, reason NO_GRANT, for a session that was never joined and without
  // vouchers. After FINAL, INTERIM is FAILED_PRECONDITION, reason SESSION_CLOSED,
  // and FINAL returns the same bytes again, whatever vouchers it comes with.
  // With vouchers, which FINAL alone takes: INVALID_ARGUMENT where the descriptor is
  // another session's, a voucher is made out to another secure space, or there are
  // more than 16; UNAUTHENTICATED where a signature does not verify. A session that
  // was never joined is closed all the same, and no grant of it installed any more.
  // RESOURCE_EXHAUSTED where the note cannot be signed for its size: nothing is closed.
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request) override;

  // Writes down counts of refusals that no release has written yet, so that a clean end
  // loses none. Nothing else waits for it.
  absl::Status Flush();

 private:
  class Core;
  explicit Emulation(std::unique_ptr<Core> core);
  absl::Mutex mutex_;
  std::unique_ptr<Core> core_ ABSL_PT_GUARDED_BY(mutex_);
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_EMULATION_H_
