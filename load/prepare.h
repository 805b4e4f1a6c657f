#ifndef NARK_LOAD_PREPARE_H_
#define NARK_LOAD_PREPARE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/identity.h"
#include "common/object/session.h"
#include "load/viewer_file.h"

namespace nark::load {

// What `nark-load prepare` was told.
struct PrepareSettings {
  std::string issuer;        // folder
  std::string provider;      // folder
  std::string session_path;  // *.nark
  std::string out;
  uint64_t viewers = 0;
  // ADUs that each buys, moved on by one from viewer to viewer, `stagger` times: who tunes
  // in later buys from later on, and no two covers are alike.
  uint64_t first_adu = 0;
  uint64_t last_adu = 86'399;
  uint64_t stagger = 3'600;
};

// Who makes viewers. All borrowed; thread-safe.
struct ViewerMakers {
  const VerifiedSession& session;
  const SigningIdentity& issuer;
  const SigningIdentity& till;
  Random& random;
};

// A secure space, certified, and a voucher for it at no price: nothing comes of it at a
// refund desk.
absl::StatusOr<ViewerEntry> MakeViewer(const PrepareSettings& settings, const ViewerMakers& makers,
                                       uint64_t number, Timestamp now);

// Makes all viewers, on every core, and writes the file. `progress` hears now and then how
// many are made. Errors name file or flag. The issuer's folder is not written to: what is
// made here is not entered in its list of certificates.
absl::Status Prepare(const PrepareSettings& settings, Timestamp now, Random& random,
                     const std::function<void(uint64_t made)>& progress);

}  // namespace nark::load

#endif  // NARK_LOAD_PREPARE_H_
