#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/audit/sealed_block.h"
#include "common/base/status.h"
#include "securespace/core.h"

// OpenMarkedBlock (docs/architecture.md, "Audit trails").
namespace nark::securespace {

absl::StatusOr<std::shared_ptr<const ChameleonBlock>> Emulation::Core::OpenMarkedBlock(
    const SessionName& name, ByteView sealed) {
  RETURN_IF_ERROR(CheckUsable());
  Session* session = FindSession(name);
  if (session == nullptr || session->state().grants.empty()) {
    return Refusal(absl::StatusCode::kFailedPrecondition, "NO_GRANT",
                   absl::StrCat("no grant is installed for session ", name.ToString()));
  }
  const v1::Terms& terms = session->verified().terms();
  if (!terms.has_audit()) {
    return absl::InvalidArgumentError(
        absl::StrCat("session ", name.ToString(), " has no audit trail"));
  }
  Digest block_id;
  std::copy_n(AsBytes(terms.audit().block_id()).begin(), block_id.size(), block_id.begin());
  // All grants for this secure space have the same.
  ASSIGN_OR_RETURN(ChameleonBlock block, audit::OpenBlock(session->state().grants.back().block_key,
                                                          block_id, id_, sealed));
  if (block.words_log2() != terms.audit().block_words_log2()) {
    return absl::InvalidArgumentError("the marked block has another size than the terms say");
  }
  auto opened = std::make_shared<const ChameleonBlock>(std::move(block));
  if (terms.release_mode() == v1::RELEASE_MODE_KEY) return opened;
  session->SetBlock(std::move(opened));
  return std::shared_ptr<const ChameleonBlock>();
}

}  // namespace nark::securespace
