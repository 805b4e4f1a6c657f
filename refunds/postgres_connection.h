#ifndef NARK_REFUNDS_POSTGRES_CONNECTION_H_
#define NARK_REFUNDS_POSTGRES_CONNECTION_H_

#include <postgresql/libpq-fe.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"

namespace nark::refunds {

struct ClearResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

// Parameters in text form; byte strings as \x and hexadecimal digits.
class Parameters {
 public:
  Parameters& Add(ByteView blob);
  Parameters& AddText(std::string text);
  Parameters& Add(uint64_t number);
  // A bytea[].
  Parameters& Add(const std::vector<ByteView>& blobs);
  std::vector<const char*> pointers() const;

 private:
  std::vector<std::string> values_;
};

// A connection that is made when it is needed and dropped after any error, so
// that a half-done transaction never lives on. Waits some 30 s for a server that stands
// still, and no longer. Errors as Ledger's. One thread at a time.
class Connection {
 public:
  explicit Connection(const std::string& url) : url_(url) {}

  absl::StatusOr<Result> Run(const std::string& sql, const Parameters& parameters = {});
  // Several statements, without parameters.
  absl::Status RunScript(const char* sql);
  void Drop() { connection_.reset(); }

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  absl::Status Connect();
  // Of what was handed to the library, if `sent` says so.
  absl::StatusOr<Result> Answer(int sent);
  absl::Status Failed();
  absl::Status Hangs();

  const std::string url_;
  std::unique_ptr<PGconn, Finish> connection_;
};

// Values of a result, in text form.
std::string Blob(const PGresult* result, int row, int column);
uint64_t Number(const PGresult* result, int row, int column);
// Leaves `to` where the value has another size.
template <size_t N>
void ReadBlob(const PGresult* result, int row, int column, std::array<uint8_t, N>& to) {
  const std::string from = Blob(result, row, column);
  if (from.size() == N) std::memcpy(to.data(), from.data(), N);
}

}  // namespace nark::refunds

#endif  // NARK_REFUNDS_POSTGRES_CONNECTION_H_
