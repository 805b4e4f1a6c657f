#ifndef NARK_TESTS_SIMULATION_WATCHED_SPACE_H_
#define NARK_TESTS_SIMULATION_WATCHED_SPACE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "common/base/bytes.h"
#include "securespace/secure_space.h"
#include "tests/simulation/journal.h"

namespace nark::simulation {

// What one secure space has given away over all its lives.
struct Released {
  uint64_t first = 0;  // the range bought
  uint64_t last = 0;
  std::map<uint64_t, Bytes> headers;  // ids whose key or plaintext left, with the header
  std::set<uint64_t> in_doubt;        // asked for, and never answered
};

// A secure space, watched from outside: a key at most once, only inside the range.
// Thread-compatible.
class WatchedSpace final : public securespace::SecureSpace {
 public:
  WatchedSpace(securespace::SecureSpace& inner, std::string name, Released& released,
               Journal& journal)
      : inner_(inner), name_(std::move(name)), released_(released), journal_(journal) {}

  absl::StatusOr<v1::GetIdentityResponse> GetIdentity() override { return inner_.GetIdentity(); }
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request) override {
    return inner_.Attest(request);
  }
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(
      const v1::InstallGrantRequest& request) override {
    return inner_.InstallGrant(request);
  }
  absl::StatusOr<std::vector<securespace::KeyDecision>> ReleaseKeys(
      const securespace::ReleaseRequest& request) override;
  absl::StatusOr<std::vector<securespace::OpenDecision>> OpenAdus(
      const securespace::OpenRequest& request) override;
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName& session,
                                                                        ByteView sealed) override {
    return inner_.OpenMarkedBlock(session, sealed);
  }
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request) override {
    return inner_.GetDeliveryNote(request);
  }

 private:
  void OnAsked(ByteView header);
  void OnDecision(ByteView header, v1::RefusalReason refusal);
  securespace::SecureSpace& inner_;
  const std::string name_;
  Released& released_;
  Journal& journal_;
};

// The ADU id in a signed header.
uint64_t AduIdOf(ByteView signed_header);

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_WATCHED_SPACE_H_
