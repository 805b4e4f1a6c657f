#ifndef NARK_REFUNDS_SQLITE_DATABASE_H_
#define NARK_REFUNDS_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::refunds {

// One connection to a SQLite file, for the ledger. Nothing here is thread-safe: one
// thread at a time uses a connection and what was made from it. Errors are those of
// Ledger.

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// Opens a file that exists; commits are durable (WAL, synchronous=FULL).
absl::StatusOr<Database> OpenDatabase(const std::string& path);

// Runs statements without parameters and rows.
absl::Status Execute(sqlite3* database, const char* sql);

// One prepared statement in use; bound from 1, read from 0.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(sqlite3* database, const std::string& sql);

  Statement& Bind(ByteView blob);
  Statement& BindText(const std::string& text);
  Statement& Bind(uint64_t number);
  // Whether there is a row.
  absl::StatusOr<bool> Step();
  // For statements without rows; may be bound anew afterwards.
  absl::Status Run();
  // Makes it ready to be bound anew.
  void Reset();

  std::string Text(int column) const;
  uint64_t Number(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(get(), column));
  }
  // Leaves `to` where the column has another size.
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

// A transaction that writes. Rolls back where it is not committed.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(sqlite3* database);
  Transaction(Transaction&& other) noexcept;
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(sqlite3* database) : database_(database) {}
  sqlite3* database_;
};

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_SQLITE_DATABASE_H_
