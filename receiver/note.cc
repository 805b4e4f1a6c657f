#include "receiver/note.h"

#include <utility>

#include "common/base/status.h"
#include "common/object/file.h"
#include "receiver/membership.h"
#include "securespace/connect.h"

namespace nark::receiver {

absl::Status RunNote(const NoteSettings& settings, Clock& clock, Random& random) {
  ASSIGN_OR_RETURN(VerifiedSession session, LoadSession(settings.session_path, clock.Now()));
  ASSIGN_OR_RETURN(auto connection,
                   securespace::Connect(settings.secure_space,
                                        securespace::WhenLocked::kUseItsSocket, clock, random));
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = session.name().ToProto();
  request.set_status(settings.status);
  for (const std::string& path : settings.voucher_paths) {
    ASSIGN_OR_RETURN(Purchase purchase, Purchase::Load(settings.session_path, path, clock.Now()));
    *request.mutable_session_descriptor() = purchase.session.envelope();
    *request.add_vouchers() = std::move(purchase.voucher);
  }
  auto response = connection.space().GetDeliveryNote(request);
  if (!response.ok()) return Annotate(response.status(), settings.secure_space);

  v1::NarkFile file;
  v1::NoteFile& note = *file.mutable_note();
  *note.mutable_note() = std::move(*response->mutable_note());
  *note.mutable_secure_space_certificates() =
      std::move(*response->mutable_secure_space_certificates());
  *note.mutable_session_descriptor() = session.envelope();
  return WriteNarkFile(settings.out, file, FileMode::kPublic);
}

}  // namespace nark::receiver
