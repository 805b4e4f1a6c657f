#ifndef NARK_REFUNDS_ENTER_BATCH_H_
#define NARK_REFUNDS_ENTER_BATCH_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "refunds/ledger.h"

namespace nark::refunds {

// What every store selects of a refund `r`, in this order; a store's own row reader
// follows it.
inline constexpr char kRefundColumns[] =
    "r.provider, r.voucher_id, r.note_identity, r.ledger_id, r.session_id, r.bought, r.delivered, "
    "r.owed, r.amount_minor, r.currency, r.reason, r.payer_reference, r.decided_us";
inline constexpr int kRefundColumnCount = 13;

// The reads and the one write that entering refunds is made of. Errors as
// Ledger's. Thread-compatible.
class RefundStore {
 public:
  virtual ~RefundStore() = default;

  using Rows = std::map<RefundKey, Refund>;
  using Notes = std::map<Digest, std::shared_ptr<const std::string>>;

  // Of those keys that are there, with receipt, without note. Keys are distinct.
  virtual absl::StatusOr<Rows> ReadRefunds(const std::vector<RefundKey>& keys) = 0;
  virtual absl::StatusOr<Notes> ReadNotes(const std::set<Digest>& identities) = 0;
  // Enters those whose keys are not there, with notes and payments, in one durable
  // transaction; says which. Keys are distinct, in the order of the refunds.
  virtual absl::StatusOr<std::set<RefundKey>> Insert(const std::vector<const Refund*>& refunds) = 0;
};

// Enters what is new and says what stands for each, in the order given. The note of
// one that was entered before is the one given where that is the same note, else
// the first one's, read and held once however many vouchers it has. What stands is
// never changed, so all of it is read outside the transaction, and without any
// where nothing is new.
absl::StatusOr<std::vector<Refund>> EnterBatch(const std::vector<Refund>& refunds,
                                               RefundStore& store);

// Ledger::Find.
absl::StatusOr<std::optional<Refund>> FindOne(const RefundKey& key, RefundStore& store);

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_ENTER_BATCH_H_
