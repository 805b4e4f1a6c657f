#include "refunds/postgres_connection.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "refunds/ledger.h"

namespace nark::refunds {
namespace {

// Beyond the time that a statement may take. That limit is the server's own, and one that
// stands still keeps none.
constexpr std::chrono::seconds kAnswerTime{25};

bool Wait(const PGconn* connection, short events, std::chrono::steady_clock::time_point until) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd wait{PQsocket(connection), events, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

Parameters& Parameters::Add(ByteView blob) { return AddText("\\x" + ToHex(blob)); }

Parameters& Parameters::AddText(std::string text) {
  values_.push_back(std::move(text));
  return *this;
}

Parameters& Parameters::Add(uint64_t number) { return AddText(absl::StrCat(number)); }

Parameters& Parameters::Add(const std::vector<ByteView>& blobs) {
  std::string text = "{";
  for (const ByteView blob : blobs) {
    absl::StrAppend(&text, text.size() == 1 ? "" : ",", "\"\\\\x", ToHex(blob), "\"");
  }
  return AddText(text + "}");
}

std::vector<const char*> Parameters::pointers() const {
  std::vector<const char*> pointers;
  for (const std::string& value : values_) pointers.push_back(value.c_str());
  return pointers;
}

absl::StatusOr<Result> Connection::Run(const std::string& sql, const Parameters& parameters) {
  RETURN_IF_ERROR(Connect());
  const std::vector<const char*> values = parameters.pointers();
  return Answer(PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()),
                                  nullptr, values.data(), nullptr, nullptr, 0));
}

absl::Status Connection::RunScript(const char* sql) {
  RETURN_IF_ERROR(Connect());
  return Answer(PQsendQuery(connection_.get(), sql)).status();
}

absl::StatusOr<Result> Connection::Answer(int sent) {
  PGconn* const connection = connection_.get();
  const auto until = std::chrono::steady_clock::now() + kAnswerTime;
  int unsent = sent == 1 ? PQflush(connection) : -1;
  for (; unsent > 0; unsent = PQflush(connection)) {
    if (!Wait(connection, POLLIN | POLLOUT, until)) return Hangs();
    if (PQconsumeInput(connection) != 1) return Failed();
  }
  if (unsent < 0) return Failed();
  // Of several statements the last counts, which is the one that failed if one did.
  Result last;
  for (;;) {
    while (PQisBusy(connection) != 0) {
      if (!Wait(connection, POLLIN, until)) return Hangs();
      if (PQconsumeInput(connection) != 1) return Failed();
    }
    Result next(PQgetResult(connection));
    if (!next) break;
    last = std::move(next);
  }
  const ExecStatusType status = PQresultStatus(last.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return last;
  return Failed();
}

absl::Status Connection::Connect() {
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
                          "-c client_min_messages=warning -c bytea_output=hex",
                          nullptr};
  connection_.reset(PQconnectdbParams(names, values, /*expand_dbname=*/1));
  // The library would write the server's warnings to stderr, among the lines of the log.
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  if (PQstatus(connection_.get()) == CONNECTION_OK && PQsetnonblocking(connection_.get(), 1) == 0) {
    return absl::OkStatus();
  }
  return Failed();
}

absl::Status Connection::Failed() {
  std::string message = PQerrorMessage(connection_.get());
  absl::RemoveExtraAsciiWhitespace(&message);
  connection_.reset();
  return LedgerUnavailable(message);
}

absl::Status Connection::Hangs() {
  connection_.reset();
  return LedgerUnavailable("the database does not answer");
}

std::string Blob(const PGresult* result, int row, int column) {
  const std::string_view hex = PQgetvalue(result, row, column);
  return hex.size() < 2 ? std::string() : ToText(FromHex(hex.substr(2)));
}

uint64_t Number(const PGresult* result, int row, int column) {
  uint64_t number = 0;
  return absl::SimpleAtoi(PQgetvalue(result, row, column), &number) ? number : 0;
}

}  // namespace nark::refunds
