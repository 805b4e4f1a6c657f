#include "refunds/sqlite_ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "refunds/enter_batch.h"
#include "refunds/group_commit.h"
#include "refunds/sqlite_database.h"

namespace nark::refunds {
namespace {

constexpr char kSchema[] = R"(
CREATE TABLE IF NOT EXISTS refunds(
  provider BLOB NOT NULL, voucher_id BLOB NOT NULL, note_identity BLOB NOT NULL,
  ledger_id TEXT NOT NULL UNIQUE, session_id BLOB NOT NULL, bought INTEGER NOT NULL,
  delivered INTEGER NOT NULL, owed INTEGER NOT NULL, amount_minor INTEGER NOT NULL,
  currency TEXT NOT NULL, reason TEXT NOT NULL, payer_reference BLOB NOT NULL,
  decided_us INTEGER NOT NULL, receipt BLOB NOT NULL,
  PRIMARY KEY(provider, voucher_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refunds_by_time ON refunds(decided_us);
CREATE TABLE IF NOT EXISTS notes(
  note_identity BLOB PRIMARY KEY, note BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payments(
  ledger_id TEXT PRIMARY KEY, due_us INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  done_us INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payments_due ON payments(due_us) WHERE done_us IS NULL;
CREATE TABLE IF NOT EXISTS probe(one INTEGER PRIMARY KEY CHECK(one = 1), writes INTEGER NOT NULL);
INSERT INTO probe VALUES(1, 0) ON CONFLICT DO NOTHING;
PRAGMA user_version = 1;
)";

Refund ReadRefund(const Statement& row) {
  Refund refund;
  row.Read(0, refund.key.provider);
  row.Read(1, refund.key.voucher_id);
  row.Read(2, refund.note_identity);
  refund.ledger_id = row.Text(3);
  row.Read(4, refund.session_id);
  refund.bought = row.Number(5);
  refund.delivered = row.Number(6);
  refund.owed = row.Number(7);
  refund.amount_minor = row.Number(8);
  refund.currency = row.Text(9);
  refund.reason = row.Text(10);
  refund.payer_reference = row.Text(11);
  refund.decided = FromMicros(row.Number(12));
  return refund;
}

// Used under the lock of its connection.
class SqliteStore final : public RefundStore {
 public:
  explicit SqliteStore(sqlite3* database) : database_(database) {}

  absl::StatusOr<Rows> ReadRefunds(const std::vector<RefundKey>& keys) override {
    ASSIGN_OR_RETURN(
        Statement find,
        Statement::Prepare(database_, absl::StrCat("SELECT ", kRefundColumns,
                                                   ", r.receipt FROM refunds r WHERE "
                                                   "r.provider = ? AND r.voucher_id = ?")));
    Rows rows;
    for (const RefundKey& key : keys) {
      ASSIGN_OR_RETURN(const bool found, find.Bind(key.provider).Bind(key.voucher_id).Step());
      if (found) {
        Refund refund = ReadRefund(find);
        refund.receipt = std::make_shared<const std::string>(find.Text(kRefundColumnCount));
        rows.emplace(key, std::move(refund));
      }
      find.Reset();
    }
    return rows;
  }

  absl::StatusOr<Notes> ReadNotes(const std::set<Digest>& identities) override {
    ASSIGN_OR_RETURN(
        Statement find,
        Statement::Prepare(database_, "SELECT note FROM notes WHERE note_identity = ?"));
    Notes notes;
    for (const Digest& identity : identities) {
      ASSIGN_OR_RETURN(const bool found, find.Bind(identity).Step());
      if (found) notes.emplace(identity, std::make_shared<const std::string>(find.Text(0)));
      find.Reset();
    }
    return notes;
  }

  absl::StatusOr<std::set<RefundKey>> Insert(const std::vector<const Refund*>& refunds) override {
    ASSIGN_OR_RETURN(Statement insert,
                     Statement::Prepare(database_,
                                        "INSERT INTO refunds VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
                                        "ON CONFLICT(provider, voucher_id) DO NOTHING"));
    ASSIGN_OR_RETURN(Statement note, Statement::Prepare(database_,
                                                        "INSERT INTO notes VALUES(?,?) ON "
                                                        "CONFLICT(note_identity) DO NOTHING"));
    ASSIGN_OR_RETURN(
        Statement payment,
        Statement::Prepare(database_, "INSERT INTO payments(ledger_id, due_us) VALUES(?,?)"));
    std::set<RefundKey> entered;
    std::set<Digest> noted;
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database_));
    for (const Refund* refund : refunds) {
      RETURN_IF_ERROR(BindRefund(*refund, insert).Run());
      if (sqlite3_changes(database_) == 0) continue;
      entered.insert(refund->key);
      if (noted.insert(refund->note_identity).second) {
        RETURN_IF_ERROR(note.Bind(refund->note_identity).Bind(AsBytes(*refund->note)).Run());
      }
      if (refund->amount_minor == 0) continue;
      RETURN_IF_ERROR(payment.BindText(refund->ledger_id).Bind(ToMicros(refund->decided)).Run());
    }
    RETURN_IF_ERROR(transaction.Commit());
    return entered;
  }

 private:
  static Statement& BindRefund(const Refund& refund, Statement& insert) {
    return insert.Bind(refund.key.provider)
        .Bind(refund.key.voucher_id)
        .Bind(refund.note_identity)
        .BindText(refund.ledger_id)
        .Bind(refund.session_id)
        .Bind(refund.bought)
        .Bind(refund.delivered)
        .Bind(refund.owed)
        .Bind(refund.amount_minor)
        .BindText(refund.currency)
        .BindText(refund.reason)
        .BindText(refund.payer_reference)
        .Bind(ToMicros(refund.decided))
        .Bind(AsBytes(*refund.receipt));
  }
  sqlite3* const database_;
};

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(Database writer, Database reader, Database pager)
      : writer_(std::move(writer)), reader_(std::move(reader)), pager_(std::move(pager)) {}

  void Enter(std::vector<Refund> refunds, Entered done) override {
    commits_.Enter(std::move(refunds), std::move(done));
  }

  absl::StatusOr<std::optional<Refund>> Find(const RefundKey& key) override {
    absl::MutexLock lock(&reading_);
    SqliteStore store(reader_.get());
    return FindOne(key, store);
  }

  absl::StatusOr<std::vector<Payment>> ClaimPayments(Timestamp now, std::chrono::microseconds lease,
                                                     int limit) override {
    absl::MutexLock lock(&writing_);
    ASSIGN_OR_RETURN(Statement due,
                     Statement::Prepare(writer_.get(),
                                        absl::StrCat("SELECT ", kRefundColumns,
                                                     ", p.attempts FROM payments p JOIN refunds r "
                                                     "USING(ledger_id) WHERE p.done_us IS NULL AND "
                                                     "p.due_us <= ? ORDER BY p.due_us LIMIT ?")));
    due.Bind(ToMicros(now)).Bind(static_cast<uint64_t>(limit));
    std::vector<Payment> payments;
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(writer_.get()));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, due.Step());
      if (!more) break;
      payments.push_back({ReadRefund(due), static_cast<uint32_t>(due.Number(kRefundColumnCount))});
    }
    due.Reset();
    if (payments.empty()) return payments;
    ASSIGN_OR_RETURN(
        Statement take,
        Statement::Prepare(
            writer_.get(),
            "UPDATE payments SET due_us = ?, attempts = attempts + 1 WHERE ledger_id = ?"));
    for (const Payment& payment : payments) {
      RETURN_IF_ERROR(take.Bind(ToMicros(now + lease)).BindText(payment.refund.ledger_id).Run());
    }
    RETURN_IF_ERROR(transaction.Commit());
    return payments;
  }

  absl::Status FinishPayment(const std::string& ledger_id, Timestamp now) override {
    return UpdatePayment("UPDATE payments SET done_us = ? WHERE ledger_id = ?", ledger_id, now);
  }
  absl::Status PostponePayment(const std::string& ledger_id, Timestamp due) override {
    return UpdatePayment("UPDATE payments SET due_us = ? WHERE ledger_id = ?", ledger_id, due);
  }

  absl::StatusOr<LedgerSummary> Summarise(int recent) override {
    absl::MutexLock lock(&paging_);
    LedgerSummary summary;
    ASSIGN_OR_RETURN(
        Statement latest,
        Statement::Prepare(pager_.get(),
                           absl::StrCat("SELECT ", kRefundColumns,
                                        " FROM refunds r ORDER BY r.decided_us DESC LIMIT ?")));
    latest.Bind(static_cast<uint64_t>(recent));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, latest.Step());
      if (!more) break;
      summary.recent.push_back(ReadRefund(latest));
    }
    ASSIGN_OR_RETURN(Statement totals,
                     Statement::Prepare(pager_.get(),
                                        "SELECT currency, COUNT(*), SUM(amount_minor) FROM refunds "
                                        "WHERE reason = '' GROUP BY currency ORDER BY currency"));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, totals.Step());
      if (!more) break;
      summary.paid.push_back({totals.Text(0), totals.Number(1), totals.Number(2)});
    }
    ASSIGN_OR_RETURN(Statement reasons,
                     Statement::Prepare(pager_.get(),
                                        "SELECT reason, COUNT(*) FROM refunds WHERE reason <> '' "
                                        "GROUP BY reason ORDER BY reason"));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, reasons.Step());
      if (!more) break;
      summary.refused.emplace_back(reasons.Text(0), reasons.Number(1));
    }
    return summary;
  }

  absl::StatusOr<OutboxState> Outbox() override {
    absl::MutexLock lock(&reading_);
    ASSIGN_OR_RETURN(Statement count,
                     Statement::Prepare(reader_.get(),
                                        "SELECT COUNT(*), COALESCE(SUM(attempts), 0) FROM "
                                        "payments WHERE done_us IS NULL"));
    RETURN_IF_ERROR(count.Step().status());
    return OutboxState{count.Number(0), count.Number(1)};
  }

  absl::Status Probe() override {
    absl::MutexLock lock(&writing_);
    return Execute(writer_.get(), "UPDATE probe SET writes = writes + 1");
  }

 private:
  absl::StatusOr<std::vector<Refund>> Write(const std::vector<Refund>& refunds) {
    absl::MutexLock lock(&writing_);
    SqliteStore store(writer_.get());
    return EnterBatch(refunds, store);
  }

  absl::Status UpdatePayment(const char* sql, const std::string& ledger_id, Timestamp time) {
    absl::MutexLock lock(&writing_);
    ASSIGN_OR_RETURN(Statement update, Statement::Prepare(writer_.get(), sql));
    return update.Bind(ToMicros(time)).BindText(ledger_id).Run();
  }

  absl::Mutex writing_;
  absl::Mutex reading_;
  const Database writer_;  // used under writing_
  const Database reader_;  // used under reading_
  // Totals take as long as there are refunds, and nobody else waits for them.
  absl::Mutex paging_;
  const Database pager_;  // used under paging_
  GroupCommit commits_{[this](const std::vector<Refund>& refunds) { return Write(refunds); }};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> OpenSqliteLedger(const std::string& path) {
  // SQLite would make it readable for everybody.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  ::close(fd);
  ASSIGN_OR_RETURN(Database writer, OpenDatabase(path));
  if (absl::Status made = Execute(writer.get(), kSchema); !made.ok()) return Annotate(made, path);
  ASSIGN_OR_RETURN(Database reader, OpenDatabase(path));
  ASSIGN_OR_RETURN(Database pager, OpenDatabase(path));
  return std::unique_ptr<Ledger>(
      std::make_unique<SqliteLedger>(std::move(writer), std::move(reader), std::move(pager)));
}

}  // namespace nark::refunds
