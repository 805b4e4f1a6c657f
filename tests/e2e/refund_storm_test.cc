// 64 submitters against desks that die at random: every note is paid exactly once, and
// everybody who submitted it ends with the same receipt.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
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
        "nark-refunds", {"--provider", world_.Path("desk"), "--issuer",
                         world_.Path("desk/issuer.pem"), "--ledger", ledger, "--listen", listen});
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

  void Storm(const std::string& ledger, size_t desks) {
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
    for (Server& server : servers) EXPECT_EQ(server.process->Stop().status, 0);
  }

  static void ExpectPaidOnce(refunds::Ledger& ledger) {
    const auto summary = ledger.Summarise(1);
    ASSERT_TRUE(summary.ok()) << summary.status();
    ASSERT_EQ(summary->paid.size(), 1u);
    EXPECT_EQ(summary->paid[0].refunds, kNotes);
    EXPECT_EQ(summary->paid[0].amount_minor, kNotes * kPrice);
    EXPECT_EQ(ledger.Outbox()->pending, kNotes);
  }

  World world_;
  TestProvider provider_{SystemClock().Now()};
  const TestSession session_ = provider_.MakeSession();
  const TestSecureSpace space_ = provider_.MakeSecureSpace();
  std::vector<v1::SubmitDeliveryNoteRequest> notes_;
};

TEST_F(StormTest, ThreeDesksOnOnePostgresqlLedgerPayEachNoteOnce) {
  const Postgres database;
  Storm(database.url(), 3);
  auto ledger = refunds::OpenPostgresLedger(database.url());
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  ExpectPaidOnce(**ledger);
}

TEST_F(StormTest, OneDeskOnSqlitePaysEachNoteOnce) {
  Storm("sqlite:" + world_.Path("ledger.db"), 1);
  auto ledger = refunds::OpenSqliteLedger(world_.Path("ledger.db"));
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  ExpectPaidOnce(**ledger);
}

}  // namespace
}  // namespace nark::harness
