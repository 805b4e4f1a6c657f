#include "refunds/sqlite_ledger.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "refunds/group_commit.h"

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

constexpr char kColumns[] =
    "r.provider, r.voucher_id, r.note_identity, r.ledger_id, r.session_id, r.bought, r.delivered, "
    "r.owed, r.amount_minor, r.currency, r.reason, r.payer_reference, r.decided_us";
constexpr int kColumnCount = 13;

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

absl::Status ErrorOf(sqlite3* database) { return LedgerUnavailable(sqlite3_errmsg(database)); }

// One prepared statement in use; bound from 1, read from 0.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* database, const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      return ErrorOf(database);
    }
    return Statement(database, statement);
  }
  Statement& Bind(ByteView blob) {
    sqlite3_bind_blob(get(), ++bound_, blob.data(), static_cast<int>(blob.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& BindText(const std::string& text) {
    sqlite3_bind_text(get(), ++bound_, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Bind(uint64_t number) {
    sqlite3_bind_int64(get(), ++bound_, static_cast<int64_t>(number));
    return *this;
  }
  // Whether there is a row.
  absl::StatusOr<bool> Step() {
    const int result = sqlite3_step(get());
    if (result == SQLITE_ROW) return true;
    if (result == SQLITE_DONE) return false;
    return ErrorOf(database_);
  }
  // For statements without rows; may be bound anew afterwards.
  absl::Status Run() {
    const absl::Status status = Step().status();
    Reset();
    return status;
  }
  void Reset() {
    sqlite3_reset(get());
    bound_ = 0;
  }
  std::string Text(int column) const {
    const void* data = sqlite3_column_blob(get(), column);
    const auto size = static_cast<size_t>(sqlite3_column_bytes(get(), column));
    return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
  }
  uint64_t Number(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(get(), column));
  }
  template <size_t N>
  void Read(int column, std::array<uint8_t, N>& to) const {
    const std::string text = Text(column);
    if (text.size() == N) std::memcpy(to.data(), text.data(), N);
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  Statement(sqlite3* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  sqlite3_stmt* get() const { return statement_.get(); }
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
};

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

absl::Status Execute(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                             : ErrorOf(database);
}

// Rolls back where it is not committed.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(sqlite3* database) {
    RETURN_IF_ERROR(Execute(database, "BEGIN IMMEDIATE"));
    return Transaction(database);
  }
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  ~Transaction() {
    // Some errors have rolled back by themselves.
    if (database_ != nullptr && sqlite3_get_autocommit(database_) == 0) {
      sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }
  absl::Status Commit() {
    RETURN_IF_ERROR(Execute(database_, "COMMIT"));
    database_ = nullptr;
    return absl::OkStatus();
  }

 private:
  explicit Transaction(sqlite3* database) : database_(database) {}
  sqlite3* database_;
};

absl::StatusOr<std::optional<Refund>> FindIn(sqlite3* database, const RefundKey& key) {
  ASSIGN_OR_RETURN(
      Statement find,
      Statement::Prepare(database, absl::StrCat("SELECT ", kColumns,
                                                ", r.receipt, n.note FROM refunds r JOIN notes n "
                                                "USING(note_identity) "
                                                "WHERE r.provider = ? AND r.voucher_id = ?")));
  ASSIGN_OR_RETURN(const bool found, find.Bind(key.provider).Bind(key.voucher_id).Step());
  if (!found) return std::nullopt;
  Refund refund = ReadRefund(find);
  refund.receipt = std::make_shared<const std::string>(find.Text(kColumnCount));
  refund.note = std::make_shared<const std::string>(find.Text(kColumnCount + 1));
  return refund;
}

class SqliteLedger final : public Ledger {
 public:
  SqliteLedger(Database writer, Database reader)
      : writer_(std::move(writer)), reader_(std::move(reader)) {}

  void Enter(std::vector<Refund> refunds, Entered done) override {
    commits_.Enter(std::move(refunds), std::move(done));
  }

  absl::StatusOr<std::optional<Refund>> Find(const RefundKey& key) override {
    absl::MutexLock lock(&reading_);
    return FindIn(reader_.get(), key);
  }

  absl::StatusOr<std::vector<Payment>> ClaimPayments(Timestamp now, std::chrono::microseconds lease,
                                                     int limit) override {
    absl::MutexLock lock(&writing_);
    ASSIGN_OR_RETURN(Statement due,
                     Statement::Prepare(writer_.get(),
                                        absl::StrCat("SELECT ", kColumns,
                                                     ", p.attempts FROM payments p JOIN refunds r "
                                                     "USING(ledger_id) WHERE p.done_us IS NULL AND "
                                                     "p.due_us <= ? ORDER BY p.due_us LIMIT ?")));
    due.Bind(ToMicros(now)).Bind(static_cast<uint64_t>(limit));
    std::vector<Payment> payments;
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(writer_.get()));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, due.Step());
      if (!more) break;
      payments.push_back({ReadRefund(due), static_cast<uint32_t>(due.Number(kColumnCount))});
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
    absl::MutexLock lock(&reading_);
    LedgerSummary summary;
    ASSIGN_OR_RETURN(
        Statement latest,
        Statement::Prepare(reader_.get(),
                           absl::StrCat("SELECT ", kColumns,
                                        " FROM refunds r ORDER BY r.decided_us DESC LIMIT ?")));
    latest.Bind(static_cast<uint64_t>(recent));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, latest.Step());
      if (!more) break;
      summary.recent.push_back(ReadRefund(latest));
    }
    ASSIGN_OR_RETURN(Statement totals,
                     Statement::Prepare(reader_.get(),
                                        "SELECT currency, COUNT(*), SUM(amount_minor) FROM refunds "
                                        "WHERE reason = '' GROUP BY currency ORDER BY currency"));
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, totals.Step());
      if (!more) break;
      summary.paid.push_back({totals.Text(0), totals.Number(1), totals.Number(2)});
    }
    ASSIGN_OR_RETURN(Statement reasons,
                     Statement::Prepare(reader_.get(),
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
    std::vector<Refund> standing;
    ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(writer_.get()));
    for (const Refund& refund : refunds) {
      ASSIGN_OR_RETURN(const bool entered, Insert(refund));
      if (entered) {
        standing.push_back(refund);
        continue;
      }
      ASSIGN_OR_RETURN(std::optional<Refund> found, FindIn(writer_.get(), refund.key));
      if (!found) return LedgerUnavailable("a refund has no note");
      standing.push_back(*std::move(found));
    }
    RETURN_IF_ERROR(transaction.Commit());
    return standing;
  }

  // Whether it is new.
  absl::StatusOr<bool> Insert(const Refund& refund) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_) {
    ASSIGN_OR_RETURN(Statement insert,
                     Statement::Prepare(writer_.get(),
                                        "INSERT INTO refunds VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?) "
                                        "ON CONFLICT(provider, voucher_id) DO NOTHING"));
    insert.Bind(refund.key.provider)
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
    RETURN_IF_ERROR(insert.Run());
    if (sqlite3_changes(writer_.get()) == 0) return false;
    ASSIGN_OR_RETURN(Statement note, Statement::Prepare(writer_.get(),
                                                        "INSERT INTO notes VALUES(?,?) ON "
                                                        "CONFLICT(note_identity) DO NOTHING"));
    RETURN_IF_ERROR(note.Bind(refund.note_identity).Bind(AsBytes(*refund.note)).Run());
    if (refund.amount_minor == 0) return true;
    ASSIGN_OR_RETURN(
        Statement payment,
        Statement::Prepare(writer_.get(), "INSERT INTO payments(ledger_id, due_us) VALUES(?,?)"));
    RETURN_IF_ERROR(payment.BindText(refund.ledger_id).Bind(ToMicros(refund.decided)).Run());
    return true;
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
  GroupCommit commits_{[this](const std::vector<Refund>& refunds) { return Write(refunds); }};
};

absl::StatusOr<Database> Open(const std::string& path) {
  sqlite3* opened = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &opened,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(opened);
  if (result != SQLITE_OK) return absl::UnavailableError(absl::StrCat(path, ": can not be opened"));
  sqlite3_busy_timeout(opened, 5000);
  for (const char* pragma : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    if (absl::Status set = Execute(opened, pragma); !set.ok()) return Annotate(set, path);
  }
  return database;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> OpenSqliteLedger(const std::string& path) {
  // SQLite would make it readable for everybody.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  ::close(fd);
  ASSIGN_OR_RETURN(Database writer, Open(path));
  if (absl::Status made = Execute(writer.get(), kSchema); !made.ok()) return Annotate(made, path);
  ASSIGN_OR_RETURN(Database reader, Open(path));
  return std::unique_ptr<Ledger>(
      std::make_unique<SqliteLedger>(std::move(writer), std::move(reader)));
}

}  // namespace nark::refunds
