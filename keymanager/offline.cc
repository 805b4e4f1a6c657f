#include "keymanager/offline.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "common/object/session.h"
#include "keymanager/challenge.h"
#include "keymanager/refusal.h"

namespace nark::keymanager {
namespace {

absl::StatusOr<Digest> ParseId(const std::string& hex) {
  const Bytes bytes = FromHex(hex);
  Digest id;
  if (bytes.size() != id.size()) {
    return absl::InvalidArgumentError(
        "--secure-space: want the 64 hexadecimal digits that 'nark-securespace init' prints");
  }
  std::copy(bytes.begin(), bytes.end(), id.begin());
  return id;
}

// What the one request of this process was refused for.
class LastRefusal final : public RefusalLog {
 public:
  void OnRefusal(Cause cause, std::string_view detail) override {
    text_ = absl::StrCat(Absl(CauseName(cause)), ": ", Absl(detail));
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

absl::Status RunOfflineChallenge(const OfflineChallengeSettings& settings, Clock& clock,
                                 Random& random) {
  ASSIGN_OR_RETURN(const Digest secure_space_id, ParseId(settings.secure_space));
  if (settings.expires.count() <= 0 || settings.expires > kLongestChallengeLife) {
    return absl::InvalidArgumentError("--expires: want more than nothing and at most 366 days");
  }
  const Timestamp now = clock.Now();
  ASSIGN_OR_RETURN(const v1::NarkFile session_file,
                   ReadNarkFile(settings.session_path, v1::NarkFile::kSessionDescriptor));
  const auto session = VerifiedSession::Verify(session_file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), settings.session_path);
  ASSIGN_OR_RETURN(const PoolFolder pool, LoadPoolFolder(settings.pool, now, settings.token));
  if (session->name().provider != pool.root.public_key().id()) {
    return absl::InvalidArgumentError(absl::StrCat(
        settings.session_path, " is a session of another provider than that of ", settings.pool));
  }
  ASSIGN_OR_RETURN(const ChallengeKeys keys, ChallengeKeys::Create(pool.challenge_keys));
  v1::NarkFile file;
  ASSIGN_OR_RETURN(*file.mutable_challenge(),
                   keys.Make(session->name(), secure_space_id, now, settings.expires, random));
  return WriteNarkFile(settings.out, file, FileMode::kPublic);
}

absl::Status RunOfflineGrant(const OfflineGrantSettings& settings, Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(v1::NarkFile asked,
                   ReadNarkFile(settings.request_path, v1::NarkFile::kGrantRequest));
  LastRefusal refusal;
  ASSIGN_OR_RETURN(
      const auto replica,
      ReplicaSource::Load(settings.files, {.clock = clock, .random = random, .refusals = refusal},
                          {.challenge_life = kLongestChallengeLife}));
  v1::GrantRequestFile& from = *asked.mutable_grant_request();
  v1::IssueGrantRequest request;
  request.mutable_session_descriptor()->Swap(from.mutable_session_descriptor());
  request.mutable_voucher()->Swap(from.mutable_voucher());
  request.mutable_secure_space_certificates()->Swap(from.mutable_secure_space_certificates());
  request.mutable_challenge()->Swap(from.mutable_challenge());
  request.mutable_evidence()->Swap(from.mutable_evidence());
  auto response = replica->authority()->IssueGrant(request);
  if (!response.ok()) {
    return Annotate(response.status(),
                    absl::StrCat(settings.request_path, " is refused, ", refusal.text()));
  }
  v1::ChallengeBody challenge;  // its MAC has been checked
  RETURN_IF_ERROR(
      ParseStrictly(AsBytes(request.challenge().body()), settings.request_path, challenge));
  v1::NarkFile file;
  *file.mutable_grant()->mutable_session() = challenge.session();
  *file.mutable_grant()->mutable_grant() = std::move(*response->mutable_grant());
  // Granted, so it verifies.
  ASSIGN_OR_RETURN(const VerifiedSession session,
                   VerifiedSession::Verify(request.session_descriptor(), clock.Now()));
  if (session.terms().has_audit()) {
    v1::GetMarkedBlockRequest asked_besides;
    *asked_besides.mutable_join() = std::move(request);
    const auto sealed = replica->authority()->GetMarkedBlock(asked_besides);
    if (!sealed.ok()) return Annotate(sealed.status(), settings.request_path);
    file.mutable_grant()->set_sealed_block(ToText(*sealed));
  }
  return WriteNarkFile(settings.out, file, FileMode::kPublic);
}

}  // namespace nark::keymanager
