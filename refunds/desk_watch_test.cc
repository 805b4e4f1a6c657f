#include "refunds/desk_watch.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "refunds/sqlite_ledger.h"

namespace nark::refunds {
namespace {

class DeskWatchTest : public testing::Test {
 protected:
  DeskWatchTest() {
    char pattern[] = "/tmp/nark-watch-XXXXXX";
    folder_ = mkdtemp(pattern);
    ledger_ = *OpenSqliteLedger(folder_ + "/ledger.db");
  }
  ~DeskWatchTest() override {
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }
  std::string folder_;
  std::unique_ptr<Ledger> ledger_;
  serve::Metrics metrics_;
};

TEST_F(DeskWatchTest, KnowsWhetherTheLedgerTakesAWrite) {
  DeskWatch watch(metrics_, *ledger_);
  EXPECT_TRUE(watch.CheckLedger().ok());
  watch.OnProbe(LedgerUnavailable("gone"));
  EXPECT_EQ(ReasonOf(watch.CheckLedger()), "LEDGER_UNAVAILABLE");
  watch.OnProbe(absl::OkStatus());
  EXPECT_TRUE(watch.CheckLedger().ok());
}

TEST_F(DeskWatchTest, ALedgerThatHangsDoesNotWork) {
  DeskWatch watch(metrics_, *ledger_, std::chrono::milliseconds(200));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (watch.CheckLedger().ok() && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_EQ(ReasonOf(watch.CheckLedger()), "LEDGER_UNAVAILABLE");
}

}  // namespace
}  // namespace nark::refunds
