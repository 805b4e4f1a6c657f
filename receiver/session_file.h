#ifndef NARK_RECEIVER_SESSION_FILE_H_
#define NARK_RECEIVER_SESSION_FILE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file_stamp.h"
#include "common/object/session.h"

namespace nark::receiver {

// A session file that may be replaced by a later descriptor of the same session while
// it is played: a sender was added, or the transport moved. One thread only.
class SessionFile {
 public:
  // To be made when `path` has just been read.
  explicit SessionFile(std::string path);

  // How often the file is looked at, however often Poll is called.
  static constexpr std::chrono::microseconds kLookEvery = std::chrono::seconds(1);
  static constexpr std::chrono::microseconds kTryAgainAfter = std::chrono::seconds(10);

  // The later descriptor, where the file has changed since and holds one; empty where
  // there is nothing new. An error, once a change, where what is there is no later
  // descriptor of `current`: that one stays in force.
  absl::StatusOr<std::optional<VerifiedSession>> Poll(const VerifiedSession& current,
                                                      Timestamp now);
  // What the last Poll gave could not be used: it is given again, a while after `now`.
  void TryAgain(Timestamp now) {
    stamp_ = {};
    look_at_ = now + kTryAgainAfter;
  }

 private:
  std::string path_;
  FileStamp stamp_;
  std::optional<Timestamp> look_at_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_SESSION_FILE_H_
