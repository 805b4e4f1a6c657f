#include "common/rpc/acceptor.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/status.h"

namespace nark::rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// Holds what is taken in, as a server does.
class AcceptorTest : public testing::Test {
 protected:
  ~AcceptorTest() override {
    if (acceptor_ != nullptr) acceptor_->Stop();
    absl::MutexLock lock(&mutex_);
    for (const int fd : taken_) close(fd);
  }
  void Start(ConnectionCap cap) {
    auto made = Acceptor::Listen(*ParseAddress("127.0.0.1:0"), cap);
    ASSERT_TRUE(made.ok()) << made.status();
    acceptor_ = *std::move(made);
    acceptor_->Run([this](int fd) {
      absl::MutexLock lock(&mutex_);
      taken_.push_back(fd);
    });
  }
  // A client that has said something, or nothing.
  net::Descriptor Dial(bool speak = true) { return speak ? DialAndSay("x") : DialAndSay(""); }
  net::Descriptor DialAndSay(const std::string& text) {
    net::Descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(acceptor_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(client.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(send(client.fd(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    return client;
  }
  void AwaitTaken(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return taken_.size() >= count; };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(30)));
  }
  size_t taken() {
    absl::MutexLock lock(&mutex_);
    return taken_.size();
  }
  void CloseTaken(size_t at) {
    absl::MutexLock lock(&mutex_);
    close(taken_[at]);
    taken_.erase(taken_.begin() + static_cast<ptrdiff_t>(at));
  }
  // Whether the other side of a client has hung up, waiting for it as long as it takes.
  static bool HungUp(const net::Descriptor& client) {
    pollfd wait{.fd = client.fd(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, 30'000) != 1) return false;
    char byte;
    return recv(client.fd(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

  std::unique_ptr<Acceptor> acceptor_;
  absl::Mutex mutex_;
  std::vector<int> taken_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(AcceptorTest, HandsOverWhoSpeaks) {
  Start({.connections = 10});
  const auto one = Dial(), two = Dial();
  AwaitTaken(2);
  EXPECT_EQ(acceptor_->counts().accepted, 2u);
  EXPECT_EQ(acceptor_->counts().held, 2u);
}

// Else an answer of two frames waits for the peer to acknowledge the first.
TEST_F(AcceptorTest, HoldsNoAnswerBack) {
  Start({.connections = 10});
  const auto client = Dial();
  AwaitTaken(1);
  absl::MutexLock lock(&mutex_);
  int no_delay = 0;
  socklen_t size = sizeof no_delay;
  ASSERT_EQ(getsockopt(taken_[0], IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  EXPECT_NE(no_delay, 0);
}

TEST_F(AcceptorTest, LeavesWhoSaysNothingToTheKernel) {
  Start({.connections = 10});
  std::vector<net::Descriptor> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(Dial(false));
  const auto client = Dial();
  AwaitTaken(1);
  EXPECT_EQ(acceptor_->counts().accepted, 1u);
}

// However many have begun a handshake and say no more, who says all of it gets in at once.
TEST_F(AcceptorTest, WhoSaysHalfMakesRoomForWhoSaysAll) {
  Start({.connections = 3, .idle = hours(1)});
  const std::string hello = std::string("\x16\x03\x01\x00\x04", 5) + "HELO";
  std::vector<net::Descriptor> slow;
  for (int i = 0; i < 10; ++i) slow.push_back(DialAndSay(hello.substr(0, 6)));
  while (acceptor_->counts().accepted + acceptor_->counts().turned_away < 10) {
    std::this_thread::yield();
  }
  EXPECT_EQ(acceptor_->counts().held, 3u);
  EXPECT_EQ(taken(), 0u) << "the server sees none of them";
  std::vector<net::Descriptor> whole;
  for (size_t i = 0; i < 3; ++i) {
    whole.push_back(DialAndSay(hello));
    AwaitTaken(i + 1);
  }
  EXPECT_EQ(acceptor_->counts().evicted, 3u);
  EXPECT_TRUE(HungUp(DialAndSay(hello))) << "the rest is held by who has said all";
}

TEST_F(AcceptorTest, HandsOverWhatBecomesWhole) {
  Start({.connections = 3});
  const auto client = DialAndSay(std::string("\x16\x03\x01\x00\x04", 5));
  while (acceptor_->counts().held < 1) std::this_thread::yield();
  EXPECT_EQ(taken(), 0u);
  EXPECT_EQ(send(client.fd(), "HELO", 4, MSG_NOSIGNAL), 4);
  AwaitTaken(1);
}

TEST_F(AcceptorTest, TurnsAwayMoreThanItMayHold) {
  Start({.connections = 3, .idle = hours(1)});
  std::vector<net::Descriptor> clients;
  for (size_t i = 0; i < 3; ++i) {
    clients.push_back(Dial());
    AwaitTaken(i + 1);
  }
  EXPECT_TRUE(HungUp(Dial()));
  EXPECT_EQ(acceptor_->counts().turned_away, 1u);
  EXPECT_EQ(taken(), 3u);
}

// Nobody tells the acceptor that a connection has ended.
TEST_F(AcceptorTest, CountsOutWhatHasEnded) {
  Start({.connections = 3, .idle = hours(1)});
  std::vector<net::Descriptor> clients;
  for (size_t i = 0; i < 3; ++i) {
    clients.push_back(Dial());
    AwaitTaken(i + 1);
  }
  CloseTaken(1);
  const auto next = Dial();
  AwaitTaken(3);
  EXPECT_EQ(acceptor_->counts().accepted, 4u);
  EXPECT_EQ(acceptor_->counts().turned_away + acceptor_->counts().evicted, 0u);
}

// A descriptor's number goes to something else as soon as it is closed.
TEST_F(AcceptorTest, HarmsNothingThatHasTheNumberOfWhatHasEnded) {
  Start({.connections = 1, .idle = milliseconds(0)});
  const auto client = Dial();
  AwaitTaken(1);
  int pair[2];
  {
    absl::MutexLock lock(&mutex_);
    const int number = taken_[0];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ASSERT_EQ(dup2(pair[0], number), number);
    close(pair[0]);
    pair[0] = number;
    taken_.clear();
  }
  std::vector<net::Descriptor> more;
  for (int i = 0; i < 5; ++i) {
    more.push_back(Dial());
    AwaitTaken(static_cast<size_t>(i + 1));
  }
  EXPECT_EQ(send(pair[0], "x", 1, MSG_NOSIGNAL), 1);
  char byte;
  EXPECT_EQ(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
  close(pair[0]);
  close(pair[1]);
}

TEST_F(AcceptorTest, TheLongestSilentMakesRoom) {
  Start({.connections = 3, .idle = milliseconds(0)});
  std::vector<net::Descriptor> clients;
  for (size_t i = 0; i < 3; ++i) {
    clients.push_back(Dial());
    AwaitTaken(i + 1);
  }
  // The kernel counts silence in milliseconds.
  usleep(20'000);
  for (const int speaker : {0, 2}) ASSERT_EQ(send(clients[speaker].fd(), "y", 1, MSG_NOSIGNAL), 1);
  const auto next = Dial();
  AwaitTaken(4);
  EXPECT_TRUE(HungUp(clients[1]));
  EXPECT_EQ(acceptor_->counts().evicted, 1u);
  char byte;
  for (const int speaker : {0, 2}) {
    EXPECT_LT(recv(clients[speaker].fd(), &byte, 1, MSG_DONTWAIT), 0);
    EXPECT_EQ(errno, EAGAIN);
  }
}

TEST_F(AcceptorTest, SurvivesTheEndOfDescriptors) {
  Start({.connections = 1000, .idle = hours(1)});
  std::vector<net::Descriptor> ballast, clients;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // The client's sockets are made first: they come out of the same number.
  for (int i = 0; i < 4; ++i) clients.push_back(Dial(false));
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd = 0; (fd = dup(0)) >= 0;) ballast.emplace_back(fd);
  for (const net::Descriptor& client : clients) {
    ASSERT_EQ(send(client.fd(), "x", 1, MSG_NOSIGNAL), 1);
    EXPECT_TRUE(HungUp(client));
  }
  EXPECT_EQ(acceptor_->counts().turned_away, 4u);
  EXPECT_EQ(taken(), 0u);
  ballast.clear();
  const auto next = Dial();
  AwaitTaken(1);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(AcceptorTest, GivesThePortBackWhenItStops) {
  Start({});
  const std::string where = "127.0.0.1:" + std::to_string(acceptor_->port());
  const absl::Status taken = Acceptor::Listen(*ParseAddress(where), {}).status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(taken.message(), where + ": Address already in use");
  acceptor_->Stop();
  EXPECT_TRUE(Acceptor::Listen(*ParseAddress(where), {}).ok());
}

TEST(MostConnectionsTest, FitIntoHalfOfTheMemory) {
  EXPECT_EQ(MostConnectionsWithin(1 << 20, 512 << 20), 910u);
  EXPECT_EQ(MostConnectionsWithin(1024, uint64_t{1} << 40), 1024u - 128u);
  EXPECT_EQ(MostConnectionsWithin(1024, 1 << 20), 16u);
}

TEST(MostConnectionsTest, LeavesDescriptorsForTheRest) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 600;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(MostConnections(), 600u - 128u);
  low.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(MostConnections(), 16u);
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace nark::rpc
