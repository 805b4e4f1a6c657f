// Hostile, slow and unfortunate peers of a secure space's socket.

#include "securespace/socket_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "securespace/frame.h"
#include "securespace/messages.h"
#include "securespace/remote.h"
#include "securespace/testing.h"

namespace nark::securespace {
namespace {

// A peer that says what it likes.
class RawPeer {
 public:
  explicit RawPeer(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawPeer() { close(fd_); }
  bool Say(std::string_view text) const {
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  // Everything until the server closes.
  std::string Listen() const {
    std::string heard;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(fd_, buffer, sizeof buffer, 0)) > 0) heard.append(buffer, got);
    return heard;
  }

 private:
  const int fd_;
};

class SocketServerTest : public testing::Test {
 protected:
  SocketServerTest() {
    char path[] = "/tmp/nark-XXXXXX";
    folder_ = mkdtemp(path);
    socket_ = folder_ + "/socket";
  }
  ~SocketServerTest() override {
    server_.reset();
    rmdir(folder_.c_str());
  }
  void Start(SocketLimits limits = {}) {
    auto server = SocketServer::Start(world_.space(), socket_, std::move(limits));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  absl::Status Honest() { return (*ConnectSecureSpace(socket_))->GetIdentity().status(); }

  TestWorld world_;
  std::string folder_, socket_;
  std::unique_ptr<SocketServer> server_;
};

const std::string kPreamble(kFramePreamble);

TEST_F(SocketServerTest, ClosesOnGarbage) {
  Start();
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100, '\0'), std::string("NARKSS2\n"),
        kPreamble + "\xff\xff\xff\xff\x04"}) {
    RawPeer peer(socket_);
    EXPECT_TRUE(peer.Say(garbage));
    const std::string heard = peer.Listen();
    EXPECT_LT(heard.size(), 200u);
  }
  EXPECT_EQ(server_->counts().dropped_connections, 4u);
  EXPECT_TRUE(Honest().ok());
}

TEST_F(SocketServerTest, AnswersMessagesThatDoNotParse) {
  Start();
  RawPeer peer(socket_);
  SecretBytes unknown = MakeFrame(99, ByteView()), bad = MakeFrame(4, AsBytes("\x1a\x7f"));
  EXPECT_TRUE(peer.Say(kPreamble + ToText(unknown.Reveal()) + ToText(bad.Reveal()) + "\x01"));
  std::thread later([&] { server_.reset(); });
  const std::string heard = peer.Listen();
  later.join();
  EXPECT_TRUE(heard.size() < 10 || heard[4] == static_cast<char>(absl::StatusCode::kUnimplemented));
}

TEST_F(SocketServerTest, TheSlowLoseTheirConnection) {
  SocketLimits limits;
  limits.frame_time = std::chrono::seconds(1);
  limits.idle_time = std::chrono::seconds(1);
  Start(limits);
  RawPeer silent(socket_), half_preamble(socket_), half_frame(socket_), idle(socket_);
  EXPECT_TRUE(half_preamble.Say("NARK"));
  EXPECT_TRUE(half_frame.Say(kPreamble + std::string("\0\0\1\0\4", 5)));
  EXPECT_TRUE(idle.Say(kPreamble));
  EXPECT_EQ(silent.Listen(), "");
  EXPECT_EQ(half_preamble.Listen(), "");
  EXPECT_EQ(half_frame.Listen(), "");
  EXPECT_EQ(idle.Listen(), "");
  EXPECT_TRUE(Honest().ok());
}

TEST_F(SocketServerTest, DrippingBytesDoesNotBuyTime) {
  SocketLimits limits;
  limits.frame_time = std::chrono::seconds(1);
  Start(limits);
  RawPeer peer(socket_);
  EXPECT_TRUE(peer.Say(kPreamble + std::string("\0\1\0\0\4", 5)));
  const auto begin = std::chrono::steady_clock::now();
  while (peer.Say("x") && std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST_F(SocketServerTest, HoldsNoMoreConnectionsThanItsCap) {
  SocketLimits limits;
  limits.connections = 3;
  Start(limits);
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<RawPeer>(socket_));
    EXPECT_TRUE(peers.back()->Say(kPreamble));
  }
  RawPeer one_more(socket_);
  EXPECT_EQ(one_more.Listen(), "");
  EXPECT_EQ(server_->counts().refused_full, 1u);
  peers.clear();
  while (!Honest().ok()) std::this_thread::yield();
}

// Threads of this process cannot be had while one lives: their stacks fit no memory.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    EXPECT_EQ(pthread_getattr_default_np(&before_), 0);
    pthread_attr_t greedy;
    EXPECT_EQ(pthread_attr_init(&greedy), 0);
    EXPECT_EQ(pthread_attr_setstacksize(&greedy, size_t{1} << 48), 0);
    EXPECT_EQ(pthread_setattr_default_np(&greedy), 0);
    pthread_attr_destroy(&greedy);
  }
  ~NoMoreThreads() {
    EXPECT_EQ(pthread_setattr_default_np(&before_), 0);
    pthread_attr_destroy(&before_);
  }

 private:
  pthread_attr_t before_;
};

TEST_F(SocketServerTest, RefusesWhomItHasNoThreadFor) {
  Start();
  EXPECT_TRUE(Honest().ok());
  {
    NoMoreThreads none;
    RawPeer peer(socket_);
    EXPECT_EQ(peer.Listen(), "");
    EXPECT_EQ(server_->counts().refused_threads, 1u);
  }
  EXPECT_TRUE(Honest().ok());
}

TEST_F(SocketServerTest, RefusesOtherUsers) {
  EXPECT_TRUE(OwnerOrRoot(geteuid()));
  EXPECT_TRUE(OwnerOrRoot(0));
  EXPECT_FALSE(OwnerOrRoot(geteuid() + 1));
  SocketLimits limits;
  std::vector<uid_t> asked;
  limits.admits = [&](uid_t peer) {
    asked.push_back(peer);
    return false;
  };
  Start(limits);
  RawPeer peer(socket_);
  EXPECT_EQ(peer.Listen(), "");
  EXPECT_FALSE(Honest().ok());
  EXPECT_EQ(server_->counts().refused_peers, 2u);
  EXPECT_EQ(asked, (std::vector<uid_t>{geteuid(), geteuid()}));
}

TEST_F(SocketServerTest, AClientFindsTheServerAgain) {
  Start();
  auto space = ConnectSecureSpace(socket_);
  ASSERT_TRUE(space.ok());
  EXPECT_TRUE((*space)->GetIdentity().ok());
  server_.reset();
  absl::Status gone = (*space)->GetIdentity().status();
  EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
  Start();
  EXPECT_TRUE((*space)->GetIdentity().ok());
}

TEST_F(SocketServerTest, ServesManyAtOnce) {
  Start();
  auto space = ConnectSecureSpace(socket_);
  ASSERT_TRUE(space.ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 50; ++call) EXPECT_TRUE((*space)->GetIdentity().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A server that takes a call and dies.
TEST_F(SocketServerTest, AnUnansweredReleaseIsInDoubtAndNotRepeated) {
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  std::thread server([&] {
    const int fd = accept(listener, nullptr, nullptr);
    char buffer[4096];
    EXPECT_GT(recv(fd, buffer, sizeof buffer, 0), 0);
    close(fd);
  });
  auto space = ConnectSecureSpace(socket_);
  ASSERT_TRUE(space.ok());
  absl::Status status = (*space)->ReleaseKeys({world_.session.name(), 0, {ByteView()}}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  server.join();
  // Nobody knocked a second time.
  ASSERT_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
  EXPECT_LT(accept(listener, nullptr, nullptr), 0);
  close(listener);
  unlink(socket_.c_str());
}

}  // namespace
}  // namespace nark::securespace
