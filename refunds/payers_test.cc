// The provider's side as it really is: a program, and an HTTP server.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "common/serve/api_server.h"
#include "refunds/command_payer.h"
#include "refunds/http_payer.h"

namespace nark::refunds {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Sanitized programs on a busy machine are slow.
constexpr seconds kPatience{60};
const PaymentOrder kOrder{"abc123", R"({"idempotency_key":"abc123","amount_minor":20})"};

class CommandPayerTest : public testing::Test {
 protected:
  CommandPayerTest() {
    char pattern[] = "/tmp/nark-payers-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~CommandPayerTest() override { std::filesystem::remove_all(folder_); }

  std::string Script(const std::string& body) {
    const std::string path = folder_ + "/hook";
    std::ofstream(path) << "#!/bin/sh\ncd " << folder_ << "\n" << body << "\n";
    ::chmod(path.c_str(), 0700);
    return path;
  }
  std::unique_ptr<Payer> Make(const std::string& body, milliseconds timeout = kPatience) {
    auto made = MakeCommandPayer(Script(body), timeout);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  std::string Read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/" + name).rdbuf();
    return text.str();
  }
  void AwaitFile(const std::string& name) const {
    while (!std::filesystem::exists(folder_ + "/" + name)) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  std::string folder_;
};

TEST_F(CommandPayerTest, GivesTheOrderOnStdinAndBelievesTheExitStatus) {
  EXPECT_TRUE(Make("cat > taken")->Pay(kOrder).ok());
  EXPECT_EQ(Read("taken"), kOrder.json + "\n");
  const absl::Status failed = Make("exit 3")->Pay(kOrder);
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(failed.message().find("exit status 3"), std::string::npos) << failed;
  EXPECT_NE(Make("kill -9 $$")->Pay(kOrder).message().find("signal 9"), std::string::npos);
  // Who does not read it is asked no less for his exit status.
  EXPECT_TRUE(Make("exec true")->Pay(kOrder).ok());
}

// As some supervisors start what they start.
TEST_F(CommandPayerTest, KnowsTheExitStatusWhereEndedChildrenWereIgnored) {
  ::signal(SIGCHLD, SIG_IGN);
  const absl::Status paid = Make("exit 0")->Pay(kOrder);
  EXPECT_TRUE(paid.ok()) << paid;
}

TEST_F(CommandPayerTest, LetsItSeeNothingOfTheDesk) {
  const int secret = ::open(Script("").c_str(), O_RDONLY);  // without close-on-exec
  ASSERT_GE(secret, 3);
  ASSERT_TRUE(Make("ls /proc/self/fd > seen")->Pay(kOrder).ok());
  ::close(secret);
  std::istringstream seen(Read("seen"));
  int highest = 0;
  for (int fd; seen >> fd;) highest = std::max(highest, fd);
  EXPECT_LE(highest, 3) << Read("seen");  // 3 is ls' own, of the folder
}

TEST_F(CommandPayerTest, LetsItReadNoPasswordOfTheLedger) {
  setenv("PGPASSWORD", "secret", 1);
  setenv("NARK_LEDGER", "secret", 1);
  setenv("PAYMENTS_OF", "kept", 1);
  ASSERT_TRUE(Make("env > seen")->Pay(kOrder).ok());
  EXPECT_EQ(Read("seen").find("secret"), std::string::npos) << Read("seen");
  EXPECT_NE(Read("seen").find("PAYMENTS_OF=kept"), std::string::npos) << Read("seen");
}

TEST_F(CommandPayerTest, KillsWhatTakesTooLongWithItsChildren) {
  auto payer = Make("sleep 1000 & echo $! > child; touch ready; wait", milliseconds(500));
  const absl::Status late = payer->Pay(kOrder);
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
  const std::string child = Read("child");
  ASSERT_FALSE(child.empty());
  // Whoever inherits it reaps it.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  const auto alive = [&] {
    std::ifstream stat("/proc/" + child.substr(0, child.find('\n')) + "/stat");
    std::string pid, name, state;
    return (stat >> pid >> name >> state) && state != "Z";
  };
  while (alive() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_FALSE(alive());
}

TEST_F(CommandPayerTest, CancelEndsItAndAllThatFollow) {
  auto payer = Make("touch ready; sleep 1000");
  std::thread cancel([&] {
    AwaitFile("ready");
    payer->Cancel();
  });
  EXPECT_EQ(payer->Pay(kOrder).code(), absl::StatusCode::kCancelled);
  cancel.join();
  EXPECT_EQ(payer->Pay(kOrder).code(), absl::StatusCode::kCancelled);
}

TEST_F(CommandPayerTest, RefusesWhatIsNoProgram) {
  EXPECT_FALSE(MakeCommandPayer(folder_ + "/absent", kPatience).ok());
  EXPECT_FALSE(MakeCommandPayer(folder_, kPatience).ok());
  const std::string path = Script("exit 0");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(MakeCommandPayer(path, kPatience).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(HttpPayerTest, PostsTheOrderWithItsKey) {
  serve::ApiRequest taken;
  const auto server = serve::ApiServer::Start(
      {.listen = "127.0.0.1:0", .handle = [&](const serve::ApiRequest& request) {
         taken = request;
         return serve::ApiAnswer{request.path == "/pay" ? 201 : 500, "{}"};
       }});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto pay = [&](const std::string& path) {
    return (*MakeHttpPayer({.url = "http://" + (*server)->address() + path,
                            .ca_file = "",
                            .timeout = kPatience}))
        ->Pay(kOrder);
  };
  EXPECT_TRUE(pay("/pay").ok());
  EXPECT_EQ(taken.method, "POST");
  EXPECT_EQ(taken.body, kOrder.json);
  EXPECT_EQ(taken.idempotency_key, kOrder.idempotency_key);
  EXPECT_EQ(taken.content_type, "application/json");
  EXPECT_EQ(pay("/elsewhere").code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace nark::refunds
