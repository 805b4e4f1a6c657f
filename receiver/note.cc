#include "receiver/note.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "receiver/membership.h"
#include "securespace/connect.h"

namespace nark::receiver {
namespace {

// A FINAL note is frozen: it names no voucher that is handed in once it was made.
absl::Status CheckNames(const v1::SignedEnvelope& note, const NoteSettings& settings,
                        const v1::GetDeliveryNoteRequest& request) {
  if (request.vouchers().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto said, PayloadOf<v1::DeliveryNote>(note, "the delivery note"));
  for (int i = 0; i < request.vouchers_size(); ++i) {
    const std::string& wanted = request.vouchers(i).payload();
    if (std::none_of(said.vouchers().begin(), said.vouchers().end(),
                     [&](const auto& named) { return named.voucher().payload() == wanted; })) {
      return absl::FailedPreconditionError(
          absl::StrCat(settings.voucher_paths[static_cast<size_t>(i)], " is not in ", settings.out,
                       ": the session was closed before, and the final note of then stands"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

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
  RETURN_IF_ERROR(WriteNarkFile(settings.out, file, FileMode::kPublic));
  return CheckNames(note.note(), settings, request);
}

}  // namespace nark::receiver
