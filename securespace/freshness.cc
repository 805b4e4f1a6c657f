#include "securespace/freshness.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::securespace {
namespace {

constexpr uint8_t kStamped = 2;

absl::Status NotTheNewest(uint64_t mark, uint64_t value) {
  if (mark < value) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the secure space's state is an old copy: it stands at ", mark, " and its counter at ",
        value, "; put back the newest state, or begin a new secure space"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the secure space's state stands at ", mark, ", ahead of its counter at ", value,
                   ": this is not the counter it was made with; restore the TPM's own state, or "
                   "begin a new secure space"));
}

}  // namespace

Freshness::Freshness(RollbackCounter* counter) : counter_(counter) {}

absl::Status Freshness::Begin() {
  if (!counts()) return absl::OkStatus();
  ASSIGN_OR_RETURN(value_, counter_->Read());
  return absl::OkStatus();
}

absl::StatusOr<ByteView> Freshness::TakeStamp(const std::string& file, ByteView record) {
  const bool stamped = !record.empty() && record.front() == kStamped;
  if (stamped && !counts()) {
    return absl::FailedPreconditionError(
        "the secure space was made with a TPM counter, and its file tpm is missing; put it back");
  }
  if (!counts()) return record;
  if (!stamped) {
    return absl::FailedPreconditionError(
        "the secure space was made without a TPM counter; remove its file tpm, or begin a new "
        "secure space with init --tpm");
  }
  Reader from(record.subspan(1));
  const ByteView identity = from.Raw(sizeof(Digest));
  Stamped& stamp = stamps_[file];
  stamp.mark = from.U64();
  const ByteView others = from.Raw(stamp.others.size());
  if (!from.ok()) return absl::DataLossError("the secure space's state does not parse");
  if (!Equal(identity, counter_->identity())) {
    return absl::FailedPreconditionError(
        "the secure space was made with another TPM counter than its file tpm names; put the "
        "file back");
  }
  std::copy(others.begin(), others.end(), stamp.others.begin());
  return record.subspan(1 + identity.size() + 8 + others.size());
}

void Freshness::EndsAt(const std::string& file, const JournalPosition& end) {
  if (counts()) ends_[file] = end;
}

absl::Status Freshness::Check(const std::string& first) {
  if (!counts()) return absl::OkStatus();
  std::string newest = first;
  for (const auto& [file, stamp] : stamps_) {
    if (stamp.mark > stamps_[newest].mark) newest = file;
  }
  const Stamped& stamp = stamps_[newest];
  ASSIGN_OR_RETURN(value_, counter_->Read());
  const bool uncounted = value_ + 1 == stamp.mark;
  if (!uncounted && value_ != stamp.mark) return NotTheNewest(stamp.mark, value_);
  if (stamp.others != OthersThan(newest)) {
    return absl::DataLossError(
        absl::StrCat("a file of the secure space is an old copy: not all are those that ", newest,
                     " was written beside; put back the newest state whole, or begin a new secure "
                     "space"));
  }
  return uncounted ? Count() : absl::OkStatus();
}

void Freshness::Stamp(const std::string& file, Writer& to) const {
  if (!counts()) return;
  to.U8(kStamped);
  to.Raw(counter_->identity());
  to.U64(value_ + 1);
  to.Raw(OthersThan(file));
}

absl::Status Freshness::Count() {
  if (!counts()) return absl::OkStatus();
  RETURN_IF_ERROR(counter_->Increment());
  ASSIGN_OR_RETURN(uint64_t value, counter_->Read());
  if (value != value_ + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("the secure space's counter went from ", value_, " to ", value,
                     ": another process counts too, on a copy of this secure space"));
  }
  value_ = value;
  return absl::OkStatus();
}

Digest Freshness::OthersThan(const std::string& file) const {
  Writer all;
  for (const auto& [name, end] : ends_) {
    if (name == file) continue;
    all.String(AsBytes(name));
    all.Raw(end);
  }
  return LabelledHash("nark secure space files v1", {all.bytes()});
}

}  // namespace nark::securespace
