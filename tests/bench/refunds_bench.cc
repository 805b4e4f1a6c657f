// Notes a second of one refund desk, verified and durable, beside the limit of the same
// run: verifying alone (the desk over a ledger that keeps nothing) and the bare ledger
// (the same refunds, the same group commit), one after the other on the same cores. Every
// note is of another secure space and another purchase: two hours at 30 ADU/s, 1 % lost.
// Wall-clock time; medians of interleaved rounds. One JSON line a figure.

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/object/envelope.h"
#include "common/object/id_codec.h"
#include "common/object/testing.h"
#include "refunds/desk.h"
#include "refunds/postgres_ledger.h"
#include "refunds/sqlite_ledger.h"
#include "tests/harness/postgres.h"

namespace nark::bench {
namespace {

using refunds::Desk;
using refunds::Ledger;
using refunds::Refund;

constexpr int kRounds = 5;
constexpr size_t kNotes = 4000;
constexpr size_t kInFlight = 256;
constexpr uint64_t kAdus = 2 * 3600 * 30;
constexpr uint64_t kLossOneIn = 100;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "refunds_bench: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Must<int>(status);
}

double Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(part * static_cast<double>(values.size())))];
}
double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

// All that is made before a clock starts.
class Prepared {
 public:
  Prepared() : session_(provider_.MakeSession()) {
    for (size_t i = 0; i < kNotes; ++i) files_.push_back(MakeFile(i));
  }
  const std::vector<v1::NoteFile>& files() const { return files_; }

  std::unique_ptr<Desk> OpenDesk(Ledger& ledger) {
    auto key = Must(PrivateKey::FromPkcs8(*provider_.refunds.key.ToPkcs8()));
    return Must(Desk::Create(
        {provider_.root.certificate, {std::move(key), provider_.refunds.certificate, {}}},
        Must(Trust::Create({provider_.issuer.certificate}, {}, std::nullopt)), clock_, ledger));
  }

 private:
  static IdSet Delivered(uint64_t seed) {
    std::mt19937_64 random(seed);
    std::geometric_distribution<uint64_t> run(1.0 / kLossOneIn);
    IdSet ids;
    for (uint64_t id = 0; id < kAdus;) {
      const uint64_t present = run(random);
      if (present > 0) ids.Insert(id, std::min(kAdus, id + present) - 1);
      id += present + 1;
    }
    return ids;
  }

  v1::NoteFile MakeFile(uint64_t seed) {
    const TestSecureSpace space = provider_.MakeSecureSpace();
    VoucherOptions options;
    options.secure_space_id = space.id;
    options.policy.mutable_range()->set_last(kAdus - 1);
    options.payer_reference = "payer " + std::to_string(seed);
    options.price.emplace();
    options.price->set_amount_minor(1000);
    options.price->set_currency("EUR");
    v1::DeliveryNote note;
    *note.mutable_session() = session_.name().ToProto();
    note.set_terms_identity(ToText(session_.session().terms_identity()));
    note.set_secure_space_id(ToText(space.id));
    note.set_assurance(v1::ASSURANCE_CLASS_EMULATED);
    *note.add_vouchers()->mutable_voucher() = provider_.MakeVoucher(session_, options);
    note.mutable_vouchers(0)->set_granted(true);
    v1::SenderReceipts& receipts = *note.add_receipts();
    receipts.set_sender_id(1);
    receipts.set_delivered(ToText(Must(PackIds(Delivered(seed)))));
    receipts.set_late(ToText(Must(PackIds(IdSet()))));
    note.set_status(v1::NOTE_STATUS_FINAL);
    v1::NoteFile file;
    *file.mutable_note() =
        Must(SignEnvelope(payload_type::kDeliveryNote, Serialise(note), space.note_key, {}));
    file.add_secure_space_certificates(ToText(space.certificate.der()));
    *file.mutable_session_descriptor() = session_.descriptor();
    return file;
  }

  TestProvider provider_;
  TestSession session_;
  ManualClock clock_{kTestTime};
  std::vector<v1::NoteFile> files_;
};

// Keeps nothing, and what it was told for once.
class NullLedger final : public Ledger {
 public:
  void Enter(std::vector<Refund> refunds, Entered done) override {
    {
      absl::MutexLock lock(&mutex_);
      if (told_.size() < kNotes) told_.push_back(refunds);
    }
    done(std::move(refunds));
  }
  absl::StatusOr<std::optional<Refund>> Find(const refunds::RefundKey&) override {
    return std::nullopt;
  }
  absl::StatusOr<std::vector<refunds::Payment>> ClaimPayments(Timestamp, std::chrono::microseconds,
                                                              int) override {
    return std::vector<refunds::Payment>();
  }
  absl::Status FinishPayment(const std::string&, Timestamp) override { return absl::OkStatus(); }
  absl::Status PostponePayment(const std::string&, Timestamp) override { return absl::OkStatus(); }
  absl::StatusOr<refunds::LedgerSummary> Summarise(int) override {
    return refunds::LedgerSummary();
  }
  absl::StatusOr<refunds::OutboxState> Outbox() override { return refunds::OutboxState(); }
  absl::Status Probe() override { return absl::OkStatus(); }

  std::vector<std::vector<Refund>> told() {
    absl::MutexLock lock(&mutex_);
    return told_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::vector<Refund>> told_ ABSL_GUARDED_BY(mutex_);
};

struct Measured {
  double per_second = 0;
  double cpu_us = 0;  // of this process, each
  double p99_ms = 0;
};

// Does `begin(i, done)` for every note, on as many threads as there are cores, with at
// most kInFlight not done.
Measured Run(const std::function<void(size_t, std::function<void()>)>& begin) {
  absl::Mutex mutex;
  size_t in_flight = 0;
  std::vector<double> seconds(kNotes);
  std::atomic<size_t> next = 0;
  const double wall = Now(CLOCK_MONOTONIC), cpu = Now(CLOCK_PROCESS_CPUTIME_ID);
  const auto work = [&] {
    for (size_t i = next++; i < kNotes; i = next++) {
      const auto room = [&] { return in_flight < kInFlight; };
      mutex.LockWhen(absl::Condition(&room));
      ++in_flight;
      mutex.Unlock();
      const double start = Now(CLOCK_MONOTONIC);
      begin(i, [&, i, start] {
        absl::MutexLock lock(&mutex);
        seconds[i] = Now(CLOCK_MONOTONIC) - start;
        --in_flight;
      });
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) thread.join();
  const auto none = [&] { return in_flight == 0; };
  mutex.LockWhen(absl::Condition(&none));
  mutex.Unlock();
  return {kNotes / (Now(CLOCK_MONOTONIC) - wall),
          1e6 * (Now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / kNotes, 1e3 * Quantile(seconds, 0.99)};
}

Measured RunDesk(Prepared& prepared, Ledger& ledger) {
  const std::unique_ptr<Desk> desk = prepared.OpenDesk(ledger);
  std::atomic<size_t> paid = 0;
  const Measured measured = Run([&](size_t i, std::function<void()> done) {
    desk->Submit(prepared.files()[i], [&, done = std::move(done)](auto answer) {
      const v1::SubmitDeliveryNoteResponse response = Must(std::move(answer));
      v1::RefundReceipt receipt;
      if (receipt.ParseFromString(response.receipts(0).payload()) &&
          receipt.status() == v1::REFUND_STATUS_PAID) {
        ++paid;
      }
      done();
    });
  });
  if (paid != kNotes) Must(absl::InternalError("not every note was paid"));
  return measured;
}

Measured RunLedger(const std::vector<std::vector<Refund>>& refunds, Ledger& ledger) {
  return Run([&](size_t i, std::function<void()> done) {
    ledger.Enter(refunds[i], [done = std::move(done)](auto entered) {
      Must(entered.status());
      done();
    });
  });
}

// Gives a new, empty ledger each time.
using Opener = std::function<std::unique_ptr<Ledger>(const std::string& folder)>;

void Figure(const char* figure, Prepared& prepared, const Opener& open) {
  std::vector<double> values, limits, verifying, entering, cpu, p99;
  char path[] = "/var/tmp/nark-bench-XXXXXX";
  const std::string root = mkdtemp(path);
  for (int round = 0; round < kRounds; ++round) {
    NullLedger none;
    verifying.push_back(RunDesk(prepared, none).per_second);
    entering.push_back(
        RunLedger(none.told(), *open(root + "/bare" + std::to_string(round))).per_second);
    const Measured desk = RunDesk(prepared, *open(root + "/desk" + std::to_string(round)));
    values.push_back(desk.per_second);
    cpu.push_back(desk.cpu_us);
    p99.push_back(desk.p99_ms);
    limits.push_back(1 / (1 / verifying.back() + 1 / entering.back()));
  }
  std::filesystem::remove_all(root);
  const double value = Median(values), limit = Median(limits);
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"notes/s\","
      "\"limit_is\":\"verifying alone, then the bare ledger alone\",\"detail\":{"
      "\"verified_per_s\":%.0f,\"entered_per_s\":%.0f,\"cpu_us_a_note\":%.0f,\"p99_ms\":%.1f,"
      "\"note_file_bytes\":%zu}}\n",
      figure, value, limit, value / limit, Median(verifying), Median(entering), Median(cpu),
      Median(p99), prepared.files().front().ByteSizeLong());
  std::fflush(stdout);
}

void RunAll() {
  Prepared prepared;
  Figure("refunds sqlite", prepared, [](const std::string& folder) {
    std::filesystem::create_directory(folder);
    return Must(refunds::OpenSqliteLedger(folder + "/ledger.db"));
  });
  std::unique_ptr<harness::Postgres> server;
  Figure("refunds postgresql", prepared, [&](const std::string&) {
    server = nullptr;
    server = std::make_unique<harness::Postgres>();
    return Must(refunds::OpenPostgresLedger(server->url()));
  });
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::RunAll();
  return 0;
}
