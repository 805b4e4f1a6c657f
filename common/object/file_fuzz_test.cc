// Files from anywhere: whatever parses is canonical, and verification ends.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/object/deny_list.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/sender_file.h"
#include "common/object/session.h"

namespace {

using nark::v1::NarkFile;

constexpr NarkFile::ContentCase kContents[] = {
    NarkFile::kSessionDescriptor, NarkFile::kVoucher, NarkFile::kNote, NarkFile::kSender,
    NarkFile::kPoolManifest,      NarkFile::kDenyList};

// A time at which the corpus is valid.
constexpr nark::Timestamp kNow{std::chrono::seconds{1796000000}};

void Verify(const NarkFile& file) {
  switch (file.content_case()) {
    case NarkFile::kSessionDescriptor: {
      auto session = nark::VerifiedSession::Verify(file.session_descriptor(), kNow);
      if (!session.ok()) return;
      (void)nark::VerifyDenyList(file.session_descriptor(), session->root(), kNow);
      (void)nark::VerifyVoucher(file.session_descriptor(), *session, kNow);
      return;
    }
    case NarkFile::kSender:
      (void)nark::OpenSenderFile(file.sender(), kNow);
      return;
    default:
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const nark::ByteView bytes(data, size);
  int parsed = 0;
  for (NarkFile::ContentCase content : kContents) {
    auto file = nark::ParseNarkFile(bytes, "input", content);
    if (!file.ok()) continue;
    ++parsed;
    if (!nark::Equal(nark::AsBytes(nark::Serialise(*file)), bytes)) std::abort();
    Verify(*file);
  }
  // Bytes are one thing or none.
  if (parsed > 1) std::abort();
  return 0;
}
