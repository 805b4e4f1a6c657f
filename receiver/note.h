#ifndef NARK_RECEIVER_NOTE_H_
#define NARK_RECEIVER_NOTE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "nark/v1/note.pb.h"

namespace nark::receiver {

// Writes the delivery note of a session, with its certificates and the descriptor,
// to `out`. Where a join has the secure space's folder, its socket is used.
struct NoteSettings {
  std::string session_path;
  std::string secure_space;  // DIR or unix:PATH
  std::string out;
  v1::NoteStatus status = v1::NOTE_STATUS_INTERIM;
  // What was bought and never granted: a FINAL note names it all the same.
  std::vector<std::string> voucher_paths;
};
absl::Status RunNote(const NoteSettings& settings, Clock& clock, Random& random);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_NOTE_H_
