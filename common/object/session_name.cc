// SessionName and the hashes of session.h.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/session.h"
#include "common/object/shapes.h"

namespace nark {

absl::StatusOr<SessionName> SessionName::FromProto(const v1::SessionRef& ref) {
  SessionName name;
  RETURN_IF_ERROR(
      shapes::CheckSize(ref.provider(), name.provider.size(), "the session's provider"));
  RETURN_IF_ERROR(shapes::CheckSize(ref.session_id(), name.session_id.size(), "the session's id"));
  std::ranges::copy(AsBytes(ref.provider()), name.provider.begin());
  std::ranges::copy(AsBytes(ref.session_id()), name.session_id.begin());
  return name;
}

v1::SessionRef SessionName::ToProto() const {
  v1::SessionRef ref;
  ref.set_provider(ToText(provider));
  ref.set_session_id(ToText(session_id));
  return ref;
}

std::string SessionName::ToString() const {
  return absl::StrCat(ToHex(ByteView(provider).first(4)), "/", ToHex(session_id));
}

Digest SessionContext(const SessionName& session, uint32_t sub_session) {
  std::array<uint8_t, 4> sub;
  StoreBig32(sub.data(), sub_session);
  return LabelledHash("nark session context v1", {session.provider, session.session_id, sub});
}

uint64_t SessionTag(const Digest& session_context) { return LoadBig64(session_context.data()); }

Digest GrantTranscript(const Digest& descriptor_identity, const Digest& challenge_identity,
                       const Digest& evidence_identity, const Digest& voucher_identity) {
  return LabelledHash("nark transcript v1", {descriptor_identity, challenge_identity,
                                             evidence_identity, voucher_identity});
}

Digest GrantId(const Digest& voucher_identity, const Digest& secure_space_id) {
  return LabelledHash("nark grant id v1", {voucher_identity, secure_space_id});
}

Bytes SealedSessionInfo(const SessionName& session, const Digest& terms_identity) {
  return LabelledEncoding("nark sealed session v1",
                          {session.provider, session.session_id, terms_identity});
}

}  // namespace nark
