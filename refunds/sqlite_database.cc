#include "refunds/sqlite_database.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "refunds/ledger.h"

namespace nark::refunds {
namespace {

absl::Status ErrorOf(sqlite3* database) { return LedgerUnavailable(sqlite3_errmsg(database)); }

}  // namespace

absl::StatusOr<Database> OpenDatabase(const std::string& path) {
  sqlite3* opened = nullptr;
  const int result =
      sqlite3_open_v2(path.c_str(), &opened,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(opened);
  if (result != SQLITE_OK) return absl::UnavailableError(absl::StrCat(path, ": can not be opened"));
  sqlite3_busy_timeout(opened, 5000);
  for (const char* pragma : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"}) {
    const absl::Status set = Execute(opened, pragma);
    if (sqlite3_errcode(opened) == SQLITE_NOTADB) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": no SQLite database; name the ledger's file, or a new one"));
    }
    if (!set.ok()) return Annotate(set, path);
  }
  return database;
}

absl::Status Execute(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                             : ErrorOf(database);
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* database, const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
    return ErrorOf(database);
  }
  return Statement(database, statement);
}

Statement& Statement::Bind(ByteView blob) {
  sqlite3_bind_blob(get(), ++bound_, blob.data(), static_cast<int>(blob.size()), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::BindText(const std::string& text) {
  sqlite3_bind_text(get(), ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}

Statement& Statement::Bind(uint64_t number) {
  sqlite3_bind_int64(get(), ++bound_, static_cast<int64_t>(number));
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int result = sqlite3_step(get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return ErrorOf(database_);
}

absl::Status Statement::Run() {
  const absl::Status status = Step().status();
  Reset();
  return status;
}

void Statement::Reset() {
  sqlite3_reset(get());
  bound_ = 0;
}

std::string Statement::Text(int column) const {
  const void* data = sqlite3_column_blob(get(), column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(get(), column));
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

absl::StatusOr<Transaction> Transaction::Begin(sqlite3* database) {
  RETURN_IF_ERROR(Execute(database, "BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // Some errors have rolled back by themselves.
  if (database_ != nullptr && sqlite3_get_autocommit(database_) == 0) {
    sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

absl::Status Transaction::Commit() {
  RETURN_IF_ERROR(Execute(database_, "COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

}  // namespace nark::refunds
