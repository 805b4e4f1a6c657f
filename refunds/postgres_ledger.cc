#include "refunds/postgres_ledger.h"

#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "refunds/group_commit.h"

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

constexpr char kColumns[] =
    "r.provider, r.voucher_id, r.note_identity, r.ledger_id, r.session_id, r.bought, r.delivered, "
    "r.owed, r.amount_minor, r.currency, r.reason, r.payer_reference, r.decided_us";
constexpr int kColumnCount = 13;

struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;
struct FinishConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};

// Parameters in text form; byte strings as \x and hexadecimal digits.
class Parameters {
 public:
  Parameters& Add(ByteView blob) {
    values_.push_back("\\x" + ToHex(blob));
    return *this;
  }
  Parameters& AddText(std::string text) {
    values_.push_back(std::move(text));
    return *this;
  }
  Parameters& Add(uint64_t number) { return AddText(absl::StrCat(number)); }
  std::vector<const char*> pointers() const {
    std::vector<const char*> pointers;
    for (const std::string& value : values_) pointers.push_back(value.c_str());
    return pointers;
  }

 private:
  std::vector<std::string> values_;
};

// A connection that is made when it is needed and dropped after any error, so
// that a half-done transaction never lives on. One thread at a time.
class Connection {
 public:
  explicit Connection(const std::string& url) : url_(url) {}

  absl::StatusOr<Result> Run(const std::string& sql, const Parameters& parameters = {}) {
    RETURN_IF_ERROR(Connect());
    const std::vector<const char*> values = parameters.pointers();
    return Checked(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                nullptr, values.data(), nullptr, nullptr, 0));
  }
  // Several statements, without parameters.
  absl::Status RunScript(const char* sql) {
    RETURN_IF_ERROR(Connect());
    return Checked(PQexec(connection_.get(), sql)).status();
  }
  void Drop() { connection_.reset(); }

 private:
  absl::Status Connect() {
    if (connection_ && PQstatus(connection_.get()) == CONNECTION_OK) return absl::OkStatus();
    // A database that vanishes without a word must not hold the desk: the kernel gives up
    // what it does not acknowledge, and asks after what is silent.
    const char* names[] = {"dbname",
                           "connect_timeout",
                           "tcp_user_timeout",
                           "keepalives_idle",
                           "keepalives_interval",
                           "keepalives_count",
                           "fallback_application_name",
                           "options",
                           nullptr};
    const char* values[] = {url_.c_str(),
                            "5",
                            "10000",
                            "5",
                            "2",
                            "3",
                            "nark-refunds",
                            "-c statement_timeout=20000 -c synchronous_commit=on "
                            "-c client_min_messages=warning",
                            nullptr};
    connection_.reset(PQconnectdbParams(names, values, /*expand_dbname=*/1));
    if (PQstatus(connection_.get()) == CONNECTION_OK) return absl::OkStatus();
    return Failed();
  }
  absl::StatusOr<Result> Checked(PGresult* raw) {
    Result result(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return result;
    return Failed();
  }
  absl::Status Failed() {
    std::string message = PQerrorMessage(connection_.get());
    std::replace(message.begin(), message.end(), '\n', ' ');
    connection_.reset();
    return LedgerUnavailable(message);
  }

  const std::string url_;
  std::unique_ptr<PGconn, FinishConnection> connection_;
};

std::string Blob(const PGresult* result, int row, int column) {
  const std::string_view hex = PQgetvalue(result, row, column);
  return hex.size() < 2 ? std::string() : ToText(FromHex(hex.substr(2)));
}

uint64_t Number(const PGresult* result, int row, int column) {
  uint64_t number = 0;
  return absl::SimpleAtoi(PQgetvalue(result, row, column), &number) ? number : 0;
}

template <size_t N>
void Read(const std::string& from, std::array<uint8_t, N>& to) {
  if (from.size() == N) std::memcpy(to.data(), from.data(), N);
}

Refund ReadRefund(const PGresult* result, int row) {
  Refund refund;
  Read(Blob(result, row, 0), refund.key.provider);
  Read(Blob(result, row, 1), refund.key.voucher_id);
  Read(Blob(result, row, 2), refund.note_identity);
  refund.ledger_id = PQgetvalue(result, row, 3);
  Read(Blob(result, row, 4), refund.session_id);
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

class PostgresLedger final : public Ledger {
 public:
  explicit PostgresLedger(const std::string& url) : writer_(url), desk_(url) {}

  absl::Status MakeTables() {
    absl::MutexLock lock(&desking_);
    return desk_.RunScript(kSchema);
  }

  void Enter(std::vector<Refund> refunds, Entered done) override {
    commits_.Enter(std::move(refunds), std::move(done));
  }

  absl::StatusOr<std::optional<Refund>> Find(const RefundKey& key) override {
    absl::MutexLock lock(&desking_);
    return FindBy(desk_, key);
  }

  absl::StatusOr<std::vector<Payment>> ClaimPayments(Timestamp now, std::chrono::microseconds lease,
                                                     int limit) override {
    absl::MutexLock lock(&desking_);
    Parameters parameters;
    parameters.Add(ToMicros(now)).Add(ToMicros(now + lease)).Add(static_cast<uint64_t>(limit));
    ASSIGN_OR_RETURN(
        const Result rows,
        desk_.Run(
            absl::StrCat("WITH taken AS (UPDATE payments SET due_us = $2, attempts = "
                         "attempts + 1 WHERE ledger_id IN (SELECT ledger_id FROM payments "
                         "WHERE done_us IS NULL AND due_us <= $1 ORDER BY due_us LIMIT $3 "
                         "FOR UPDATE SKIP LOCKED) RETURNING ledger_id, attempts) SELECT ",
                         kColumns, ", t.attempts - 1 FROM taken t JOIN refunds r USING(ledger_id)"),
            parameters));
    std::vector<Payment> payments;
    for (int i = 0; i < PQntuples(rows.get()); ++i) {
      payments.push_back(
          {ReadRefund(rows.get(), i), static_cast<uint32_t>(Number(rows.get(), i, kColumnCount))});
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
    absl::MutexLock lock(&desking_);
    LedgerSummary summary;
    Parameters limit;
    limit.Add(static_cast<uint64_t>(recent));
    ASSIGN_OR_RETURN(const Result latest,
                     desk_.Run(absl::StrCat("SELECT ", kColumns,
                                            " FROM refunds r ORDER BY decided_us DESC LIMIT $1"),
                               limit));
    for (int i = 0; i < PQntuples(latest.get()); ++i) {
      summary.recent.push_back(ReadRefund(latest.get(), i));
    }
    ASSIGN_OR_RETURN(const Result totals,
                     desk_.Run("SELECT currency, count(*), sum(amount_minor) FROM refunds "
                               "WHERE reason = '' GROUP BY currency ORDER BY currency"));
    for (int i = 0; i < PQntuples(totals.get()); ++i) {
      summary.paid.push_back(
          {PQgetvalue(totals.get(), i, 0), Number(totals.get(), i, 1), Number(totals.get(), i, 2)});
    }
    ASSIGN_OR_RETURN(const Result reasons,
                     desk_.Run("SELECT reason, count(*) FROM refunds WHERE reason <> '' "
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
    // What it takes to enter a refund: space, which an update would find in its own page.
    return desk_.RunScript("BEGIN; TRUNCATE probe; INSERT INTO probe VALUES(true); COMMIT");
  }

 private:
  static absl::StatusOr<std::optional<Refund>> FindBy(Connection& connection,
                                                      const RefundKey& key) {
    Parameters parameters;
    parameters.Add(key.provider).Add(key.voucher_id);
    ASSIGN_OR_RETURN(const Result found,
                     connection.Run(absl::StrCat("SELECT ", kColumns,
                                                 ", r.receipt, n.note FROM refunds r JOIN notes n "
                                                 "USING(note_identity) WHERE r.provider = $1 AND "
                                                 "r.voucher_id = $2"),
                                    parameters));
    if (PQntuples(found.get()) == 0) return std::nullopt;
    Refund refund = ReadRefund(found.get(), 0);
    refund.receipt = std::make_shared<const std::string>(Blob(found.get(), 0, kColumnCount));
    refund.note = std::make_shared<const std::string>(Blob(found.get(), 0, kColumnCount + 1));
    return refund;
  }

  absl::StatusOr<std::vector<Refund>> Write(const std::vector<Refund>& refunds) {
    absl::StatusOr<std::vector<Refund>> standing = WriteIn(refunds);
    // Ends the transaction on the server too.
    if (!standing.ok()) writer_.Drop();
    return standing;
  }

  absl::StatusOr<std::vector<Refund>> WriteIn(const std::vector<Refund>& refunds) {
    RETURN_IF_ERROR(writer_.Run("BEGIN").status());
    std::map<std::string, const Refund*> entered;  // by ledger id
    for (size_t at = 0; at < refunds.size(); at += kRowsAStatement) {
      RETURN_IF_ERROR(Insert(refunds, at, std::min(refunds.size(), at + kRowsAStatement), entered));
    }
    RETURN_IF_ERROR(InsertNotes(entered));
    std::vector<Refund> standing;
    for (const Refund& refund : refunds) {
      const auto is_new = entered.find(refund.ledger_id);
      if (is_new != entered.end() && is_new->second->note_identity == refund.note_identity) {
        standing.push_back(*is_new->second);
        continue;
      }
      ASSIGN_OR_RETURN(std::optional<Refund> found, FindBy(writer_, refund.key));
      if (!found) return LedgerUnavailable("a refund has no note");
      standing.push_back(*std::move(found));
    }
    RETURN_IF_ERROR(writer_.Run("COMMIT").status());
    return standing;
  }

  absl::Status Insert(const std::vector<Refund>& refunds, size_t begin, size_t end,
                      std::map<std::string, const Refund*>& entered) {
    // A statement may name a row once only where the answer must say which stands.
    std::map<std::string, const Refund*> rows;
    Parameters parameters;
    for (size_t i = begin; i < end; ++i) {
      const Refund& refund = refunds[i];
      if (!rows.emplace(refund.ledger_id, &refund).second) continue;
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
    ASSIGN_OR_RETURN(
        const Result result,
        writer_.Run(absl::StrCat("WITH entered AS (INSERT INTO refunds VALUES ",
                                 Placeholders(rows.size(), 14),
                                 " ON CONFLICT (provider, voucher_id) DO NOTHING RETURNING "
                                 "ledger_id, amount_minor, decided_us), due AS (INSERT INTO "
                                 "payments(ledger_id, due_us) SELECT ledger_id, decided_us FROM "
                                 "entered WHERE amount_minor > 0) SELECT ledger_id FROM entered"),
                    parameters));
    for (int i = 0; i < PQntuples(result.get()); ++i) {
      const std::string id = PQgetvalue(result.get(), i, 0);
      entered[id] = rows.at(id);
    }
    return absl::OkStatus();
  }

  absl::Status InsertNotes(const std::map<std::string, const Refund*>& entered) {
    // By identity, so that desks wait for each other in one order.
    std::map<Digest, const Refund*> notes;
    for (const auto& [id, refund] : entered) notes.emplace(refund->note_identity, refund);
    if (notes.empty()) return absl::OkStatus();
    Parameters parameters;
    for (const auto& [identity, refund] : notes) {
      parameters.Add(identity).Add(AsBytes(*refund->note));
    }
    return writer_
        .Run(absl::StrCat("INSERT INTO notes VALUES ", Placeholders(notes.size(), 2),
                          " ON CONFLICT DO NOTHING"),
             parameters)
        .status();
  }

  absl::Status UpdatePayment(const char* sql, const std::string& ledger_id, Timestamp time) {
    absl::MutexLock lock(&desking_);
    Parameters parameters;
    parameters.Add(ToMicros(time)).AddText(ledger_id);
    return desk_.Run(sql, parameters).status();
  }

  static constexpr size_t kRowsAStatement = 500;
  absl::Mutex desking_;
  Connection writer_;  // the committing thread's
  Connection desk_ ABSL_GUARDED_BY(desking_);
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
