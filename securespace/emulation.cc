#include "securespace/emulation.h"

#include <utility>

#include "absl/memory/memory.h"
#include "common/base/status.h"
#include "securespace/core.h"

namespace nark::securespace {

absl::Status Emulation::Initialise(const SecretBytes& state_key, Storage& storage, Random& random,
                                   RollbackCounter* counter) {
  Journal journal(state_key, storage, random, "sessions");
  absl::Status existing = journal.Read().status();
  if (!absl::IsNotFound(existing)) {
    return absl::AlreadyExistsError("there is a secure space's state already");
  }
  Freshness freshness(counter);
  RETURN_IF_ERROR(freshness.Begin());
  Writer writer;
  freshness.Stamp("sessions", writer);
  Write(std::set<SessionName>(), writer);
  RETURN_IF_ERROR(journal.Rewrite(writer.bytes()));
  return freshness.Count();
}

absl::StatusOr<std::unique_ptr<Emulation>> Emulation::Open(SecureSpaceKeys keys,
                                                           std::vector<Certificate> chain,
                                                           const Surroundings& surroundings) {
  auto core = std::make_unique<Core>(std::move(keys), std::move(chain), surroundings);
  RETURN_IF_ERROR(core->Load());
  return absl::WrapUnique(new Emulation(std::move(core)));
}

Emulation::Emulation(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Emulation::~Emulation() = default;

absl::StatusOr<v1::GetIdentityResponse> Emulation::GetIdentity() {
  absl::MutexLock lock(&mutex_);
  return core_->GetIdentity();
}

absl::StatusOr<v1::AttestResponse> Emulation::Attest(const v1::AttestRequest& request) {
  absl::MutexLock lock(&mutex_);
  return core_->Attest(request);
}

absl::StatusOr<v1::InstallGrantResponse> Emulation::InstallGrant(
    const v1::InstallGrantRequest& request) {
  absl::MutexLock lock(&mutex_);
  return core_->InstallGrant(request);
}

absl::StatusOr<std::vector<KeyDecision>> Emulation::ReleaseKeys(const ReleaseRequest& request) {
  absl::MutexLock lock(&mutex_);
  return core_->ReleaseKeys(request);
}

absl::StatusOr<std::vector<OpenDecision>> Emulation::OpenAdus(const OpenRequest& request) {
  absl::MutexLock lock(&mutex_);
  return core_->OpenAdus(request);
}

absl::StatusOr<std::shared_ptr<const ChameleonBlock>> Emulation::OpenMarkedBlock(
    const SessionName& session, ByteView sealed) {
  absl::MutexLock lock(&mutex_);
  return core_->OpenMarkedBlock(session, sealed);
}

absl::StatusOr<v1::GetDeliveryNoteResponse> Emulation::GetDeliveryNote(
    const v1::GetDeliveryNoteRequest& request) {
  absl::MutexLock lock(&mutex_);
  return core_->GetDeliveryNote(request);
}

absl::Status Emulation::Flush() {
  absl::MutexLock lock(&mutex_);
  return core_->Flush();
}

}  // namespace nark::securespace
