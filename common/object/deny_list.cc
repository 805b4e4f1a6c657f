#include "common/object/deny_list.h"

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/shapes.h"
#include "nark/v1/file.pb.h"

namespace nark {

bool VerifiedDenyList::Denies(const Digest& secure_space_id) const {
  return std::ranges::binary_search(secure_space_ids, secure_space_id);
}

absl::StatusOr<VerifiedDenyList> VerifyDenyList(const v1::SignedEnvelope& envelope,
                                                const Certificate& root, Timestamp now) {
  absl::StatusOr<Certificate> signer = VerifyEnvelopeChain(
      envelope, payload_type::kDenyList, root, {.at = now, .leaf_role = CertificateRole::kControl});
  if (!signer.ok()) return Annotate(signer.status(), "the deny list");
  ASSIGN_OR_RETURN(v1::DenyList list, PayloadOf<v1::DenyList>(envelope, "the deny list"));
  if (!Equal(AsBytes(list.provider()), root.public_key().id())) {
    return absl::InvalidArgumentError("the deny list is of another provider");
  }
  RETURN_IF_ERROR(shapes::CheckTime(list.issue_time_us(), "the deny list's issue time"));
  RETURN_IF_ERROR(shapes::CheckTime(list.next_update_us(), "the deny list's next update"));
  VerifiedDenyList verified = {.secure_space_ids = {},
                               .issue_time = FromMicros(list.issue_time_us()),
                               .next_update = FromMicros(list.next_update_us())};
  for (const std::string& id : list.secure_space_ids()) {
    Digest digest;
    RETURN_IF_ERROR(shapes::CheckSize(id, digest.size(), "an id of the deny list"));
    std::ranges::copy(AsBytes(id), digest.begin());
    if (!verified.secure_space_ids.empty() && digest <= verified.secure_space_ids.back()) {
      return absl::InvalidArgumentError("the deny list's ids are not ascending");
    }
    verified.secure_space_ids.push_back(digest);
  }
  return verified;
}

}  // namespace nark
