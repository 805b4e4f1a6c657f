#ifndef NARK_SECURESPACE_TESTING_H_
#define NARK_SECURESPACE_TESTING_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/testing.h"
#include "common/wire/header.h"
#include "nark/v1/grant.pb.h"
#include "securespace/emulation.h"
#include "securespace/fake_storage.h"
#include "securespace/secure_space.h"
#include "securespace/state.h"

namespace nark::securespace {

// A copy of a test's keys, as each opening takes its own.
SecureSpaceKeys KeysOf(const TestSecureSpace& identity);

// What one ADU shall be.
struct AduOptions {
  uint64_t id = 0;
  uint64_t signed_time_us = ToMicros(kTestTime);
  uint64_t lifetime_us = 10'000'000;  // until the deadline, where the session has one
  uint32_t sender_id = 1;
  uint32_t sub_session = 0;
  std::vector<wire::ControlEntry> control;
  enum class Digest { kAsDemanded, kAbsent } digest = Digest::kAsDemanded;
  size_t plaintext_bytes = 100;
  Bytes plaintext;  // empty: plaintext_bytes times the id
  wire::ClearMap clear;
  uint16_t parity_fragments = 0;
  // Called before the header is signed.
  std::function<void(wire::Header&)> spoil;
};

// An ADU as its sender makes it.
struct TestAdu {
  Bytes header;  // signed
  Bytes plaintext;
  Bytes ciphertext;
  SecretBytes data_key;
  DigestClaim claim = {};  // that it was decrypted
};
TestAdu MakeAdu(const TestSession& session, const AduOptions& options);
TestAdu MakeAdu(const TestSession& session, uint64_t id);
// Consecutive ADUs under one signature.
std::vector<TestAdu> MakeBatch(const TestSession& session, uint64_t first_id, size_t count,
                               uint32_t sender_id = 1);

// A key manager that grants whatever it is asked for, and lies where told to.
struct GrantOptions {
  std::function<void(v1::Grant&)> spoil_grant;
  std::function<void(v1::SealedGrant&)> spoil_sealed;
  const SigningIdentity* signer = nullptr;  // default: the provider's key manager
};
absl::StatusOr<v1::SignedEnvelope> MakeGrant(TestProvider& provider, const TestSession& session,
                                             const v1::SignedEnvelope& voucher,
                                             const v1::AttestRequest& request,
                                             const v1::AttestResponse& evidence,
                                             const GrantOptions& options = {});

// A request for evidence with some challenge.
v1::AttestRequest AttestRequestFor(const v1::SignedEnvelope& descriptor,
                                   const v1::SignedEnvelope& voucher);

// A provider, a session and a secure space with a state in memory.
class TestWorld {
 public:
  explicit TestWorld(SessionOptions options = {});

  // Opens the secure space anew over what the storage holds.
  absl::Status Reopen();
  SecureSpace& space() { return *space_; }
  // Lives in `other`, which outlives the world, from the next Reopen on. What stands
  // there was made with this world's state key.
  void UseStorage(Storage& other);
  // Is held against `counter`, which outlives the world, from the next Reopen on.
  void UseCounter(RollbackCounter* counter);
  // Plays insecure sessions, or not, from the next Reopen on; a new world does not.
  void SetInsecure(InsecureSessions insecure) { insecure_ = insecure; }
  // Changes the session's state as no call does, and reopens.
  absl::Status EditState(const std::function<void(SessionState&)>& edit);

  v1::SignedEnvelope Voucher(uint64_t first, uint64_t last) {
    return provider.MakeVoucher(session, identity.id, first, last);
  }
  // The whole exchange, on any secure space.
  absl::StatusOr<v1::InstallGrantResponse> Join(SecureSpace& space,
                                                const v1::SignedEnvelope& voucher,
                                                const GrantOptions& options = {});
  absl::StatusOr<v1::InstallGrantResponse> Join(const v1::SignedEnvelope& voucher,
                                                const GrantOptions& options = {}) {
    return Join(*space_, voucher, options);
  }

  // The decision on one header.
  absl::StatusOr<KeyDecision> Release(const TestAdu& adu, uint32_t sub_session = 0);
  // The reason alone; UNSPECIFIED where the key was released and is the right one.
  v1::RefusalReason Reason(const TestAdu& adu, uint32_t sub_session = 0);
  v1::RefusalReason Reason(uint64_t id) { return Reason(MakeAdu(session, id)); }

  absl::StatusOr<v1::DeliveryNote> Note(v1::NoteStatus status = v1::NOTE_STATUS_INTERIM);

  TestProvider provider;
  TestSession session;
  TestSecureSpace identity;
  ManualClock clock{kTestTime};
  SeededRandom random{7};
  FakeStorage storage;
  SecretBytes state_key;

 private:
  Storage* used_ = &storage;
  RollbackCounter* counter_ = nullptr;
  InsecureSessions insecure_ = InsecureSessions::kRefuse;
  std::unique_ptr<Emulation> space_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_TESTING_H_
