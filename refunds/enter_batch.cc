#include "refunds/enter_batch.h"

#include <utility>

#include "common/base/status.h"

namespace nark::refunds {
namespace {

std::vector<RefundKey> KeysOf(const std::vector<Refund>& refunds) {
  std::set<RefundKey> keys;
  for (const Refund& refund : refunds) keys.insert(refund.key);
  return {keys.begin(), keys.end()};
}

// The first of each key that is not stored.
std::map<RefundKey, const Refund*> NewOf(const std::vector<Refund>& refunds,
                                         const RefundStore::Rows& stored) {
  std::map<RefundKey, const Refund*> fresh;
  for (const Refund& refund : refunds) {
    if (!stored.contains(refund.key)) fresh.emplace(refund.key, &refund);
  }
  return fresh;
}

// Enters what is new; adds to `stored` what another desk entered meanwhile.
absl::Status EnterNew(const std::map<RefundKey, const Refund*>& fresh, RefundStore& store,
                      RefundStore::Rows& stored) {
  std::vector<const Refund*> wanted;
  for (const auto& [key, refund] : fresh) wanted.push_back(refund);
  if (wanted.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::set<RefundKey> entered, store.Insert(wanted));
  std::vector<RefundKey> lost;
  for (const Refund* refund : wanted) {
    if (entered.contains(refund->key)) {
      stored.emplace(refund->key, *refund);
    } else {
      lost.push_back(refund->key);
    }
  }
  if (lost.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(RefundStore::Rows others, store.ReadRefunds(lost));
  stored.merge(others);
  return absl::OkStatus();
}

absl::Status AddNotes(RefundStore& store, std::vector<Refund>& standing) {
  std::set<Digest> missing;
  for (const Refund& refund : standing) {
    if (!refund.note) missing.insert(refund.note_identity);
  }
  if (missing.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const RefundStore::Notes notes, store.ReadNotes(missing));
  for (Refund& refund : standing) {
    if (refund.note) continue;
    const auto note = notes.find(refund.note_identity);
    if (note == notes.end()) return LedgerUnavailable("a refund has no note");
    refund.note = note->second;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Refund>> EnterBatch(const std::vector<Refund>& refunds,
                                               RefundStore& store) {
  ASSIGN_OR_RETURN(RefundStore::Rows stored, store.ReadRefunds(KeysOf(refunds)));
  RETURN_IF_ERROR(EnterNew(NewOf(refunds, stored), store, stored));
  std::vector<Refund> standing;
  for (const Refund& refund : refunds) {
    const auto row = stored.find(refund.key);
    if (row == stored.end()) return LedgerUnavailable("a refund is neither new nor there");
    standing.push_back(row->second);
    if (!standing.back().note && row->second.note_identity == refund.note_identity) {
      standing.back().note = refund.note;
    }
  }
  RETURN_IF_ERROR(AddNotes(store, standing));
  return standing;
}

absl::StatusOr<std::optional<Refund>> FindOne(const RefundKey& key, RefundStore& store) {
  ASSIGN_OR_RETURN(RefundStore::Rows rows, store.ReadRefunds({key}));
  if (rows.empty()) return std::nullopt;
  std::vector<Refund> found;
  found.push_back(std::move(rows.begin()->second));
  RETURN_IF_ERROR(AddNotes(store, found));
  return std::move(found.front());
}

}  // namespace nark::refunds
