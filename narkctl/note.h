#ifndef NARK_NARKCTL_NOTE_H_
#define NARK_NARKCTL_NOTE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/object/delivery_note.h"
#include "common/object/session.h"
#include "nark/v1/note.pb.h"
#include "narkctl/show.h"

namespace nark::narkctl {

// A note file that has been verified: descriptor, vouchers under its root, and the
// note under the note key of the certificate that lies beside it.
struct CheckedNote {
  VerifiedSession session;
  VerifiedNote verified;
  std::optional<Certificate> issuer;  // where the certificate was followed to it
};

// Verifies at `now`; with `issuer`, the secure space's certificate too (whatever
// its age). UNAUTHENTICATED or INVALID_ARGUMENT.
absl::StatusOr<CheckedNote> CheckNote(const v1::NoteFile& file,
                                      const std::optional<Certificate>& issuer, Timestamp now);

// ADUs that the vouchers name, of each permitted sender: each id once, however
// many vouchers name it, and at most as many as the counts allow.
uint64_t AdusBought(const CheckedNote& note);

Shown ShowNote(const CheckedNote& note);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_NOTE_H_
