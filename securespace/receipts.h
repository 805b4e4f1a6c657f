#ifndef NARK_SECURESPACE_RECEIPTS_H_
#define NARK_SECURESPACE_RECEIPTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/object/id_set.h"
#include "nark/v1/session.pb.h"
#include "securespace/codec.h"

namespace nark::securespace {

// The ids whose keys were released, of one stream, as the session's terms want them
// kept (v1::ReceiptType). All types mean the same and differ in what they cost:
//
//   ordered  memory and storage by the gaps below the last id
//   bitmap   one bit an id in chunks of 4,096, which exist where an id does: 512 bytes
//            for an id far from all others, 1 bit where ids are dense
//   tree     memory by the gaps; at rest near the entropy of the pattern
//
// Ids are below 2^63, as generators have them. Thread-compatible.
class Receipts {
 public:
  virtual ~Receipts() = default;
  virtual bool Contains(uint64_t id) const = 0;
  // What is there stays.
  virtual void Insert(uint64_t id) = 0;
  virtual IdSet ToIdSet() const = 0;
  // The form at rest. INVALID_ARGUMENT for ids of 2^63 and above.
  virtual absl::Status Write(Writer& to) const = 0;
  // Fills empty receipts. False where `from` is not what Write makes.
  virtual bool Read(Reader& from) = 0;
};

// Empty receipts of a type. INVALID_ARGUMENT where it is not built in.
absl::StatusOr<std::unique_ptr<Receipts>> MakeReceipts(v1::ReceiptType type);
// All that are built in.
std::vector<v1::ReceiptType> ReceiptTypes();

// Any number of ids below 2^63 at rest: as docs/wire.md packs them, in parts of at most
// kMaxPackedRanges. One set has one encoding.
absl::Status WritePacked(const IdSet& ids, Writer& to);
bool ReadPacked(Reader& from, IdSet& ids);

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_RECEIPTS_H_
