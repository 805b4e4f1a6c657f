#include "receiver/session_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "receiver/membership.h"

namespace nark::receiver {

SessionFile::SessionFile(std::string path) : path_(std::move(path)), stamp_(StampOf(path_)) {}

absl::StatusOr<std::optional<VerifiedSession>> SessionFile::Poll(const VerifiedSession& current,
                                                                 Timestamp now) {
  // Nor waits longer where the clock was put back.
  if (look_at_ && now < *look_at_ && *look_at_ - now <= kTryAgainAfter) {
    return std::optional<VerifiedSession>();
  }
  look_at_ = now + kLookEvery;
  const FileStamp stamp = StampOf(path_);
  if (stamp == FileStamp{} || stamp == stamp_) return std::optional<VerifiedSession>();
  stamp_ = stamp;
  ASSIGN_OR_RETURN(VerifiedSession found, LoadSession(path_, now));
  if (found.name() != current.name() || found.terms_identity() != current.terms_identity()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, " now holds another session; what is played stays as it was"));
  }
  if (found.descriptor_identity() == current.descriptor_identity()) {
    return std::optional<VerifiedSession>();
  }
  if (found.descriptor().issue_time_us() <= current.descriptor().issue_time_us()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, " now holds an earlier descriptor; the later one stays in force"));
  }
  return std::optional<VerifiedSession>(std::move(found));
}

}  // namespace nark::receiver
