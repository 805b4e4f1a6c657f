#include "common/serve/http.h"

#include <httplib.h>

#include <atomic>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/markup.h"
#include "common/base/status.h"
#include "common/serve/bounded_server.h"
#include "common/serve/http_listener.h"
#include "common/serve/process_metrics.h"
#include "common/serve/work_queue.h"

namespace nark::serve {
namespace {

constexpr std::chrono::seconds kPatience{1};        // with a request
constexpr std::chrono::seconds kAnswerPatience{5};  // with the taking of an answer
// Who looks at health has given up by then.
constexpr WorkQueue::Limits kLine{.threads = 8, .length = 64, .wait = std::chrono::seconds(5)};

constexpr char kStyle[] =
    "body{font:16px system-ui,sans-serif;margin:2em}"
    "th{text-align:left;vertical-align:top;padding-right:2em;font-weight:600}"
    "td{overflow-wrap:anywhere}"
    ".list{border-collapse:collapse;display:block;overflow-x:auto;"
    "font-variant-numeric:tabular-nums}"
    ".list th,.list td{padding:.3em 1.2em .3em 0;border-bottom:1px solid #ddd;white-space:nowrap}";

std::string Row(const std::string& tag, const std::vector<std::string>& cells) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) {
    absl::StrAppend(&row, "<", tag, ">", EscapeMarkup(cell), "</", tag, ">");
  }
  return row + "</tr>\n";
}

std::string Section(const PageTable& table) {
  std::string html = absl::StrCat("<h2>", EscapeMarkup(table.title), "</h2>\n");
  if (table.rows.empty()) return absl::StrCat(html, "<p>none</p>\n");
  absl::StrAppend(&html, "<table class=\"list\"><thead>", Row("th", table.columns),
                  "</thead><tbody>\n");
  for (const std::vector<std::string>& row : table.rows) absl::StrAppend(&html, Row("td", row));
  return absl::StrCat(html, "</tbody></table>\n");
}

std::string Uptime(std::chrono::steady_clock::duration since) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, " min ", seconds % 60, " s");
  return absl::StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " min");
}

class SideDoor final : public HttpServer {
 public:
  SideDoor(HttpOptions options, Metrics* metrics) : options_(std::move(options)) {
    server_->set_payload_max_length(1024);
    server_->Get("/metrics", [metrics](const httplib::Request&, httplib::Response& response) {
      response.set_content(metrics->Exposition(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_->Get("/livez", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("ok\n", "text/plain");
    });
    server_->Get("/readyz", [this](const httplib::Request&, httplib::Response& response) {
      const absl::Status ready = Ready();
      response.status = ready.ok() ? 200 : 503;
      response.set_content(ready.ok() ? "ok\n" : absl::StrCat(ready.message(), "\n"), "text/plain");
    });
    server_->Get("/", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(Page(), "text/html; charset=utf-8");
    });
  }

  ~SideDoor() override {
    reading_ends_ = std::chrono::steady_clock::now() + kPatience;
    listener_.Stop();
  }

  absl::Status Listen() { return listener_.Start(*server_, options_.listen); }

  const std::string& address() const override { return listener_.address(); }
  void SetDraining() override { draining_ = true; }

 private:
  absl::Status Ready() const {
    if (draining_) return absl::UnavailableError("draining");
    return options_.ready ? options_.ready() : absl::OkStatus();
  }

  std::string Page() const {
    const absl::Status ready = Ready();
    std::string rows;
    const auto row = [&](const std::string& name, const std::string& value) {
      absl::StrAppend(&rows, "<tr><th>", EscapeMarkup(name), "</th><td>", EscapeMarkup(value),
                      "</td></tr>\n");
    };
    row("version", options_.version);
    row("up", Uptime(std::chrono::steady_clock::now() - start_));
    row("ready", ready.ok() ? "yes" : absl::StrCat("no: ", ready.message()));
    if (options_.state) {
      for (const auto& [name, value] : options_.state()) row(name, value);
    }
    std::string sections;
    if (options_.tables) {
      for (const PageTable& table : options_.tables()) absl::StrAppend(&sections, Section(table));
    }
    const std::string program = EscapeMarkup(options_.program);
    return absl::StrCat("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>", program,
                        "</title><meta name=\"viewport\" content=\"width=device-width\"><style>",
                        kStyle, "</style><h1>", program, "</h1><table>\n", rows, "</table>\n",
                        sections,
                        "<p><a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readyz</a> "
                        "<a href=\"/livez\">livez</a></p></html>\n");
  }

  HttpOptions options_;
  std::atomic<bool> draining_{false};
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ReadingEnds reading_ends_{};
  const std::unique_ptr<httplib::Server> server_ =
      MakeBoundedServer({.body_bytes = 1024,
                         .head_time = kPatience,
                         .body_time = kPatience,
                         .answer_time = kAnswerPatience},
                        kLine, reading_ends_, nullptr);
  HttpListener listener_;  // last: uses all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpOptions options,
                                                              Metrics* metrics) {
  auto server = std::make_unique<SideDoor>(std::move(options), metrics);
  RETURN_IF_ERROR(server->Listen());
  AddProcessMetrics(*metrics);
  return server;
}

}  // namespace nark::serve
