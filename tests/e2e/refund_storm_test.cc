// 64 submitters against desks that die at random: every note is entered exactly once,
// everybody who submitted it ends with the same receipt, and the provider's hook gets
// every payment at least once, always under the same key.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "nark/v1/refund_desk.grpc.pb.h"
#include "refunds/postgres_ledger.h"
#include "refunds/sqlite_ledger.h"
#include "tests/harness/postgres.h"
#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

constexpr size_t kNotes = 1000;
constexpr size_t kSubmitters = 64;
constexpr size_t kSubmissions = 3;  // of each note, by different submitters
constexpr uint64_t kPrice = 1000;
constexpr size_t kMostDeaths = 12;  // a desk that only ever starts answers nobody

class StormTest : public testing::Test {
 protected:
  StormTest() {
    WriteDeskFolder();
    WriteHook();
    for (size_t i = 0; i < kNotes; ++i) notes_.push_back(MakeNote());
  }

  // What `provider init` writes, as far as a desk reads it.
  void WriteDeskFolder() {
    std::filesystem::create_directories(world_.Path("desk/refunds"));
    const auto write = [&](const std::string& name, const std::string& pem, FileMode mode) {
      ASSERT_TRUE(WriteFile(world_.Path("desk/" + name), AsBytes(pem), mode).ok()) << name;
    };
    const SigningIdentity tls =
        *MakeTlsServer("refunds.nark", provider_.tls_ca, SystemClock().Now());
    write("root.pem", provider_.root.certificate.ToPem(), FileMode::kPublic);
    write("refunds/certificate.pem", provider_.refunds.certificate.ToPem(), FileMode::kPublic);
    write("refunds/tls.pem", tls.certificate.ToPem(), FileMode::kPublic);
    write("issuer.pem", provider_.issuer.certificate.ToPem(), FileMode::kPublic);
    const auto write_key = [&](const std::string& name, const PrivateKey& key) {
      const SecretBytes pem = *key.ToPem();
      ASSERT_TRUE(WriteFile(world_.Path("desk/" + name), pem.Reveal(), FileMode::kSecret).ok());
    };
    write_key("refunds/key.pem", provider_.refunds.key);
    write_key("refunds/tls-key.pem", tls.key);
  }
  // Writes each order down; then every sixteenth fails at its first attempt.
  void WriteHook() {
    WriteAll(world_.Path("pay"), "#!/bin/sh\nread -r order\nprintf '%s\\n' \"$order\" >> " +
                                     world_.Path("orders") +
                                     "\ncase $order in\n"
                                     "*'0\",\"payer_reference\"'*'\"attempt\":1}') exit 1 ;;\n"
                                     "esac\n");
    ::chmod(world_.Path("pay").c_str(), 0700);
  }
  // Ten bought and never granted: owed whole.
  v1::SubmitDeliveryNoteRequest MakeNote() {
    VoucherOptions options;
    options.secure_space_id = space_.id;
    options.policy.mutable_range()->set_last(9);
    options.price.emplace();
    options.price->set_amount_minor(kPrice);
    options.price->set_currency("EUR");
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space_.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    *note.add_vouchers()->mutable_voucher() = provider_.MakeVoucher(session_, options);
    note.set_status(v1::NOTE_STATUS_FINAL);
    v1::SubmitDeliveryNoteRequest request;
    v1::NoteFile& file = *request.mutable_note();
    *file.mutable_note() =
        *SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space_.note_key, {});
    file.add_secure_space_certificates(ToText(space_.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return request;
  }

  Server StartDesk(const std::string& ledger, const std::string& listen) {
    return world_.StartServer(
        "nark-refunds",
        {"--provider", world_.Path("desk"), "--issuer", world_.Path("desk/issuer.pem"), "--ledger",
         ledger, "--listen", listen, "--pay-command", world_.Path("pay"), "--pay-timeout", "2s"});
  }

  std::unique_ptr<v1::RefundDesk::Stub> Connect(const std::string& desk) {
    return v1::RefundDesk::NewStub(*rpc::MakeChannel(
        {.endpoint = desk,
         .tls = rpc::TlsTrust{.ca_certificate = provider_.tls_ca.certificate.der(),
                              .server_name = "refunds.nark"}}));
  }

  // One submitter: asks one desk, and the next where that fails.
  struct Submitter {
    size_t desk = 0;
    std::unique_ptr<v1::RefundDesk::Stub> stub;
  };

  // Submits to whichever desk answers, for as long as it takes.
  std::string Submit(const std::vector<std::string>& desks, Submitter& submitter,
                     const v1::SubmitDeliveryNoteRequest& request) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      if (submitter.stub == nullptr) {
        submitter.stub = Connect(desks[++submitter.desk % desks.size()]);
      }
      grpc::ClientContext context;
      rpc::SetTimeout(context, std::chrono::seconds(5));
      v1::SubmitDeliveryNoteResponse response;
      const absl::Status status =
          rpc::FromGrpc(submitter.stub->SubmitDeliveryNote(&context, request, &response));
      if (status.ok()) {
        EXPECT_EQ(response.receipts_size(), 1);
        return response.receipts_size() == 1 ? Serialise(response.receipts(0)) : "";
      }
      // Whatever went wrong is the desk's trouble, never the note's.
      if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status) &&
          !absl::IsCancelled(status) && !absl::IsResourceExhausted(status)) {
        ADD_FAILURE() << status;
        return "";
      }
      submitter.stub = nullptr;  // a channel would wait longer each time it fails
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << "no desk answered within the test's patience";
    return "";
  }

  // `open` opens the ledger beside the desks.
  void Storm(const std::string& ledger, size_t desks,
             const std::function<absl::StatusOr<std::unique_ptr<refunds::Ledger>>()>& open) {
    const uint64_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::vector<Server> servers;
    std::vector<std::string> addresses;
    for (size_t i = 0; i < desks; ++i) {
      servers.push_back(StartDesk(ledger, "127.0.0.1:0"));
      addresses.push_back(servers.back().listen);
    }
    // By note: what each of its submitters was told.
    std::vector<std::vector<std::string>> told(kNotes, std::vector<std::string>(kSubmissions));
    std::atomic<size_t> next{0}, submitting{kSubmitters};
    std::vector<std::thread> submitters;
    for (size_t t = 0; t < kSubmitters; ++t) {
      submitters.emplace_back([&, t] {
        Submitter submitter{.desk = t, .stub = nullptr};
        for (size_t i = next++; i < kNotes * kSubmissions; i = next++) {
          told[i % kNotes][i / kNotes] = Submit(addresses, submitter, notes_[i % kNotes]);
        }
        --submitting;
      });
    }
    std::mt19937_64 random(seed);
    size_t deaths = 0;
    while (submitting > 0 && deaths < kMostDeaths) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200 + random() % 600));
      const size_t victim = random() % desks;
      servers[victim].process->Kill();
      servers[victim] = StartDesk(ledger, servers[victim].listen);
      ++deaths;
    }
    for (std::thread& submitter : submitters) submitter.join();
    EXPECT_GT(deaths, 0u);
    std::set<std::string> receipts;
    for (const std::vector<std::string>& answers : told) {
      for (const std::string& answer : answers) EXPECT_TRUE(answer == answers[0]);
      receipts.insert(answers[0]);
    }
    EXPECT_EQ(receipts.size(), kNotes);
    const auto opened = open();
    ASSERT_TRUE(opened.ok()) << opened.status();
    ExpectEnteredOnce(**opened);
    ExpectPaidOut(**opened, deaths);
    for (Server& server : servers) EXPECT_EQ(server.process->Stop().status, 0);
  }

  static void ExpectEnteredOnce(refunds::Ledger& ledger) {
    const auto summary = ledger.Summarise(1);
    ASSERT_TRUE(summary.ok()) << summary.status();
    ASSERT_EQ(summary->paid.size(), 1u);
    EXPECT_EQ(summary->paid[0].refunds, kNotes);
    EXPECT_EQ(summary->paid[0].amount_minor, kNotes * kPrice);
  }

  void ExpectPaidOut(refunds::Ledger& ledger, size_t deaths) {
    // A lease of who died in between must end first.
    EXPECT_TRUE(Eventually([&] {
      const auto outbox = ledger.Outbox();
      return outbox.ok() && outbox->pending == 0;
    }));
    std::map<std::string, size_t> orders;
    std::istringstream lines(ReadAll(world_.Path("orders")));
    size_t failed = 0;
    for (std::string line; std::getline(lines, line);) {
      const auto order = nlohmann::json::parse(line);
      const std::string key = order["idempotency_key"];
      EXPECT_EQ(order["amount_minor"], kPrice);
      failed += key.back() == '0' && order["attempt"] == 1 ? 1 : 0;
      ++orders[key];
    }
    EXPECT_EQ(orders.size(), kNotes);
    EXPECT_GT(failed, 0u);
    size_t repeated = 0;
    for (const auto& [key, times] : orders) repeated += times - 1;
    // What failed, and what the four workers of a desk that died had in their hands.
    EXPECT_LE(repeated, failed + 4 * deaths);
  }

  World world_;
  TestProvider provider_{SystemClock().Now()};
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  std::vector<v1::SubmitDeliveryNoteRequest> notes_;
};

TEST_F(StormTest, ThreeDesksOnOnePostgresqlLedgerPayEachNoteOnce) {
  const Postgres database;
  Storm(database.url(), 3, [&] { return refunds::OpenPostgresLedger(database.url()); });
}

TEST_F(StormTest, OneDeskOnSqlitePaysEachNoteOnce) {
  const std::string path = world_.Path("ledger.db");
  Storm("sqlite:" + path, 1, [&] { return refunds::OpenSqliteLedger(path); });
}

}  // namespace
}  // namespace nark::harness
