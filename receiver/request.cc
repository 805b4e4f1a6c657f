#include "receiver/request.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "receiver/block_cache.h"
#include "receiver/membership.h"
#include "securespace/connect.h"

namespace nark::receiver {
namespace {

// What the key manager would refuse a journey later. Its MAC is for the pool to check.
absl::Status CheckChallenge(const v1::Challenge& challenge, const RequestSettings& settings,
                            const SessionName& session, const std::string& secure_space_id,
                            Timestamp now) {
  const std::string& path = settings.challenge_path;
  v1::ChallengeBody body;
  RETURN_IF_ERROR(ParseStrictly(AsBytes(challenge.body()), path, body));
  const absl::StatusOr<SessionName> challenged = SessionName::FromProto(body.session());
  if (!challenged.ok() || *challenged != session) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is for another session than ", settings.session_path));
  }
  if (body.secure_space_id() != secure_space_id) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is for another secure space than ", settings.secure_space));
  }
  if (ToMicros(now) > body.expires_us()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has expired; have the key manager make another challenge"));
  }
  return absl::OkStatus();
}

// Of a session with an audit trail.
absl::Status KeepBlock(const v1::GrantFile& grant, const InstallSettings& settings,
                       securespace::SecureSpace& space) {
  const ByteView sealed = AsBytes(grant.sealed_block());
  if (sealed.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const SessionName session, SessionName::FromProto(grant.session()));
  RETURN_IF_ERROR(space.OpenMarkedBlock(session, sealed).status());
  ASSIGN_OR_RETURN(const Digest block_id, audit::SealedBlockId(sealed));
  ASSIGN_OR_RETURN(const v1::GetIdentityResponse identity, space.GetIdentity());
  Digest secure_space_id{};
  std::copy_n(AsBytes(identity.secure_space_id()).begin(),
              std::min(identity.secure_space_id().size(), secure_space_id.size()),
              secure_space_id.begin());
  return BlockCache(settings.cache).Keep(block_id, secure_space_id, sealed);
}

// The secure space waits for no such grant. Where it has it from before, all that may be
// missing is the block: a cache that could not be written then.
absl::Status NotInstalled(const absl::Status& refusal, const v1::GrantFile& grant,
                          const InstallSettings& settings, securespace::SecureSpace& space) {
  const bool kept = !grant.sealed_block().empty() && KeepBlock(grant, settings, space).ok();
  return Annotate(refusal,
                  absl::StrCat(settings.grant_path, ": ", settings.secure_space,
                               " waits for no grant of this session: it was installed already",
                               kept ? ", and its marked block is kept now"
                                    : ", or was asked for by another secure space"));
}

}  // namespace

absl::Status RunRequest(const RequestSettings& settings, Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(Purchase purchase,
                   Purchase::Load(settings.session_path, settings.voucher_path, clock.Now()));
  ASSIGN_OR_RETURN(v1::NarkFile challenge,
                   ReadNarkFile(settings.challenge_path, v1::NarkFile::kChallenge));
  ASSIGN_OR_RETURN(auto connection, securespace::Connect(settings.secure_space,
                                                         securespace::WhenLocked::kUseItsSocket,
                                                         clock, random, settings.insecure));
  const auto identity = connection.space().GetIdentity();
  if (!identity.ok()) return Annotate(identity.status(), settings.secure_space);
  RETURN_IF_ERROR(CheckChallenge(challenge.challenge(), settings, purchase.session.name(),
                                 identity->secure_space_id(), clock.Now()));
  if (purchase.verified_voucher.voucher.secure_space_id() != identity->secure_space_id()) {
    return absl::InvalidArgumentError(absl::StrCat(
        settings.voucher_path, " is for another secure space than ", settings.secure_space));
  }

  // First: evidence voids the request of before, which may be on its way.
  RETURN_IF_ERROR(CheckCanWrite(settings.out));
  v1::AttestRequest request;
  *request.mutable_session_descriptor() = purchase.session.envelope();
  *request.mutable_voucher() = purchase.voucher;
  *request.mutable_challenge() = challenge.challenge();
  request.set_life(v1::EXCHANGE_LIFE_KEPT);
  auto attested = connection.space().Attest(request);
  if (!attested.ok()) return Annotate(attested.status(), settings.secure_space);

  v1::NarkFile file;
  v1::GrantRequestFile& asked = *file.mutable_grant_request();
  *asked.mutable_session_descriptor() = purchase.session.envelope();
  *asked.mutable_voucher() = std::move(purchase.voucher);
  *asked.mutable_secure_space_certificates() =
      std::move(*attested->mutable_secure_space_certificates());
  *asked.mutable_challenge() = std::move(*challenge.mutable_challenge());
  *asked.mutable_evidence() = std::move(*attested->mutable_evidence());
  return WriteNarkFile(settings.out, file, FileMode::kPublic);
}

absl::Status RunInstall(const InstallSettings& settings, Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(settings.grant_path, v1::NarkFile::kGrant));
  ASSIGN_OR_RETURN(auto connection, securespace::Connect(settings.secure_space,
                                                         securespace::WhenLocked::kUseItsSocket,
                                                         clock, random, settings.insecure));
  v1::InstallGrantRequest request;
  *request.mutable_session() = file.grant().session();
  *request.mutable_grant() = std::move(*file.mutable_grant()->mutable_grant());
  const auto response = connection.space().InstallGrant(request);
  if (ReasonOf(response.status()) == "NO_EXCHANGE") {
    return NotInstalled(response.status(), file.grant(), settings, connection.space());
  }
  if (!response.ok()) return Annotate(response.status(), settings.grant_path);
  std::printf("installed %s\n", ToHex(AsBytes(response->grant_id())).c_str());
  const absl::Status kept = KeepBlock(file.grant(), settings, connection.space());
  if (kept.ok()) return kept;
  // One that does not open never will.
  const char* advice =
      absl::IsInvalidArgument(kept) ? "" : "; run this again where --cache can be written";
  return Annotate(kept, absl::StrCat(settings.grant_path, ": the grant is installed, and its ",
                                     "marked block is not kept", advice));
}

}  // namespace nark::receiver
