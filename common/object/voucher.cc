// VerifyVoucher of session.h.

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/session.h"
#include "common/object/shapes.h"
#include "common/object/signer_cache.h"

namespace nark {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status CheckGroups(const v1::Voucher& voucher) {
  std::set<std::string> seen;
  for (const std::string& group : voucher.group_ids()) {
    if (group.size() < 16 || group.size() > 32) {
      return Bad("a group id of the voucher is not 16 to 32 bytes");
    }
    if (!seen.insert(group).second) return Bad("the voucher names a group twice");
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const v1::Voucher& voucher) {
  RETURN_IF_ERROR(shapes::CheckSize(voucher.voucher_id(), 16, "the voucher's id"));
  RETURN_IF_ERROR(
      shapes::CheckSize(voucher.secure_space_id(), 32, "the voucher's secure-space id"));
  if (voucher.has_price()) {
    RETURN_IF_ERROR(shapes::CheckMoney(voucher.price(), "the voucher's price"));
  }
  RETURN_IF_ERROR(shapes::CheckTime(voucher.issue_time_us(), "the voucher's issue time"));
  RETURN_IF_ERROR(shapes::CheckTitle(voucher.payer_reference(), "the voucher's payer reference"));
  return CheckGroups(voucher);
}

// Read before the signature is verified, because it says better what is wrong
// than a chain that does not lead to the root.
absl::Status CheckBelongs(const v1::Voucher& voucher, const VerifiedSession& session) {
  ASSIGN_OR_RETURN(SessionName name, SessionName::FromProto(voucher.session()));
  if (name.provider != session.name().provider) {
    return Bad(absl::StrCat("the voucher is of provider ", ToHex(name.provider),
                            ", the session of provider ", ToHex(session.name().provider)));
  }
  if (name != session.name()) {
    return Bad(absl::StrCat("the voucher is for session ", ToHex(name.session_id), ", not for ",
                            ToHex(session.name().session_id)));
  }
  if (!Equal(AsBytes(voucher.terms_identity()), session.terms_identity())) {
    return Bad("the voucher was sold under other terms than the session's");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VerifiedVoucher> VerifyVoucher(const v1::SignedEnvelope& envelope,
                                              const VerifiedSession& session, Timestamp now,
                                              SignerCache& tills) {
  if (envelope.payload_type() == payload_type::kVoucher) {
    ASSIGN_OR_RETURN(v1::Voucher unverified, PayloadOf<v1::Voucher>(envelope, "the voucher"));
    RETURN_IF_ERROR(CheckBelongs(unverified, session));
  }
  absl::StatusOr<Certificate> signer = tills.VerifyEnvelope(
      envelope, payload_type::kVoucher, session.root(), CertificateRole::kTill, now);
  if (!signer.ok()) return Annotate(signer.status(), "the voucher");
  ASSIGN_OR_RETURN(v1::Voucher voucher, PayloadOf<v1::Voucher>(envelope, "the voucher"));
  RETURN_IF_ERROR(CheckShape(voucher));
  RETURN_IF_ERROR(CheckPolicy(voucher.policy(), session.terms()));
  return VerifiedVoucher{.voucher = std::move(voucher), .identity = ObjectIdentity(envelope)};
}

absl::StatusOr<VerifiedVoucher> VerifySoldVoucher(const v1::SignedEnvelope& envelope,
                                                  const VerifiedSession& session, Timestamp now,
                                                  SignerCache& tills) {
  // What it claims; the signature says afterwards whether the till did.
  const auto claimed = PayloadOf<v1::Voucher>(envelope, "the voucher");
  if (!claimed.ok()) return claimed.status();
  return VerifyVoucher(envelope, session, std::min(now, FromMicros(claimed->issue_time_us())),
                       tills);
}

absl::StatusOr<VerifiedVoucher> VerifyVoucher(const v1::SignedEnvelope& envelope,
                                              const VerifiedSession& session, Timestamp now) {
  SignerCache none;
  return VerifyVoucher(envelope, session, now, none);
}

}  // namespace nark
