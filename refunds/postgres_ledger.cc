#include "refunds/postgres_ledger.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "refunds/enter_batch.h"
#include "refunds/group_commit.h"
#include "refunds/postgres_connection.h"

namespace nark::refunds {
namespace {

// The lock keeps desks that start at once from making the tables twice.
constexpr char kSchema[] = R"(
BEGIN;
SELECT pg_advisory_xact_lock(5640127);
CREATE TABLE IF NOT EXISTS refunds(
  provider bytea NOT NULL, voucher_id bytea NOT NULL, note_identity bytea NOT NULL,
  ledger_id text NOT NULL UNIQUE, session_id bytea NOT NULL, bought bigint NOT NULL,
  delivered bigint NOT NULL, owed bigint NOT NULL, amount_minor bigint NOT NULL,
  currency text NOT NULL, reason text NOT NULL, payer_reference bytea NOT NULL,
  decided_us bigint NOT NULL, receipt bytea NOT NULL, PRIMARY KEY(provider, voucher_id));
CREATE INDEX IF NOT EXISTS refunds_by_time ON refunds(decided_us);
CREATE TABLE IF NOT EXISTS notes(note_identity bytea PRIMARY KEY, note bytea NOT NULL);
CREATE TABLE IF NOT EXISTS payments(
  ledger_id text PRIMARY KEY, due_us bigint NOT NULL, attempts bigint NOT NULL DEFAULT 0,
  done_us bigint);
CREATE INDEX IF NOT EXISTS payments_due ON payments(due_us) WHERE done_us IS NULL;
CREATE TABLE IF NOT EXISTS probe(written boolean NOT NULL);
COMMIT;
)";

// What it takes to enter a refund: space, which an update would find in its own page.
// A reader of the table, as a dump is for hours, keeps it from being emptied; then rows
// are added until that is over.
constexpr char kProbe[] = R"(
BEGIN;
DO $$ BEGIN
  LOCK TABLE probe IN ACCESS EXCLUSIVE MODE NOWAIT;
  TRUNCATE probe;
EXCEPTION WHEN lock_not_available THEN NULL;
END $$;
INSERT INTO probe VALUES(true);
COMMIT;
)";

Refund ReadRefund(const PGresult* result, int row) {
  Refund refund;
  ReadBlob(result, row, 0, refund.key.provider);
  ReadBlob(result, row, 1, refund.key.voucher_id);
  ReadBlob(result, row, 2, refund.note_identity);
  refund.ledger_id = PQgetvalue(result, row, 3);
  ReadBlob(result, row, 4, refund.session_id);
  refund.bought = Number(result, row, 5);
  refund.delivered = Number(result, row, 6);
  refund.owed = Number(result, row, 7);
  refund.amount_minor = Number(result, row, 8);
  refund.currency = PQgetvalue(result, row, 9);
  refund.reason = PQgetvalue(result, row, 10);
  refund.payer_reference = Blob(result, row, 11);
  refund.decided = FromMicros(Number(result, row, 12));
  return refund;
}

// "($1,$2),($3,$4)".
std::string Placeholders(size_t rows, size_t columns) {
  std::string text;
  for (size_t i = 0; i < rows * columns; ++i) {
    absl::StrAppend(&text, i == 0 ? "(" : i % columns == 0 ? "),(" : ",", "$", i + 1);
  }
  return text + ")";
}

constexpr size_t kRowsAStatement = 500;
// Each may be a MiB, thrice in hexadecimal digits and bytes.
constexpr size_t kNotesAStatement = 8;

// Calls with (begin, end) of as many parts of `size` as there must be.
template <typename Call>
absl::Status ForParts(size_t size, size_t most, Call call) {
  for (size_t at = 0; at < size; at += most) {
    RETURN_IF_ERROR(call(at, std::min(size, at + most)));
  }
  return absl::OkStatus();
}

class PostgresStore final : public RefundStore {
 public:
  explicit PostgresStore(Connection& connection) : connection_(connection) {}

  absl::StatusOr<Rows> ReadRefunds(const std::vector<RefundKey>& keys) override {
    Rows rows;
    RETURN_IF_ERROR(ForParts(keys.size(), kRowsAStatement, [&](size_t begin, size_t end) {
      return ReadPart(keys, begin, end, rows);
    }));
    return rows;
  }

  absl::StatusOr<Notes> ReadNotes(const std::set<Digest>& identities) override {
    const std::vector<Digest> all(identities.begin(), identities.end());
    Notes notes;
    RETURN_IF_ERROR(ForParts(all.size(), kNotesAStatement, [&](size_t begin, size_t end) {
      return ReadNotesPart(all, begin, end, notes);
    }));
    return notes;
  }

  absl::StatusOr<std::set<RefundKey>> Insert(const std::vector<const Refund*>& refunds) override {
    absl::StatusOr<std::set<RefundKey>> entered = InsertIn(refunds);
    // Ends the transaction on the server too.
    if (!entered.ok()) connection_.Drop();
    return entered;
  }

 private:
  absl::Status ReadPart(const std::vector<RefundKey>& keys, size_t begin, size_t end, Rows& rows) {
    std::vector<ByteView> providers, vouchers;
    for (size_t i = begin; i < end; ++i) {
      providers.push_back(keys[i].provider);
      vouchers.push_back(keys[i].voucher_id);
    }
    Parameters parameters;
    parameters.Add(providers).Add(vouchers);
    ASSIGN_OR_RETURN(
        const Result found,
        connection_.Run(absl::StrCat("SELECT ", kRefundColumns,
                                     ", r.receipt FROM unnest($1::bytea[], $2::bytea[]) AS "
                                     "k(provider, voucher_id) JOIN refunds r "
                                     "USING(provider, voucher_id)"),
                        parameters));
    for (int i = 0; i < PQntuples(found.get()); ++i) {
      Refund refund = ReadRefund(found.get(), i);
      refund.receipt =
          std::make_shared<const std::string>(Blob(found.get(), i, kRefundColumnCount));
      rows.emplace(refund.key, std::move(refund));
    }
    return absl::OkStatus();
  }

  absl::Status ReadNotesPart(const std::vector<Digest>& identities, size_t begin, size_t end,
                             Notes& notes) {
    std::vector<ByteView> wanted;
    for (size_t i = begin; i < end; ++i) wanted.push_back(identities[i]);
    Parameters parameters;
    parameters.Add(wanted);
    ASSIGN_OR_RETURN(const Result found,
                     connection_.Run("SELECT note_identity, note FROM notes WHERE "
                                     "note_identity = ANY($1::bytea[])",
                                     parameters));
    for (int i = 0; i < PQntuples(found.get()); ++i) {
      Digest identity{};
      ReadBlob(found.get(), i, 0, identity);
      notes.emplace(identity, std::make_shared<const std::string>(Blob(found.get(), i, 1)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::set<RefundKey>> InsertIn(const std::vector<const Refund*>& refunds) {
    RETURN_IF_ERROR(connection_.Run("BEGIN").status());
    std::set<RefundKey> entered;
    RETURN_IF_ERROR(ForParts(refunds.size(), kRowsAStatement, [&](size_t begin, size_t end) {
      return InsertPart(refunds, begin, end, entered);
    }));
    RETURN_IF_ERROR(InsertNotes(refunds, entered));
    RETURN_IF_ERROR(connection_.Run("COMMIT").status());
    return entered;
  }

  absl::Status InsertPart(const std::vector<const Refund*>& refunds, size_t begin, size_t end,
                          std::set<RefundKey>& entered) {
    Parameters parameters;
    for (size_t i = begin; i < end; ++i) {
      const Refund& refund = *refunds[i];
      parameters.Add(refund.key.provider)
          .Add(refund.key.voucher_id)
          .Add(refund.note_identity)
          .AddText(refund.ledger_id)
          .Add(refund.session_id)
          .Add(refund.bought)
          .Add(refund.delivered)
          .Add(refund.owed)
          .Add(refund.amount_minor)
          .AddText(refund.currency)
          .AddText(refund.reason)
          .Add(AsBytes(refund.payer_reference))
          .Add(ToMicros(refund.decided))
          .Add(AsBytes(*refund.receipt));
    }
    // Any conflict: the ledger's id is made of the key, and only what is named here is waited for
    // by who enters the same at the same time.
    ASSIGN_OR_RETURN(
        const Result result,
        connection_.Run(absl::StrCat("WITH entered AS (INSERT INTO refunds VALUES ",
                                     Placeholders(end - begin, 14),
                                     " ON CONFLICT DO NOTHING RETURNING "
                                     "provider, voucher_id, ledger_id, amount_minor, decided_us), "
                                     "due AS (INSERT INTO payments(ledger_id, due_us) SELECT "
                                     "ledger_id, decided_us FROM entered WHERE amount_minor > 0) "
                                     "SELECT provider, voucher_id FROM entered"),
                        parameters));
    for (int i = 0; i < PQntuples(result.get()); ++i) {
      RefundKey key;
      ReadBlob(result.get(), i, 0, key.provider);
      ReadBlob(result.get(), i, 1, key.voucher_id);
      entered.insert(key);
    }
    return absl::OkStatus();
  }

  absl::Status InsertNotes(const std::vector<const Refund*>& refunds,
                           const std::set<RefundKey>& entered) {
    // By identity, so that desks wait for each other in one order.
    std::map<Digest, const Refund*> notes;
    for (const Refund* refund : refunds) {
      if (entered.contains(refund->key)) notes.emplace(refund->note_identity, refund);
    }
    if (notes.empty()) return absl::OkStatus();
    Parameters parameters;
    for (const auto& [identity, refund] : notes) {
      parameters.Add(identity).Add(AsBytes(*refund->note));
    }
    return connection_
        .Run(absl::StrCat("INSERT INTO notes VALUES ", Placeholders(notes.size(), 2),
                          " ON CONFLICT DO NOTHING"),
             parameters)
        .status();
  }

  Connection& connection_;
};

class PostgresLedger final : public Ledger {
 public:
  explicit PostgresLedger(const std::string& url) : writer_(url), desk_(url), page_(url) {}

  absl::Status MakeTables() {
    absl::MutexLock lock(&desking_);
    return desk_.RunScript(kSchema);
  }

  void Enter(std::vector<Refund> refunds, Entered done) override {
    commits_.Enter(std::move(refunds), std::move(done));
  }

  absl::StatusOr<std::optional<Refund>> Find(const RefundKey& key) override {
    absl::MutexLock lock(&desking_);
    PostgresStore store(desk_);
    return FindOne(key, store);
  }

  absl::StatusOr<std::vector<Payment>> ClaimPayments(Timestamp now, std::chrono::microseconds lease,
                                                     int limit) override {
    absl::MutexLock lock(&desking_);
    Parameters parameters;
    parameters.Add(ToMicros(now)).Add(ToMicros(now + lease)).Add(static_cast<uint64_t>(limit));
    ASSIGN_OR_RETURN(
        const Result rows,
        desk_.Run(absl::StrCat("WITH taken AS (UPDATE payments SET due_us = $2, attempts = "
                               "attempts + 1 WHERE ledger_id IN (SELECT ledger_id FROM payments "
                               "WHERE done_us IS NULL AND due_us <= $1 ORDER BY due_us LIMIT $3 "
                               "FOR UPDATE SKIP LOCKED) RETURNING ledger_id, attempts) SELECT ",
                               kRefundColumns,
                               ", t.attempts - 1 FROM taken t JOIN refunds r USING(ledger_id)"),
                  parameters));
    std::vector<Payment> payments;
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
      payments.push_back({ReadRefund(rows.get(), i),
                          static_cast<uint32_t>(Number(rows.get(), i, kRefundColumnCount))});
    }
    return payments;
  }

  absl::Status FinishPayment(const std::string& ledger_id, Timestamp now) override {
    return UpdatePayment("UPDATE payments SET done_us = $1 WHERE ledger_id = $2", ledger_id, now);
  }
  absl::Status PostponePayment(const std::string& ledger_id, Timestamp due) override {
    return UpdatePayment("UPDATE payments SET due_us = $1 WHERE ledger_id = $2", ledger_id, due);
  }

  absl::StatusOr<LedgerSummary> Summarise(int recent) override {
    absl::MutexLock lock(&paging_);
    LedgerSummary summary;
    Parameters limit;
    limit.Add(static_cast<uint64_t>(recent));
    ASSIGN_OR_RETURN(const Result latest,
                     page_.Run(absl::StrCat("SELECT ", kRefundColumns,
                                            " FROM refunds r ORDER BY decided_us DESC LIMIT $1"),
                               limit));
    for (int i = 0; i < PQntuples(latest.get()); ++i) {
      summary.recent.push_back(ReadRefund(latest.get(), i));
    }
    ASSIGN_OR_RETURN(const Result totals,
                     page_.Run("SELECT currency, count(*), sum(amount_minor) FROM refunds "
                               "WHERE reason = '' GROUP BY currency ORDER BY currency"));
    for (int i = 0; i < PQntuples(totals.get()); ++i) {
      summary.paid.push_back(
          {PQgetvalue(totals.get(), i, 0), Number(totals.get(), i, 1), Number(totals.get(), i, 2)});
    }
    ASSIGN_OR_RETURN(const Result reasons,
                     page_.Run("SELECT reason, count(*) FROM refunds WHERE reason <> '' "
                               "GROUP BY reason ORDER BY reason"));
    for (int i = 0; i < PQntuples(reasons.get()); ++i) {
      summary.refused.emplace_back(PQgetvalue(reasons.get(), i, 0), Number(reasons.get(), i, 1));
    }
    return summary;
  }

  absl::StatusOr<OutboxState> Outbox() override {
    absl::MutexLock lock(&desking_);
    ASSIGN_OR_RETURN(const Result row, desk_.Run("SELECT count(*), coalesce(sum(attempts), 0) FROM "
                                                 "payments WHERE done_us IS NULL"));
    return OutboxState{Number(row.get(), 0, 0), Number(row.get(), 0, 1)};
  }

  absl::Status Probe() override {
    absl::MutexLock lock(&desking_);
    return desk_.RunScript(kProbe);
  }

 private:
  absl::StatusOr<std::vector<Refund>> Write(const std::vector<Refund>& refunds) {
    PostgresStore store(writer_);
    return EnterBatch(refunds, store);
  }

  absl::Status UpdatePayment(const char* sql, const std::string& ledger_id, Timestamp time) {
    absl::MutexLock lock(&desking_);
    Parameters parameters;
    parameters.Add(ToMicros(time)).AddText(ledger_id);
    return desk_.Run(sql, parameters).status();
  }

  absl::Mutex desking_;
  Connection writer_;  // the committing thread's
  Connection desk_ ABSL_GUARDED_BY(desking_);
  // Of its own: totals take as long as there are refunds, and nobody else waits for them.
  absl::Mutex paging_;
  Connection page_ ABSL_GUARDED_BY(paging_);
  GroupCommit commits_{[this](const std::vector<Refund>& refunds) { return Write(refunds); }};
};

absl::Status CheckUrl(const std::string& url) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(url.c_str(), &error);
  if (options == nullptr) {
    PQfreemem(error);
    // The message may repeat the URL.
    return absl::InvalidArgumentError("--ledger is no PostgreSQL URL");
  }
  bool password = false;
  for (const PQconninfoOption* one = options; one->keyword != nullptr; ++one) {
    password = password || (std::strcmp(one->keyword, "password") == 0 && one->val != nullptr);
  }
  PQconninfoFree(options);
  if (!password) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--ledger holds a password, which everybody on this machine can see; put it into ~/.pgpass");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> OpenPostgresLedger(const std::string& url) {
  RETURN_IF_ERROR(CheckUrl(url));
  auto ledger = std::make_unique<PostgresLedger>(url);
  RETURN_IF_ERROR(ledger->MakeTables());
  return std::unique_ptr<Ledger>(std::move(ledger));
}

}  // namespace nark::refunds
