#include "common/rpc/anteroom.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

namespace nark::rpc {
namespace {

using std::chrono::seconds;

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A TLS record of a handshake with so many bytes.
std::string Record(size_t bytes) {
  std::string record = {22, 3, 1, static_cast<char>(bytes >> 8), static_cast<char>(bytes & 0xff)};
  return record + std::string(bytes, 'h');
}

TEST(FirstMessageTest, IsAsLongAsItsBeginningSays) {
  const auto needed = [](const std::string& begun) { return FirstMessageBytes(AsBytes(begun)); };
  EXPECT_EQ(needed(""), 1u);
  EXPECT_EQ(needed(Record(512).substr(0, 1)), 5u);
  EXPECT_EQ(needed(Record(512).substr(0, 4)), 5u);
  EXPECT_EQ(needed(Record(512).substr(0, 5)), 517u);
  EXPECT_EQ(needed(Record(512)), 517u);
  EXPECT_EQ(needed(Record(1 << 14).substr(0, 9)), 5u + (1u << 14));
  EXPECT_EQ(needed(Record(0xffff).substr(0, 9)), 9u) << "no record; for others to refuse";
  EXPECT_EQ(needed("P"), 24u);
  EXPECT_EQ(needed(kPreface), 24u);
  EXPECT_EQ(needed(kPreface + "more"), 24u);
  EXPECT_EQ(needed("PUT /"), 5u);
  EXPECT_EQ(needed("x"), 1u);
}

class AnteroomTest : public testing::Test {
 protected:
  // A peer whose connection has entered; it has said so much.
  struct Peer {
    net::Descriptor end;
    int connection;
  };
  Peer Enter(const std::string& said, Anteroom::Clock::time_point now = {}) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    Peer peer{net::Descriptor(ends[0]), ends[1]};
    Say(peer, said);
    EXPECT_FALSE(Anteroom::IsWhole(peer.connection));
    room_.Enter(peer.connection, now);
    return peer;
  }
  static void Say(const Peer& peer, const std::string& text) {
    EXPECT_EQ(send(peer.end.fd(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  static bool HungUp(const Peer& peer) {
    pollfd wait{.fd = peer.end.fd(), .events = POLLIN, .revents = 0};
    char byte;
    return poll(&wait, 1, 0) == 1 && recv(peer.end.fd(), &byte, 1, MSG_DONTWAIT) <= 0;
  }
  Anteroom room_;
};

TEST_F(AnteroomTest, LetsOutWhoHasSaidAll) {
  const std::string hello = Record(300);
  const Peer peer = Enter(hello.substr(0, 3));
  EXPECT_TRUE(room_.Leave().empty());
  Say(peer, hello.substr(3, 100));
  EXPECT_TRUE(room_.Leave().empty());
  EXPECT_EQ(room_.size(), 1u);
  Say(peer, hello.substr(103));
  EXPECT_EQ(room_.Leave(), std::vector<int>{peer.connection});
  EXPECT_EQ(room_.size(), 0u);
  std::string heard(hello.size(), 0);
  EXPECT_EQ(recv(peer.connection, heard.data(), heard.size(), 0),
            static_cast<ssize_t>(hello.size()));
  EXPECT_EQ(heard, hello) << "nothing was taken";
  close(peer.connection);
}

TEST_F(AnteroomTest, ClosesWhoHangsUp) {
  Peer peer = Enter("PRI");
  peer.end = net::Descriptor();
  EXPECT_TRUE(room_.Leave().empty());
  EXPECT_EQ(room_.size(), 0u);
}

TEST_F(AnteroomTest, ClosesWhoCameFirst) {
  const Anteroom::Clock::time_point begin{seconds(100)};
  const Peer first = Enter("P", begin), second = Enter("P", begin + seconds(1));
  EXPECT_FALSE(room_.CloseFirst(begin + seconds(4), seconds(5)));
  EXPECT_TRUE(room_.CloseFirst(begin + seconds(5), seconds(5)));
  EXPECT_TRUE(HungUp(first));
  EXPECT_FALSE(HungUp(second));
  EXPECT_FALSE(room_.CloseFirst(begin + seconds(5), seconds(5)));
  EXPECT_TRUE(room_.CloseFirst(begin + seconds(5), seconds(0)));
  EXPECT_FALSE(room_.CloseFirst(begin + seconds(5), seconds(0)));
  EXPECT_TRUE(HungUp(second));
}

}  // namespace
}  // namespace nark::rpc
