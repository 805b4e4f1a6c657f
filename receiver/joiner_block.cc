// The marked block of a join: in the cache, or from a key manager.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/audit/sealed_block.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "receiver/joiner.h"

namespace nark::receiver {
namespace {

// A wait that lasts longer is told, as often.
constexpr std::chrono::seconds kSlow{5};

// Of 32 bytes, which the terms and the secure space's id have.
Digest DigestOf(const std::string& text) {
  Digest digest{};
  std::copy_n(AsBytes(text).begin(), std::min(text.size(), digest.size()), digest.begin());
  return digest;
}

}  // namespace

void Joiner::Block(Timestamp now) {
  if (!block_wait_.has_value()) return LookInCache(now);
  FetchBlock(now);
}

void Joiner::LookInCache(Timestamp now) {
  const v1::AuditTrail& trail = session_.terms().audit();
  const Digest block_id = DigestOf(trail.block_id()), owner = DigestOf(secure_space_id_);
  if (options_.cache != nullptr) {
    const absl::StatusOr<Bytes> kept = options_.cache->Find(block_id, owner);
    const absl::Status opened = kept.ok() ? OpenBlock(*kept) : kept.status();
    if (opened.ok()) {
      block_origin_ = BlockOrigin::kCache;
      state_ = State::kJoined;
      return;
    }
    if (kept.ok() && !absl::IsInvalidArgument(opened)) return FailLocally(opened);
    if (!absl::IsNotFound(opened)) {
      const std::string what =
          kept.ok() ? absl::StrCat(options_.cache->PathOf(block_id, owner), ": ") : "";
      Warn(absl::StrCat(what, opened.message(), "; the marked block is fetched again"));
    }
  }
  if (endpoints_.empty()) return AskKeyManagers();  // which says so
  deadline_ = std::max<Timestamp>(deadline_, now + options_.block_timeout);
  block_wait_ = std::chrono::duration_cast<std::chrono::microseconds>(deadline_ - now);
  told_of_block_ = now;
  last_error_ = absl::OkStatus();  // of the grant, if any
  if (options_.block_progress != nullptr) {
    options_.block_progress(0, audit::SealedBlockBytes(trail.block_words_log2()));
  }
  if (used_installed_grant_) state_ = State::kChallenge;
}

void Joiner::FetchBlock(Timestamp now) {
  v1::GetMarkedBlockRequest request;
  *request.mutable_join() = Request();
  const auto sealed = endpoint().client->GetMarkedBlock(
      request, CallTimeout(options_.block_call_timeout, now), options_.block_progress);
  if (!sealed.ok()) return OnDecisionError(sealed.status(), now);
  const absl::Status opened = OpenBlock(*sealed);
  if (absl::IsInvalidArgument(opened)) return OnLie(opened, now);
  if (!opened.ok()) return FailLocally(opened);
  Keep(*sealed);
  block_origin_ = BlockOrigin::kKeyManager;
  state_ = State::kJoined;
}

void Joiner::Keep(ByteView sealed) {
  if (options_.cache == nullptr) return;
  const absl::Status kept = options_.cache->Keep(DigestOf(session_.terms().audit().block_id()),
                                                 DigestOf(secure_space_id_), sealed);
  if (kept.ok()) return;
  Warn(absl::StrCat("the marked block is not kept, and fetched again by the next join: ",
                    kept.message()));
}

absl::Status Joiner::OpenBlock(ByteView sealed) {
  ASSIGN_OR_RETURN(block_, secure_space_.OpenMarkedBlock(session_.name(), sealed));
  return absl::OkStatus();
}

void Joiner::TellOfSlowBlock(Timestamp now) {
  if (not_before_ - told_of_block_ < kSlow) return;
  told_of_block_ = not_before_;
  const auto left = std::chrono::ceil<std::chrono::seconds>(deadline_ - now);
  Warn(absl::StrCat("no key manager gave the marked block yet, and they are asked for ",
                    left.count(), " s more: ", last_error_.message()));
}

void Joiner::Warn(const std::string& line) const {
  if (options_.warn) options_.warn(line);
}

}  // namespace nark::receiver
