#ifndef NARK_RECEIVER_SESSION_FILE_H_
#define NARK_RECEIVER_SESSION_FILE_H_

#include <array>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/object/session.h"

namespace nark::receiver {

// A session file that may be replaced by a later descriptor of the same session while
// it is played: a sender was added, or the transport moved. One thread only.
class SessionFile {
 public:
  // To be made when `path` has just been read.
  explicit SessionFile(std::string path);

  // The later descriptor, where the file has changed since and holds one; empty where
  // there is nothing new. An error, once a change, where what is there is no later
  // descriptor of `current`: that one stays in force.
  absl::StatusOr<std::optional<VerifiedSession>> Poll(const VerifiedSession& current,
                                                      Timestamp now);
  // The next Poll takes the file for changed: what it held could not be used yet.
  void Forget() { stamp_ = {}; }

 private:
  using Stamp = std::array<uint64_t, 5>;
  Stamp Look() const;

  std::string path_;
  Stamp stamp_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_SESSION_FILE_H_
