#include "load/prepared_viewers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "securespace/grant_exchange.h"

namespace nark::load {

class PreparedViewers::Pending final : public PendingGrant {
 public:
  Pending(const PreparedViewers& viewers, size_t viewer, HpkePrivateKey key,
          const Digest& transcript)
      : viewers_(viewers), viewer_(viewer), key_(std::move(key)), transcript_(transcript) {}

  absl::Status Check(const v1::SignedEnvelope& grant) const override {
    const Viewer& viewer = viewers_.viewers_[viewer_];
    ASSIGN_OR_RETURN(v1::Voucher voucher, PayloadOf<v1::Voucher>(viewer.voucher, "the voucher"));
    ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::FromRaw(key_.raw().Clone()));
    const securespace::Exchange exchange{
        .session = *viewers_.session_,
        .verified_at_us = viewers_.verified_at_us_,
        .voucher = {.voucher = std::move(voucher), .identity = viewer.voucher_identity},
        .voucher_envelope = viewer.voucher,
        .key = std::move(key),
        .contact_sequence = 0,
        .transcript = transcript_};
    return securespace::OpenGrant(exchange, viewer.id, grant).status();
  }

 private:
  const PreparedViewers& viewers_;
  const size_t viewer_;
  const HpkePrivateKey key_;
  const Digest transcript_;
};

absl::StatusOr<std::unique_ptr<PreparedViewers>> PreparedViewers::Load(const std::string& path,
                                                                       VerifiedSession session,
                                                                       Timestamp now,
                                                                       Random& random) {
  std::unique_ptr<PreparedViewers> made(new PreparedViewers(std::move(session), now, random));
  const auto begin = [&](const ViewerFileHead& head) -> absl::Status {
    if (head.session != made->session_->name() ||
        head.terms_identity != made->session_->terms_identity()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, " was prepared for another session, ", head.session.ToString(),
                       ", or other terms; prepare it for this one"));
    }
    if (head.viewers == 0) return absl::InvalidArgumentError(absl::StrCat(path, " has no viewer"));
    made->viewers_.reserve(head.viewers);
    return absl::OkStatus();
  };
  const auto add = [&](ViewerEntry entry) -> absl::Status {
    absl::StatusOr<PrivateKey> key = PrivateKey::FromPkcs8(entry.key);
    if (!key.ok()) return Annotate(key.status(), path);
    const Digest identity = ObjectIdentity(entry.voucher);
    made->viewers_.push_back({.id = entry.id,
                              .key = *std::move(key),
                              .certificate = std::move(entry.certificate),
                              .voucher = std::move(entry.voucher),
                              .voucher_identity = identity});
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ReadViewerFile(path, begin, add));
  return made;
}

v1::GetChallengeRequest PreparedViewers::ChallengeRequest(size_t viewer) const {
  v1::GetChallengeRequest request;
  *request.mutable_session() = session_->name().ToProto();
  request.set_secure_space_id(ToText(viewers_[viewer].id));
  return request;
}

absl::StatusOr<Attested> PreparedViewers::Attest(size_t index,
                                                 const v1::Challenge& challenge) const {
  const Viewer& viewer = viewers_[index];
  ASSIGN_OR_RETURN(HpkePrivateKey key, HpkePrivateKey::Generate(random_));
  ASSIGN_OR_RETURN(securespace::SignedEvidence made,
                   securespace::SignEvidence({.session = *session_,
                                              .voucher_identity = viewer.voucher_identity,
                                              .challenge = challenge,
                                              .hpke_public_key = key.public_key(),
                                              .secure_space_id = viewer.id},
                                             viewer.key));
  Attested attested;
  *attested.request.mutable_session_descriptor() = session_->envelope();
  *attested.request.mutable_voucher() = viewer.voucher;
  attested.request.add_secure_space_certificates(viewer.certificate);
  *attested.request.mutable_challenge() = challenge;
  *attested.request.mutable_evidence() = std::move(made.evidence);
  attested.pending = std::make_unique<Pending>(*this, index, std::move(key), made.transcript);
  return attested;
}

}  // namespace nark::load
