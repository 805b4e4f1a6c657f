#include "refunds/json_service.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace nark::refunds {
namespace {

class Nobody final : public DeskObserver {
 public:
  void OnReceipt(v1::RefundStatus) override {}
  void OnRefusal(const absl::Status&) override {}
};

// What a service says that asks no desk.
serve::ApiAnswer Post(const std::string& json) {
  Nobody nobody;
  JsonService service([]() -> std::shared_ptr<Desk> { return nullptr; }, nobody);
  return service.Handle({.method = "POST",
                         .path = "/v1/refunds",
                         .content_type = "application/json; charset=utf-8",
                         .idempotency_key = "",
                         .body = json});
}

void ExpectRefused(const std::string& json, const std::string& with) {
  const serve::ApiAnswer answer = Post(json);
  EXPECT_EQ(answer.status, 400) << json.substr(0, 100);
  const auto error = nlohmann::json::parse(answer.json)["error"];
  EXPECT_EQ(error["reason"], "MALFORMED");
  EXPECT_NE(error["message"].get<std::string>().find(with), std::string::npos) << answer.json;
}

TEST(JsonServiceTest, SaysWhatIsNoNoteFile) {
  for (const char* json :
       {"", "{", "null", "[]", "\"AAAA\"", "{}", R"({"note":"AAAA"})", R"({"note_file":7})",
        R"({"note_file":["AAAA"]})", R"({"a":{"note_file":"AAAA"}})", R"({"note_file":"AAAA"} x)",
        R"({"note_file":"AAAA","note_file":null})"}) {
    ExpectRefused(json, "write {");
  }
  ExpectRefused(R"({"note_file":"*"})", "base64");
  for (const char* json :
       {R"({"note_file":"AAAA"})", R"({"a":1,"note_file":"AAAA","b":"c","d":null})"}) {
    ExpectRefused(json, "note file");
  }
}

TEST(JsonServiceTest, HoldsLittleMoreThanWhatWasSent) {
  const size_t depth = 1 << 20;
  const std::string deep =
      R"({"note_file":"AAAA","x":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const long before = peak_kib();
  ExpectRefused(deep, "write {");
  EXPECT_LT(peak_kib() - before, 32 << 10);
}

}  // namespace
}  // namespace nark::refunds
