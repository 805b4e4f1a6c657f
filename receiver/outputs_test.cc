#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "common/base/storage.h"
#include "common/net/descriptor.h"
#include "receiver/http_output.h"
#include "receiver/output.h"
#include "receiver/stream_output.h"
#include "receiver/udp_output.h"

namespace nark::receiver {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Timestamp kNow{seconds{1'767'225'600}};

Bytes Pattern(size_t bytes) {
  Bytes pattern(bytes);
  for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  return pattern;
}

PlainAdu AduOf(ByteView plaintext) { return {0, 1, 0, false, plaintext}; }

class OutputsTest : public testing::Test {
 protected:
  OutputsTest() {
    ::signal(SIGPIPE, SIG_IGN);
    std::string pattern = testing::TempDir() + "/outputs-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  Bytes Content(const std::string& name) const { return *ReadFile(Path(name)); }

  std::string folder_;
  OutputSet outputs_;
};

TEST_F(OutputsTest, WritesFilesFromTheirBeginning) {
  std::ofstream(Path("old")) << std::string(1000, 'x');
  for (const char* name : {"old", "new"}) {
    auto output = OpenOutput("file:" + Path(name), milliseconds(0));
    ASSERT_TRUE(output.ok()) << output.status();
    outputs_.Add(*std::move(output));
  }
  ASSERT_TRUE(outputs_.Write(AduOf(Pattern(10)), kNow).ok());
  ASSERT_TRUE(outputs_.Write(AduOf(Pattern(20)), kNow).ok());
  EXPECT_THAT(Content("old"), SizeIs(30));
  EXPECT_EQ(Content("old"), Content("new"));
  EXPECT_TRUE(outputs_.drained());
}

TEST_F(OutputsTest, SaysWhatIsWrongWithAUri) {
  for (const char* uri : {"", "file:", "ftp://x", "udp://", "http://nowhere", "http://:x/"}) {
    EXPECT_FALSE(OpenOutput(uri, milliseconds(0)).ok()) << uri;
  }
  const auto missing = OpenOutput("file:" + Path("no/such/folder"), milliseconds(0));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("no/such/folder"));
  EXPECT_TRUE(IsStandardOutput("-"));
  EXPECT_TRUE(IsStandardOutput("file://con"));
  EXPECT_FALSE(IsStandardOutput("file:con"));
}

TEST_F(OutputsTest, KeepsWhatASlowReaderDoesNotTakeAndLosesNothing) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const net::Descriptor reader(ends[0]);
  auto output = StreamOutput::OnDescriptor("a pipe", ends[1]);
  ::close(ends[1]);
  ASSERT_TRUE(output.ok());
  outputs_.Add(*std::move(output));
  Bytes expected;
  while (!outputs_.congested()) {
    const Bytes adu = Pattern(1'000'000);
    ASSERT_TRUE(outputs_.Write(AduOf(adu), kNow).ok());
    expected.insert(expected.end(), adu.begin(), adu.end());
    ASSERT_LT(expected.size(), 20u << 20);
  }
  EXPECT_FALSE(outputs_.drained());
  Bytes got;
  Bytes buffer(100'000);
  while (got.size() < expected.size()) {
    const ssize_t taken = ::read(reader.fd(), buffer.data(), buffer.size());
    ASSERT_GT(taken, 0);
    got.insert(got.end(), buffer.begin(), buffer.begin() + taken);
    ASSERT_TRUE(outputs_.Service(kNow).ok());
  }
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(outputs_.drained());
  EXPECT_FALSE(outputs_.congested());
}

TEST_F(OutputsTest, LeavesTheFlagsOfASharedPipeAlone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const net::Descriptor reader(ends[0]);
  const net::Descriptor writer(ends[1]);
  ASSERT_TRUE(StreamOutput::OnDescriptor("a pipe", writer.fd()).ok());
  EXPECT_EQ(::fcntl(writer.fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(OutputsTest, GoesOnWithoutAnOutputWhoseReaderHasGone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  auto output = StreamOutput::OnDescriptor("a pipe", ends[1]);
  ASSERT_TRUE(output.ok());
  ::close(ends[0]);
  ::close(ends[1]);
  outputs_.Add(*std::move(output));
  outputs_.Add(*OpenOutput("file:" + Path("file"), milliseconds(0)));
  EXPECT_TRUE(outputs_.Write(AduOf(Pattern(10)), kNow).ok());
  EXPECT_TRUE(outputs_.Write(AduOf(Pattern(10)), kNow).ok());
  EXPECT_THAT(Content("file"), SizeIs(20));
  const std::vector<absl::Status> errors = outputs_.TakeErrors();
  ASSERT_THAT(errors, SizeIs(1));
  EXPECT_EQ(errors[0].message(), "output a pipe: its reader has gone away");
  EXPECT_THAT(outputs_.TakeErrors(), IsEmpty());
}

TEST_F(OutputsTest, FailsWhereNoOutputIsLeft) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  outputs_.Add(*StreamOutput::OnDescriptor("a socket", ends[1]));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(outputs_.Write(AduOf(Pattern(10)), kNow).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outputs_.Write(AduOf(Pattern(10)), kNow).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outputs_.Service(kNow).code(), absl::StatusCode::kUnavailable);
}

TEST_F(OutputsTest, RefusesANamedPipeThatNobodyReads) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  const auto output = OpenOutput("file:" + Path("fifo"), milliseconds(0));
  EXPECT_EQ(output.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("start its reader first"));
}

// Keeps datagrams.
class KeepingSink final : public net::DatagramSink {
 public:
  explicit KeepingSink(std::vector<Bytes>& kept) : kept_(kept) {}
  absl::Status Send(std::span<const ByteView> datagrams) override {
    for (ByteView datagram : datagrams) kept_.push_back(ToBytes(datagram));
    return absl::OkStatus();
  }

 private:
  std::vector<Bytes>& kept_;
};

TEST_F(OutputsTest, SendsDatagramsOfSevenPacketsAtMost) {
  std::vector<Bytes> datagrams;
  UdpOutput output("udp", std::make_unique<KeepingSink>(datagrams), milliseconds(0));
  ASSERT_TRUE(output.Write(Pattern(3000), kNow).ok());
  ASSERT_TRUE(output.Write(Pattern(1316), kNow).ok());
  ASSERT_THAT(datagrams, SizeIs(4));
  EXPECT_THAT(datagrams[0], SizeIs(1316));
  EXPECT_THAT(datagrams[2], SizeIs(3000 - 2 * 1316));
  EXPECT_THAT(datagrams[3], SizeIs(1316));
  EXPECT_TRUE(output.drained());
}

TEST_F(OutputsTest, SpreadsTheDatagramsOfAnAdu) {
  std::vector<Bytes> datagrams;
  UdpOutput output("udp", std::make_unique<KeepingSink>(datagrams), milliseconds(100));
  const Bytes first = Pattern(1316 * 100);
  ASSERT_TRUE(output.Write(first, kNow).ok());
  EXPECT_THAT(datagrams, SizeIs(1));
  Timestamp now = kNow;
  size_t most = 0;
  while (!output.drained()) {
    ASSERT_TRUE(output.NextDeadline().has_value());
    ASSERT_GT(*output.NextDeadline(), now);
    now = *output.NextDeadline();
    const size_t before = datagrams.size();
    ASSERT_TRUE(output.Service(now).ok());
    most = std::max(most, datagrams.size() - before);
  }
  EXPECT_LE(most, 4u);
  EXPECT_LE(now, kNow + milliseconds(100));
  EXPECT_GT(now, kNow + milliseconds(90));
  Bytes all;
  for (const Bytes& datagram : datagrams) all.insert(all.end(), datagram.begin(), datagram.end());
  EXPECT_EQ(all, first);
}

TEST_F(OutputsTest, SpreadsAdusThatOverlapWithoutBursts) {
  std::vector<Bytes> datagrams;
  UdpOutput output("udp", std::make_unique<KeepingSink>(datagrams), milliseconds(125));
  Timestamp now = kNow;
  Bytes all;
  size_t most = 0;
  std::map<size_t, Timestamp> ends;  // by bytes that must have been sent
  const auto serve = [&](Timestamp until) {
    while (!output.drained() && *output.NextDeadline() <= until) {
      now = *output.NextDeadline();
      const size_t before = datagrams.size();
      ASSERT_TRUE(output.Service(now).ok());
      most = std::max(most, datagrams.size() - before);
      size_t sent = 0;
      for (const Bytes& datagram : datagrams) sent += datagram.size();
      for (const auto& [bytes, end] : ends) EXPECT_TRUE(sent >= bytes || now < end);
    }
    now = until;
  };
  for (int i = 0; i < 40; ++i) {
    const Bytes adu = Pattern(65'536);
    all.insert(all.end(), adu.begin(), adu.end());
    ends[all.size()] = now + milliseconds(125);
    ASSERT_TRUE(output.Write(adu, now).ok());
    serve(now + milliseconds(26));
  }
  serve(now + seconds(1));
  EXPECT_TRUE(output.drained());
  // 50 datagrams every 26 ms are four in two milliseconds.
  EXPECT_LE(most, 8u);
  Bytes got;
  for (const Bytes& datagram : datagrams) got.insert(got.end(), datagram.begin(), datagram.end());
  EXPECT_EQ(got, all);
}

// A player over loopback.
class Player {
 public:
  Player(uint16_t port, const std::string& request)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_.fd(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(::send(socket_.fd(), request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
  }
  // What has come by now; waits for at least `least` bytes.
  std::string Read(size_t least) {
    std::string got;
    char buffer[65536];
    while (got.size() < least) {
      const ssize_t taken = ::recv(socket_.fd(), buffer, sizeof buffer, 0);
      if (taken <= 0) break;
      got.append(buffer, static_cast<size_t>(taken));
    }
    return got;
  }

 private:
  net::Descriptor socket_;
};

class HttpOutputTest : public testing::Test {
 protected:
  void Listen(const HttpOutput::Limits& limits = {}) {
    auto output = HttpOutput::Listen("http://127.0.0.1:0/live.ts", limits);
    ASSERT_TRUE(output.ok()) << output.status();
    output_ = *std::move(output);
  }
  // Runs the server until it has that many players.
  void WaitForPlayers(size_t players) {
    for (int i = 0; i < 5000 && output_->players() != players; ++i) {
      std::vector<pollfd> polls;
      output_->AddPolls(polls);
      ::poll(polls.data(), polls.size(), 1);
      ASSERT_TRUE(output_->Service(kNow).ok());
    }
    ASSERT_EQ(output_->players(), players);
  }
  std::unique_ptr<HttpOutput> output_;
};

TEST_F(HttpOutputTest, ServesSeveralPlayersFromTheNextAduOn) {
  Listen();
  Player first(output_->port(), "GET /live.ts HTTP/1.1\r\nHost: x\r\n\r\n");
  WaitForPlayers(1);
  ASSERT_TRUE(output_->Write(AsBytes("one "), kNow).ok());
  Player second(output_->port(), "GET /live.ts?x=1 HTTP/1.0\r\n\r\n");
  WaitForPlayers(2);
  ASSERT_TRUE(output_->Write(AsBytes("two"), kNow).ok());
  EXPECT_TRUE(output_->drained());
  output_.reset();
  const std::string got = first.Read(1 << 20);
  EXPECT_THAT(got, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(got, HasSubstr("Content-Type: video/mp2t\r\n"));
  EXPECT_THAT(got, testing::EndsWith("\r\n\r\none two"));
  EXPECT_THAT(second.Read(1 << 20), testing::EndsWith("\r\n\r\ntwo"));
}

TEST_F(HttpOutputTest, RefusesOtherPathsAndMethods) {
  Listen();
  const auto answer = [&](const std::string& request) {
    Player player(output_->port(), request);
    for (int i = 0; i < 200; ++i) {
      std::vector<pollfd> polls;
      output_->AddPolls(polls);
      ::poll(polls.data(), polls.size(), 1);
      EXPECT_TRUE(output_->Service(kNow).ok());
    }
    return player.Read(1 << 20);
  };
  EXPECT_THAT(answer("GET /other HTTP/1.1\r\n\r\n"), HasSubstr("404 Not Found"));
  EXPECT_THAT(answer("POST /live.ts HTTP/1.1\r\n\r\n"), HasSubstr("405 Method Not Allowed"));
  EXPECT_THAT(answer("HEAD /live.ts HTTP/1.1\r\n\r\n"), HasSubstr("200 OK"));
  EXPECT_THAT(answer("\r\n\r\n"), HasSubstr("405"));
  EXPECT_EQ(answer(std::string(9000, 'x')), "");
  EXPECT_EQ(output_->players(), 0u);
}

TEST_F(HttpOutputTest, DropsAPlayerThatIsTooSlowAndKeepsTheOthers) {
  HttpOutput::Limits limits;
  limits.player_bytes = 1 << 20;
  Listen(limits);
  Player slow(output_->port(), "GET /live.ts HTTP/1.1\r\n\r\n");
  WaitForPlayers(1);
  for (int i = 0; i < 100 && output_->dropped() == 0; ++i) {
    ASSERT_TRUE(output_->Write(Pattern(500'000), kNow).ok());
  }
  EXPECT_EQ(output_->dropped(), 1u);
  EXPECT_EQ(output_->players(), 0u);
  Player other(output_->port(), "GET /live.ts HTTP/1.1\r\n\r\n");
  WaitForPlayers(1);
}

TEST_F(HttpOutputTest, HangsUpOnWhoeverAsksForNothing) {
  Listen();
  Player silent(output_->port(), "GET");
  std::vector<pollfd> polls;
  output_->AddPolls(polls);
  ::poll(polls.data(), polls.size(), 1000);
  ASSERT_TRUE(output_->Service(kNow).ok());
  ASSERT_EQ(output_->NextDeadline(), kNow + seconds(10));
  ASSERT_TRUE(output_->Service(kNow + seconds(10)).ok());
  EXPECT_EQ(output_->NextDeadline(), std::nullopt);
  EXPECT_EQ(silent.Read(1), "");
}

TEST_F(HttpOutputTest, SaysWhichAddressIsInUse) {
  Listen();
  const std::string uri = "http://127.0.0.1:" + std::to_string(output_->port()) + "/x";
  const auto again = HttpOutput::Listen(uri, {});
  EXPECT_THAT(std::string(again.status().message()), HasSubstr(uri));
}

}  // namespace
}  // namespace nark::receiver
