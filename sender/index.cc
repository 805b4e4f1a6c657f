#include "sender/index.h"

namespace nark::sender {

absl::StatusOr<Index> Index::Create(const std::string& path) {
  Index index(path);
  if (path.empty()) return index;
  index.file_.open(path, std::ios::trunc);
  if (!index.file_) {
    return absl::PermissionDeniedError("--index " + path + ": cannot be written");
  }
  return index;
}

absl::Status Index::Add(uint64_t first_id, std::span<const OutgoingAdu> adus) {
  if (path_.empty()) return absl::OkStatus();
  for (const OutgoingAdu& adu : adus) {
    file_ << "{\"adu_id\":" << first_id++ << ",\"offset\":" << offset_
          << ",\"bytes\":" << adu.plaintext.size() << "}\n";
    offset_ += adu.plaintext.size();
  }
  file_.flush();
  if (!file_) return absl::InternalError("--index " + path_ + ": cannot be written");
  return absl::OkStatus();
}

}  // namespace nark::sender
