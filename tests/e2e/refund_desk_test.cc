// The refund desk's other doors: JSON over HTTPS, the provider's page, the payments
// that leave it, and what it does while its ledger or its lists change under it.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/serve/api_server.h"
#include "tests/harness/postgres.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

// Nothing is streamed here: what was sold and never served is owed whole.
class RefundDeskTest : public testing::Test {
 protected:
  RefundDeskTest() : space_(world_.MakeSecureSpace()) {}

  Server StartDesk(const Words& more = {}) { return StartDeskOn(Sqlite(), more); }
  Server StartDeskOn(const std::string& ledger, const Words& more = {}) {
    Words arguments = {"--provider", world_.provider(),
                       "--issuer",   world_.issuer() + "/issuer.pem",
                       "--ledger",   ledger,
                       "--listen",   "127.0.0.1:0",
                       "--https",    "127.0.0.1:0",
                       "--http",     "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.StartServer("nark-refunds", arguments);
  }
  std::string Sqlite() const { return "sqlite:" + world_.Path("ledger.db"); }

  // A FINAL note that names ten ADUs at 5 cents, none of them served.
  std::string Note(const Words& voucher = {}) {
    const SessionFiles session =
        world_.MakeSession({"127.0.0.1:1"}, {"--price-per-adu", "0.05", "--currency", "EUR"});
    const std::string bought = world_.MakeVoucher(session, space_.id, "0-9", voucher);
    const std::string path = world_.NewPath("note");
    world_.Do("nark-receiver", {"note", session.session, "--secure-space", space_.folder, "--final",
                                "--voucher", bought, "--out", path});
    return path;
  }
  Outcome Refund(const Server& desk, const std::string& note) {
    return world_.Try("nark-receiver", {"refund", note, "--refunds", desk.listen, "--json"});
  }
  // What curl says, with the HTTP status in front.
  Outcome Curl(const Server& desk, const std::string& path, const Words& more = {}) {
    const std::string port = desk.https.substr(desk.https.rfind(':') + 1);
    Words arguments = {"/usr/bin/curl",
                       "--silent",
                       "--show-error",
                       "--write-out",
                       "%{http_code}",
                       "--cacert",
                       world_.provider() + "/tls/certificate.pem",
                       "--connect-to",
                       "::" + desk.https,
                       "https://refunds.nark:" + port + path};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try(arguments[0], {arguments.begin() + 1, arguments.end()});
  }
  // The body as JSON, whose status must be this.
  static Json Body(const Outcome& curl, const std::string& status) {
    EXPECT_EQ(curl.status, 0) << curl.ToString();
    EXPECT_TRUE(curl.out.ends_with(status)) << curl.ToString();
    return Json::parse(curl.out.substr(0, curl.out.size() - 3), nullptr, false);
  }
  Words AsJson(const std::string& note) {
    const std::string path = world_.NewPath("request");
    const Outcome base64 = world_.Try("/usr/bin/base64", {"--wrap=0", note});
    WriteAll(path, R"({"note_file":")" + base64.out + R"("})");
    return {"--json", "@" + path};
  }
  // A program that writes each order into world_.Path("orders").
  std::string Hook(const std::string& more = "") {
    const std::string path = world_.NewPath("hook");
    WriteAll(path, "#!/bin/sh\ncat >> " + world_.Path("orders") + "\n" + more + "\n");
    ::chmod(path.c_str(), 0700);
    return path;
  }
  static double Pending(const Server& desk) {
    return MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_outbox_pending");
  }

  World world_;
  SecureSpaceFolder space_;
};

TEST_F(RefundDeskTest, AnswersOverHttpsWhatItAnswersOverGrpc) {
  const Server desk = StartDesk();
  const std::string note = Note();
  const Json paid = Body(Curl(desk, "/v1/refunds", AsJson(note)), "200");
  EXPECT_EQ(paid["status"], "paid") << paid;
  EXPECT_EQ(paid["owed"], 10);
  EXPECT_EQ(paid["amount_minor"], 50);
  EXPECT_EQ(paid["currency"], "EUR");
  ASSERT_EQ(paid["vouchers"].size(), 1u);
  // Again, as it is, over gRPC, and by asking: always the same signed receipt.
  EXPECT_EQ(Body(Curl(desk, "/v1/refunds", {"--data-binary", "@" + note}), "200"), paid);
  const Json over_grpc = Json::parse(Refund(desk, note).out);
  EXPECT_EQ(over_grpc["ledger_id"], paid["ledger_id"]);
  const std::string voucher = paid["vouchers"][0]["voucher_id"];
  const Json found = Body(Curl(desk, "/v1/refunds/" + voucher), "200");
  EXPECT_EQ(found["vouchers"], paid["vouchers"]);
  EXPECT_NE(found["note"], "");
}

TEST_F(RefundDeskTest, RefusesOverHttpsWithTheReason) {
  const Server desk = StartDesk();
  const auto reason = [&](const Outcome& curl, const std::string& status) {
    const Json body = Body(curl, status);
    return body.contains("error") ? body["error"]["reason"].get<std::string>() : body.dump();
  };
  EXPECT_EQ(reason(Curl(desk, "/v1/refunds", {"--json", "{"}), "400"), "MALFORMED");
  EXPECT_EQ(reason(Curl(desk, "/v1/refunds", {"--json", R"({"note_file":"!"})"}), "400"),
            "MALFORMED");
  EXPECT_EQ(reason(Curl(desk, "/v1/refunds", {"--data-binary", "@" + space_.certificate}), "400"),
            "MALFORMED");
  EXPECT_EQ(reason(Curl(desk, "/v1/refunds/" + std::string(32, '0')), "404"), "REFUND_NOT_FOUND");
  EXPECT_EQ(reason(Curl(desk, "/v1/refunds/x"), "400"), "MALFORMED");
  EXPECT_EQ(reason(Curl(desk, "/"), "404"), "NO_SUCH_PATH");
  EXPECT_EQ(MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_refusals_total",
                     "reason=\"REFUND_NOT_FOUND\""),
            1);
  // One flipped bit.
  const std::string note = Note();
  std::string bytes = ReadAll(note);
  bytes[bytes.size() / 2] ^= 1;
  WriteAll(note, bytes);
  const Outcome flipped = Curl(desk, "/v1/refunds", {"--data-binary", "@" + note});
  EXPECT_TRUE(flipped.out.ends_with("400") || flipped.out.ends_with("401") ||
              flipped.out.ends_with("403"))
      << flipped.ToString();
  EXPECT_EQ(Pending(desk), 0);
}

TEST_F(RefundDeskTest, ShowsTheProviderWhatWasPaidAndWhy) {
  const Server desk = StartDesk();
  ASSERT_EQ(Refund(desk, Note({"--payer", "<script>alert(1)</script>"})).status, 0);
  ASSERT_EQ(Refund(desk, Note({"--price", "0"})).status, 2);
  const std::string page = HttpGet(desk.http, "/");
  EXPECT_NE(page.find("<td>EUR</td><td>1</td><td>0.50 EUR</td>"), std::string::npos) << page;
  EXPECT_NE(page.find("&lt;script&gt;alert(1)&lt;/script&gt;"), std::string::npos) << page;
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_NE(page.find("<td>BELOW_MINIMUM</td><td>1</td>"), std::string::npos) << page;
}

TEST_F(RefundDeskTest, GivesEachPaymentToTheCommandOnce) {
  Server desk = StartDesk({"--pay-command", Hook()});
  const std::string note = Note({"--payer", "invoice 7"});
  const Json paid = Json::parse(Refund(desk, note).out);
  EXPECT_TRUE(Eventually([&] { return !ReadAll(world_.Path("orders")).empty(); }));
  EXPECT_TRUE(Eventually([&] {
    return MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_paid_out_minor_total",
                    "currency=\"EUR\"") == 50;
  }));
  const Json order = Json::parse(ReadAll(world_.Path("orders")));
  EXPECT_EQ(order["idempotency_key"], paid["ledger_id"]);
  EXPECT_EQ(order["payer_reference"], "invoice 7");
  EXPECT_EQ(order["amount_minor"], 50);
  EXPECT_EQ(order["currency"], "EUR");
  // Neither a repeated note nor a new desk pays again.
  ASSERT_EQ(Refund(desk, note).status, 0);
  EXPECT_EQ(desk.process->Stop().status, 0);
  desk = StartDesk({"--pay-command", Hook()});
  const std::string other = Note();
  ASSERT_EQ(Refund(desk, other).status, 0);
  EXPECT_TRUE(Eventually([&] {
    const std::string orders = ReadAll(world_.Path("orders"));
    return std::count(orders.begin(), orders.end(), '\n') == 2;
  }));
}

TEST_F(RefundDeskTest, RepeatsAPaymentUnderItsKeyUntilTheUrlTakesIt) {
  std::mutex mutex;
  std::vector<serve::ApiRequest> orders;
  const auto bank = serve::ApiServer::Start(
      {.listen = "127.0.0.1:0", .handle = [&](const serve::ApiRequest& request) {
         const std::lock_guard lock(mutex);
         orders.push_back(request);
         return serve::ApiAnswer{orders.size() < 3 ? 503 : 200, "{}"};
       }});
  ASSERT_TRUE(bank.ok()) << bank.status();
  const Server desk = StartDesk({"--pay-url", "http://" + (*bank)->address() + "/refunds"});
  ASSERT_EQ(Refund(desk, Note()).status, 0);
  EXPECT_TRUE(Eventually([&] {
    return MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_payments_total",
                    "result=\"taken\"") == 1;
  }));
  const std::lock_guard lock(mutex);
  ASSERT_EQ(orders.size(), 3u);
  std::set<std::string> keys;
  for (const serve::ApiRequest& order : orders) {
    EXPECT_EQ(order.path, "/refunds");
    keys.insert(order.idempotency_key);
    EXPECT_EQ(Json::parse(order.body)["idempotency_key"], order.idempotency_key);
  }
  EXPECT_EQ(keys.size(), 1u);
  EXPECT_TRUE(Eventually([&] { return Pending(desk) == 0; }));
}

TEST_F(RefundDeskTest, EndsWithinItsDrainWhateverThePaymentDoes) {
  Server desk = StartDesk({"--pay-command", Hook("sleep 1000"), "--drain", "200ms"});
  ASSERT_EQ(Refund(desk, Note()).status, 0);
  EXPECT_TRUE(Eventually([&] { return !ReadAll(world_.Path("orders")).empty(); }));
  EXPECT_EQ(desk.process->Stop().status, 0);
  // Nobody knows whether it was taken: it is given again.
  desk = StartDesk({"--pay-command", Hook()});
  EXPECT_TRUE(Eventually([&] {
    const std::string orders = ReadAll(world_.Path("orders"));
    return std::count(orders.begin(), orders.end(), '\n') == 2;
  }));
}

TEST_F(RefundDeskTest, RefusesToStartWithoutAWayToPay) {
  const auto start = [&](const Words& more) {
    Words arguments = {"--provider", world_.provider(), "--issuer", world_.issuer() + "/issuer.pem",
                       "--ledger",   Sqlite(),          "--listen", "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return world_.Try("nark-refunds", arguments);
  };
  const Outcome absent = start({"--pay-command", world_.Path("absent")});
  EXPECT_EQ(absent.status, 1);
  EXPECT_NE(absent.err.find("--pay-command"), std::string::npos) << absent.err;
  const Outcome open = start({"--pay-url", "http://payments.example/"});
  EXPECT_EQ(open.status, 1);
  EXPECT_NE(open.err.find("only https"), std::string::npos) << open.err;
  EXPECT_EQ(start({"--pay-command", Hook(), "--pay-url", "https://payments.example/"}).status, 1);
}

// Not ready, and a clear error worth repeating, for as long as it lasts; then nothing is
// missing.
class DeskTroubleTest : public RefundDeskTest {
 protected:
  void ExpectTrouble(const Server& desk, const std::string& note) {
    const Outcome refused = Refund(desk, note);
    EXPECT_EQ(refused.status, 2) << refused.ToString();
    EXPECT_NE(refused.err.find("LEDGER_UNAVAILABLE"), std::string::npos) << refused.ToString();
    const Json body = Body(Curl(desk, "/v1/refunds", AsJson(note)), "503");
    EXPECT_EQ(body["error"]["reason"], "LEDGER_UNAVAILABLE") << body;
    EXPECT_GT(body["error"]["retry_after_seconds"], 0);
    // What the database says of itself is nobody's business but the operator's.
    EXPECT_NE(refused.err.find("try again in a moment"), std::string::npos) << refused.err;
    EXPECT_EQ(refused.err.find("/tmp"), std::string::npos) << refused.err;
    EXPECT_TRUE(Eventually([&] { return HttpGet(desk.http, "/readyz").starts_with("503"); }));
    EXPECT_EQ(HttpGet(desk.http, "/livez"), "ok\n");
  }
  void ExpectRecovery(const Server& desk, const std::string& note) {
    EXPECT_TRUE(Eventually([&] { return HttpGet(desk.http, "/readyz") == "ok\n"; }));
    const Outcome paid = Refund(desk, note);
    ASSERT_EQ(paid.status, 0) << paid.ToString();
    EXPECT_EQ(Json::parse(paid.out)["amount_minor"], 50);
    EXPECT_TRUE(Eventually([&] { return Pending(desk) == 1; }));
  }
};

TEST_F(DeskTroubleTest, ADatabaseThatIsGoneComesBack) {
  Postgres database;
  const Server desk = StartDeskOn(database.url());
  const std::string note = Note();
  EXPECT_TRUE(Eventually([&] { return HttpGet(desk.http, "/readyz") == "ok\n"; }));
  database.Crash();
  ExpectTrouble(desk, note);
  database.Start();
  ExpectRecovery(desk, note);
}

TEST_F(DeskTroubleTest, ADatabaseWhoseDiskIsFullTakesNothingUntilThereIsSpace) {
  SmallDisk disk;
  const Server desk = StartDeskOn(disk.url());
  const std::string note = Note();
  disk.Fill();
  EXPECT_TRUE(Eventually([&] { return HttpGet(desk.http, "/readyz").starts_with("503"); }));
  ExpectTrouble(desk, note);
  disk.Empty();
  ExpectRecovery(desk, note);
}

TEST_F(DeskTroubleTest, ARevokedSecureSpaceIsPaidNothingOnceTheListSaysSo) {
  const Server desk = StartDesk({"--crl", world_.issuer() + "/crl.pem"});
  EXPECT_GT(
      MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_lists_next_update_timestamp_seconds"),
      time(nullptr) + 7 * 86400);
  const std::string before = Note(), after = Note();
  ASSERT_EQ(Refund(desk, before).status, 0);
  world_.Do("narkctl", {"issuer", "revoke", world_.issuer(), "--certificate", space_.certificate});
  EXPECT_TRUE(Eventually(
      [&] { return MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_reloads_total") >= 1; }));
  const Outcome refused = Refund(desk, after);
  EXPECT_EQ(Json::parse(refused.out)["reason"], "SECURE_SPACE_REVOKED") << refused.ToString();
  // A list that is none changes nothing and is counted.
  WriteAll(world_.issuer() + "/crl.pem", "nonsense");
  EXPECT_TRUE(Eventually([&] {
    return MetricOf(HttpGet(desk.http, "/metrics"), "nark_refunds_reload_failures_total") >= 1;
  }));
  EXPECT_EQ(Json::parse(Refund(desk, after).out)["reason"], "SECURE_SPACE_REVOKED");
}

}  // namespace
}  // namespace nark::harness
