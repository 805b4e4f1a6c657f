#include "securespace/receipts.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/object/id_codec.h"

namespace nark::securespace {
namespace {

// The last id, and the exceptions below it.
//   u8 whether there is any [|| u64 last || packed exceptions]
class OrderedReceipts final : public Receipts {
 public:
  bool Contains(uint64_t id) const override {
    return last_.has_value() && id <= *last_ && !exceptions_.Contains(id);
  }
  void Insert(uint64_t id) override {
    const uint64_t next = last_.has_value() ? *last_ + 1 : 0;
    if (id < next) {
      exceptions_.Remove(id);
      return;
    }
    if (id > next) exceptions_.Insert(next, id - 1);
    last_ = id;
  }
  IdSet ToIdSet() const override {
    IdSet ids;
    uint64_t next = 0;
    for (const auto& [first, last] : exceptions_.ranges()) {
      if (first > next) ids.Insert(next, first - 1);
      next = last + 1;
    }
    if (last_.has_value()) ids.Insert(next, *last_);
    return ids;
  }
  absl::Status Write(Writer& to) const override {
    to.U8(last_.has_value() ? 1 : 0);
    if (!last_.has_value()) return absl::OkStatus();
    if (*last_ >> 63 != 0) return absl::InvalidArgumentError("an ADU id is beyond 2^63");
    to.U64(*last_);
    return WritePacked(exceptions_, to);
  }
  bool Read(Reader& from) override {
    const uint8_t any = from.U8();
    if (any == 0) return from.ok();
    last_ = from.U64();
    if (any != 1 || *last_ >> 63 != 0 || !ReadPacked(from, exceptions_)) return false;
    return exceptions_.empty() || exceptions_.ranges().rbegin()->second < *last_;
  }

 private:
  std::optional<uint64_t> last_;
  IdSet exceptions_;
};

// One bit an id.
//   u32 chunks, ascending, none empty: u64 number || 64 words of u64, ids ascending from
//   the least significant bit
class BitmapReceipts final : public Receipts {
 public:
  bool Contains(uint64_t id) const override {
    const auto chunk = chunks_.find(id / kChunkIds);
    return chunk != chunks_.end() && (chunk->second[WordOf(id)] >> id % 64 & 1) != 0;
  }
  void Insert(uint64_t id) override {
    // Value-initialised: a new chunk holds zeros.
    chunks_[id / kChunkIds][WordOf(id)] |= uint64_t{1} << id % 64;
  }
  IdSet ToIdSet() const override {
    IdSet ids;
    for (const auto& [number, chunk] : chunks_) {
      for (size_t word = 0; word < kWords; ++word) {
        AddRuns(chunk[word], number * kChunkIds + word * 64, ids);
      }
    }
    return ids;
  }
  absl::Status Write(Writer& to) const override {
    to.U32(static_cast<uint32_t>(chunks_.size()));
    for (const auto& [number, chunk] : chunks_) {
      if (number > kMaxNumber) return absl::InvalidArgumentError("an ADU id is beyond 2^63");
      to.U64(number);
      for (uint64_t word : chunk) to.U64(word);
    }
    return absl::OkStatus();
  }
  bool Read(Reader& from) override {
    for (uint32_t n = from.Count(8 + 8 * kWords); n > 0; --n) {
      const uint64_t number = from.U64();
      if (number > kMaxNumber || (!chunks_.empty() && number <= chunks_.rbegin()->first)) {
        return false;
      }
      Chunk& chunk = chunks_[number];
      for (uint64_t& word : chunk) word = from.U64();
      if (std::all_of(chunk.begin(), chunk.end(), [](uint64_t word) { return word == 0; })) {
        return false;
      }
    }
    return from.ok();
  }

 private:
  static constexpr uint64_t kChunkIds = 4096;
  static constexpr size_t kWords = kChunkIds / 64;
  static constexpr uint64_t kMaxNumber = ((uint64_t{1} << 63) - 1) / kChunkIds;
  using Chunk = std::array<uint64_t, kWords>;

  static size_t WordOf(uint64_t id) { return id % kChunkIds / 64; }

  static void AddRuns(uint64_t word, uint64_t first_id, IdSet& ids) {
    while (word != 0) {
      const int begin = std::countr_zero(word);
      const int length = std::countr_one(word >> begin);
      ids.Insert(first_id + begin, first_id + begin + length - 1);
      if (begin + length == 64) return;
      word &= ~uint64_t{0} << (begin + length);
    }
  }

  std::map<uint64_t, Chunk> chunks_;
};

// Compressed ranges: packed ids.
class TreeReceipts final : public Receipts {
 public:
  bool Contains(uint64_t id) const override { return ids_.Contains(id); }
  void Insert(uint64_t id) override { ids_.Insert(id); }
  IdSet ToIdSet() const override { return ids_; }
  absl::Status Write(Writer& to) const override { return WritePacked(ids_, to); }
  bool Read(Reader& from) override { return ReadPacked(from, ids_); }

 private:
  IdSet ids_;
};

template <typename Form>
std::unique_ptr<Receipts> Make() {
  return std::make_unique<Form>();
}

// The registry.
struct Form {
  v1::ReceiptType type;
  std::unique_ptr<Receipts> (*make)();
};
constexpr Form kForms[] = {
    {v1::RECEIPT_TYPE_ORDERED, Make<OrderedReceipts>},
    {v1::RECEIPT_TYPE_BITMAP, Make<BitmapReceipts>},
    {v1::RECEIPT_TYPE_TREE, Make<TreeReceipts>},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Receipts>> MakeReceipts(v1::ReceiptType type) {
  for (const Form& form : kForms) {
    if (form.type == type) return form.make();
  }
  return absl::InvalidArgumentError(absl::StrCat("receipts of type ", static_cast<int>(type),
                                                 " are not built in; the session needs a later "
                                                 "version"));
}

std::vector<v1::ReceiptType> ReceiptTypes() {
  std::vector<v1::ReceiptType> types;
  for (const Form& form : kForms) types.push_back(form.type);
  return types;
}

//   u32 parts: u32 size || packed ids; all parts but the last have kMaxPackedRanges ranges
absl::Status WritePacked(const IdSet& ids, Writer& to) {
  const size_t ranges = ids.ranges().size();
  to.U32(static_cast<uint32_t>((ranges + kMaxPackedRanges - 1) / kMaxPackedRanges));
  if (ranges <= kMaxPackedRanges) {
    if (ranges == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(Bytes packed, PackIds(ids));
    to.String(packed);
    return absl::OkStatus();
  }
  for (auto range = ids.ranges().begin(); range != ids.ranges().end();) {
    IdSet part;
    for (size_t n = 0; n < kMaxPackedRanges && range != ids.ranges().end(); ++n, ++range) {
      part.Insert(range->first, range->second);
    }
    ASSIGN_OR_RETURN(Bytes packed, PackIds(part));
    to.String(packed);
  }
  return absl::OkStatus();
}

bool ReadPacked(Reader& from, IdSet& ids) {
  constexpr size_t kMinPartBytes = 5;
  for (uint32_t parts = from.Count(kMinPartBytes); parts > 0; --parts) {
    absl::StatusOr<IdSet> part = UnpackIds(from.String());
    if (!part.ok() || part->empty()) return false;
    if (parts > 1 && part->ranges().size() != kMaxPackedRanges) return false;
    // Parts follow each other with a gap between, as ranges do.
    if (!ids.empty() && part->ranges().begin()->first <= ids.ranges().rbegin()->second + 1) {
      return false;
    }
    if (ids.empty()) {
      ids = *std::move(part);
      continue;
    }
    for (const auto& [first, last] : part->ranges()) ids.Insert(first, last);
  }
  return from.ok();
}

}  // namespace nark::securespace
