#ifndef NARK_LOAD_PREPARED_VIEWERS_H_
#define NARK_LOAD_PREPARED_VIEWERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/crypto/signature.h"
#include "common/object/session.h"
#include "load/viewer_file.h"
#include "load/viewers.h"

namespace nark::load {

// The viewers of a file. They make evidence with a secure space's own code, but keep no
// state and judge no descriptor and no voucher: that is work of a million machines, not of
// the one that stands for them. Thread-safe.
class PreparedViewers final : public Viewers {
 public:
  // FAILED_PRECONDITION where they were prepared for another session or other terms. `now`:
  // at what time the session was verified; `random` is thread-safe and outlives this.
  static absl::StatusOr<std::unique_ptr<PreparedViewers>> Load(const std::string& path,
                                                               VerifiedSession session,
                                                               Timestamp now, Random& random);

  size_t count() const override { return viewers_.size(); }
  v1::GetChallengeRequest ChallengeRequest(size_t viewer) const override;
  absl::StatusOr<Attested> Attest(size_t viewer, const v1::Challenge& challenge) const override;

 private:
  struct Viewer {
    Digest id;
    PrivateKey key;
    std::string certificate;
    v1::SignedEnvelope voucher;
    Digest voucher_identity;
  };
  class Pending;

  PreparedViewers(VerifiedSession session, Timestamp now, Random& random)
      : session_(std::make_shared<const VerifiedSession>(std::move(session))),
        verified_at_us_(ToMicros(now)),
        random_(random) {}

  const std::shared_ptr<const VerifiedSession> session_;
  const uint64_t verified_at_us_;
  Random& random_;
  std::vector<Viewer> viewers_;
};

}  // namespace nark::load

#endif  // NARK_LOAD_PREPARED_VIEWERS_H_
