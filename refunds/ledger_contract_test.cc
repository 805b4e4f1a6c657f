// What every ledger promises, held against each of them.

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "refunds/postgres_connection.h"
#include "refunds/postgres_ledger.h"
#include "refunds/sqlite_ledger.h"
#include "tests/harness/postgres.h"

namespace nark::refunds {
namespace {

constexpr Timestamp kNow{std::chrono::seconds(1767225600)};
using std::chrono::seconds;

Refund MakeRefund(uint32_t voucher, const std::string& note, uint64_t amount = 10) {
  Refund refund;
  refund.key.provider.fill(7);
  StoreBig32(refund.key.voucher_id.data(), voucher);
  refund.note_identity = Sha256(AsBytes(note));
  refund.ledger_id = "id" + std::to_string(voucher);
  refund.bought = 5;
  refund.delivered = 3;
  refund.owed = 2;
  refund.amount_minor = amount;
  refund.currency = "EUR";
  refund.reason = amount == 0 ? "NOTHING_OWED" : "";
  refund.payer_reference = std::string("payer \0 '\"\\", 11);
  refund.decided = kNow;
  refund.receipt = std::make_shared<const std::string>("receipt of " + note);
  refund.note = std::make_shared<const std::string>(note);
  return refund;
}

class LedgerContractTest : public testing::TestWithParam<const char*> {
 protected:
  static harness::Postgres& Server() {
    static auto* const server = new std::unique_ptr<harness::Postgres>();
    if (!*server) {
      *server = std::make_unique<harness::Postgres>();
      atexit([] { server->reset(); });
    }
    return **server;
  }
  static bool IsPostgres() { return std::string(GetParam()) == "postgresql"; }

  void SetUp() override {
    char pattern[] = "/tmp/nark-ledger-XXXXXX";
    folder_ = mkdtemp(pattern);
    ledger_ = Open();
  }
  void TearDown() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::unique_ptr<Ledger> Open() {
    // Every test has numbers of its own in the one database.
    auto opened =
        IsPostgres() ? OpenPostgresLedger(Server().url()) : OpenSqliteLedger(folder_ + "/l.db");
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  std::vector<Refund> Enter(std::vector<Refund> refunds) {
    auto entered = EnterAndWait(*ledger_, std::move(refunds));
    EXPECT_TRUE(entered.ok()) << entered.status();
    return entered.ok() ? *entered : std::vector<Refund>();
  }
  static void ExpectUnavailable(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_EQ(ReasonOf(status), "LEDGER_UNAVAILABLE");
    EXPECT_GT(RetryAfterSeconds(status), 0);
  }

  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_P(LedgerContractTest, TheFirstNoteStands) {
  const auto first = Enter({MakeRefund(100, "first")});
  const auto second = Enter({MakeRefund(100, "second"), MakeRefund(101, "second")});
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].note_identity, first[0].note_identity);
  EXPECT_EQ(*second[0].receipt, "receipt of first");
  EXPECT_EQ(*second[0].note, "first");
  EXPECT_EQ(*second[1].receipt, "receipt of second");
  // After a restart too.
  ledger_ = Open();
  const auto found = ledger_->Find(MakeRefund(100, "").key);
  ASSERT_TRUE(found.ok() && found->has_value());
  const Refund& stored = **found;
  EXPECT_EQ(*stored.receipt, "receipt of first");
  EXPECT_EQ(*stored.note, "first");
  EXPECT_EQ(stored.payer_reference, MakeRefund(100, "").payer_reference);
  EXPECT_EQ(stored.amount_minor, 10u);
  EXPECT_EQ(stored.decided, kNow);
  EXPECT_FALSE(ledger_->Find(MakeRefund(109, "").key)->has_value());
}

TEST_P(LedgerContractTest, AnswersInTheOrderOfTheNote) {
  const auto entered = Enter({MakeRefund(203, "n"), MakeRefund(201, "n"), MakeRefund(202, "n")});
  ASSERT_EQ(entered.size(), 3u);
  EXPECT_EQ(entered[0].ledger_id, "id203");
  EXPECT_EQ(entered[1].ledger_id, "id201");
  EXPECT_EQ(entered[2].ledger_id, "id202");
}

TEST_P(LedgerContractTest, HoldsANoteOnceHoweverManyVouchersItHas) {
  constexpr uint32_t kVouchers = 1200;  // more than one statement takes
  const auto refunds = [](std::shared_ptr<const std::string> note) {
    const Digest identity = Sha256(AsBytes(*note));
    std::vector<Refund> made;
    for (uint32_t i = 0; i < kVouchers; ++i) {
      made.push_back(MakeRefund(250'000 + i, "", i % 100 == 0 ? 10 : 0));
      made.back().note_identity = identity;
      made.back().receipt = std::make_shared<const std::string>(note->substr(0, 9));
      made.back().note = note;
    }
    return made;
  };
  const auto first = std::make_shared<const std::string>(1 << 20, 'f');
  const auto second = std::make_shared<const std::string>("another note");
  const Digest identity = Sha256(AsBytes(*first));
  for (const auto& note : {first, first, second}) {
    const auto standing = Enter(refunds(note));
    ASSERT_EQ(standing.size(), kVouchers);
    EXPECT_EQ(*standing[0].note, *first);
    for (uint32_t i = 0; i < kVouchers; ++i) {
      EXPECT_EQ(standing[i].key, MakeRefund(250'000 + i, "").key);
      EXPECT_EQ(standing[i].note_identity, identity);
      EXPECT_EQ(standing[i].amount_minor, i % 100 == 0 ? 10u : 0u);
      EXPECT_EQ(*standing[i].receipt, "fffffffff");
      EXPECT_EQ(standing[i].note, standing[0].note) << "another copy";
    }
  }
}

TEST_P(LedgerContractTest, ManyWritersOfOneVoucherAgree) {
  // Of two ledgers, as two desks have them.
  std::unique_ptr<Ledger> other = Open();
  std::vector<std::thread> writers;
  std::vector<std::string> receipts(32);
  for (int i = 0; i < 32; ++i) {
    writers.emplace_back([&, i] {
      const std::string note = "note " + std::to_string(i);
      Ledger& ledger = i % 2 == 0 ? *ledger_ : *other;
      // Opposite orders, which must not lock each other out.
      std::vector<Refund> refunds = {MakeRefund(300, note), MakeRefund(301, note)};
      if (i % 4 < 2) std::swap(refunds[0], refunds[1]);
      const auto entered = EnterAndWait(ledger, refunds);
      ASSERT_TRUE(entered.ok()) << entered.status();
      receipts[i] = *(*entered)[0].receipt;
      EXPECT_EQ(*(*entered)[1].receipt, receipts[i]);
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(std::set<std::string>(receipts.begin(), receipts.end()).size(), 1u);
}

TEST_P(LedgerContractTest, AClaimedPaymentIsNobodyElsesUntilItsLeaseEnds) {
  Enter({MakeRefund(400, "n"), MakeRefund(401, "n", 0)});
  const auto claim = [&](Timestamp now) {
    auto payments = ledger_->ClaimPayments(now, seconds(10), 1000);
    EXPECT_TRUE(payments.ok()) << payments.status();
    std::erase_if(*payments, [](const Payment& p) { return p.refund.ledger_id[2] != '4'; });
    return *payments;
  };
  const auto claimed = claim(kNow);
  ASSERT_EQ(claimed.size(), 1u);
  EXPECT_EQ(claimed[0].refund.ledger_id, "id400");
  EXPECT_EQ(claimed[0].refund.payer_reference, MakeRefund(400, "").payer_reference);
  EXPECT_EQ(claimed[0].attempts, 0u);
  EXPECT_TRUE(claim(kNow + seconds(9)).empty());
  const auto again = claim(kNow + seconds(10));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].attempts, 1u);
  ASSERT_TRUE(ledger_->PostponePayment("id400", kNow + seconds(100)).ok());
  EXPECT_TRUE(claim(kNow + seconds(99)).empty());
  EXPECT_EQ(claim(kNow + seconds(100)).size(), 1u);
  ASSERT_TRUE(ledger_->FinishPayment("id400", kNow).ok());
  EXPECT_TRUE(claim(kNow + seconds(1000)).empty());
}

TEST_P(LedgerContractTest, SumsUp) {
  const auto before = ledger_->Summarise(5);
  ASSERT_TRUE(before.ok()) << before.status();
  Enter({MakeRefund(500, "n"), MakeRefund(501, "n", 0)});
  const auto summary = ledger_->Summarise(5);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_GE(summary->recent.size(), 2u);
  const uint64_t paid = before->paid.empty() ? 0 : before->paid[0].amount_minor;
  ASSERT_EQ(summary->paid.size(), 1u);
  EXPECT_EQ(summary->paid[0].currency, "EUR");
  EXPECT_EQ(summary->paid[0].amount_minor, paid + 10);
  ASSERT_EQ(summary->refused.size(), 1u);
  EXPECT_EQ(summary->refused[0].first, "NOTHING_OWED");
  EXPECT_GE(ledger_->Outbox()->pending, 1u);
  EXPECT_TRUE(ledger_->Probe().ok());
}

INSTANTIATE_TEST_SUITE_P(Every, LedgerContractTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& info) { return std::string(info.param); });

// Files of this process can not grow for a while: what a full disk does to SQLite.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit full{4096, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class SqliteLedgerTest : public LedgerContractTest {};
INSTANTIATE_TEST_SUITE_P(Only, SqliteLedgerTest, testing::Values("sqlite"));

TEST_P(SqliteLedgerTest, AFullDiskWritesNothingAndPasses) {
  Enter({MakeRefund(1, "before")});
  {
    const FullDisk full;
    ExpectUnavailable(
        EnterAndWait(*ledger_, {MakeRefund(2, "full"), MakeRefund(3, "full")}).status());
    ExpectUnavailable(ledger_->Probe());
  }
  EXPECT_TRUE(ledger_->Probe().ok());
  EXPECT_FALSE(ledger_->Find(MakeRefund(2, "").key)->has_value());
  EXPECT_FALSE(ledger_->Find(MakeRefund(3, "").key)->has_value());
  EXPECT_EQ(*Enter({MakeRefund(2, "after")})[0].receipt, "receipt of after");
  EXPECT_EQ(*Enter({MakeRefund(1, "after")})[0].receipt, "receipt of before");
}

class PostgresLedgerTest : public LedgerContractTest {};
INSTANTIATE_TEST_SUITE_P(Only, PostgresLedgerTest, testing::Values("postgresql"));

TEST_P(PostgresLedgerTest, ADatabaseThatIsGoneAndComesBack) {
  Enter({MakeRefund(601, "before")});
  Server().Crash();
  ExpectUnavailable(EnterAndWait(*ledger_, {MakeRefund(602, "gone")}).status());
  ExpectUnavailable(ledger_->Probe());
  ExpectUnavailable(ledger_->Find(MakeRefund(601, "").key).status());
  Server().Start();
  EXPECT_TRUE(ledger_->Probe().ok());
  EXPECT_EQ(*Enter({MakeRefund(601, "after")})[0].receipt, "receipt of before");
  EXPECT_EQ(*Enter({MakeRefund(602, "after")})[0].receipt, "receipt of after");
}

// pg_dump locks every table so, for as long as it takes.
TEST_P(PostgresLedgerTest, IsProbedWhileItIsDumped) {
  Connection dump(Server().url());
  ASSERT_TRUE(dump.RunScript("BEGIN; LOCK TABLE probe IN ACCESS SHARE MODE").ok());
  for (int i = 0; i < 3; ++i) {
    const absl::Status probed = ledger_->Probe();
    EXPECT_TRUE(probed.ok()) << probed;
  }
  const auto rows = [&] {
    const auto counted = dump.Run("SELECT count(*) FROM probe");
    return counted.ok() ? Number(counted->get(), 0, 0) : 0;
  };
  EXPECT_GE(rows(), 3u);
  ASSERT_TRUE(dump.RunScript("COMMIT").ok());
  EXPECT_TRUE(ledger_->Probe().ok());
  EXPECT_EQ(rows(), 1u);
}

TEST_P(PostgresLedgerTest, NobodyWaitsForTheTotals) {
  Connection other(Server().url());
  ASSERT_TRUE(other.RunScript("BEGIN; LOCK TABLE refunds IN ACCESS EXCLUSIVE MODE").ok());
  std::atomic<bool> summed{false};
  std::thread page([&] {
    EXPECT_TRUE(ledger_->Summarise(5).ok());
    summed = true;
  });
  const auto waiting = [&] {
    const auto counted = other.Run("SELECT count(*) FROM pg_locks WHERE NOT granted");
    return !counted.ok() || Number(counted->get(), 0, 0) > 0;
  };
  while (!waiting()) std::this_thread::yield();
  EXPECT_TRUE(ledger_->Outbox().ok());
  EXPECT_TRUE(ledger_->Probe().ok());
  EXPECT_FALSE(summed);
  ASSERT_TRUE(other.RunScript("COMMIT").ok());
  page.join();
}

TEST_P(PostgresLedgerTest, ReadsBytesHoweverTheServerWouldWriteThem) {
  Connection owner(Server().url());
  ASSERT_TRUE(owner.RunScript("ALTER ROLE desk SET bytea_output = 'escape'").ok());
  ledger_ = Open();
  Enter({MakeRefund(701, "n")});
  const auto found = ledger_->Find(MakeRefund(701, "").key);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->payer_reference, MakeRefund(701, "").payer_reference);
  ASSERT_TRUE(owner.RunScript("ALTER ROLE desk RESET bytea_output").ok());
}

TEST_P(PostgresLedgerTest, GivesUpAServerThatStandsStill) {
  Enter({MakeRefund(801, "n")});
  Connection other(Server().url());
  const auto found = other.Run(
      "SELECT pid FROM pg_stat_activity WHERE usename = 'desk' AND pid <> pg_backend_pid()");
  ASSERT_TRUE(found.ok()) << found.status();
  const int count = PQntuples(found->get());
  ASSERT_GT(count, 0);
  const auto signal_all = [&](int number) {
    for (int i = 0; i < count; ++i) {
      EXPECT_EQ(::kill(static_cast<pid_t>(Number(found->get(), i, 0)), number), 0);
    }
  };
  signal_all(SIGSTOP);
  // More than a socket holds.
  Refund large = MakeRefund(802, "n");
  large.note = std::make_shared<const std::string>(std::string(4 << 20, 'n'));
  std::thread entering([&] { ExpectUnavailable(EnterAndWait(*ledger_, {large}).status()); });
  ExpectUnavailable(ledger_->Find(MakeRefund(801, "").key).status());
  entering.join();
  signal_all(SIGCONT);
  EXPECT_TRUE(ledger_->Find(MakeRefund(801, "").key)->has_value());
  Enter({large});
}

TEST(PostgresLedgerUrlTest, HoldsNoPassword) {
  const auto opened = OpenPostgresLedger("postgresql://desk:hush@localhost/ledger");
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(opened.status().message().find("hush"), absl::string_view::npos);
}

}  // namespace
}  // namespace nark::refunds
