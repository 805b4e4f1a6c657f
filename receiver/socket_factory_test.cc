#include "receiver/socket_factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "common/net/datagram_file.h"
#include "common/net/descriptor.h"
#include "common/object/file.h"
#include "common/object/id_codec.h"
#include "common/object/provider.h"
#include "receiver/testing.h"
#include "securespace/testing.h"

namespace nark::receiver {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// The clock that grants and descriptors of TestWorld are valid at.
class TestTimeClock final : public Clock {
 public:
  Timestamp Now() override {
    return kTestTime + std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::steady_clock::now() - start_);
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class SocketFactoryTest : public testing::Test {
 protected:
  SocketFactoryTest() : maker_(world_.session), factory_(world_.space(), clock_, random_) {
    std::string pattern = testing::TempDir() + "/sockets-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    voucher_ = world_.Voucher(0, 1000);
    request_.session_path = folder_ + "/s.nark";
    request_.voucher_path = folder_ + "/v.voucher";
    request_.input = "file:" + folder_ + "/datagrams";
    EXPECT_TRUE(WriteNarkFile(request_.session_path, SessionFile(world_.session.descriptor()),
                              FileMode::kPublic)
                    .ok());
    EXPECT_TRUE(
        WriteNarkFile(request_.voucher_path, VoucherFile(voucher_), FileMode::kPublic).ok());
  }
  // Records ADUs 0 to `adus` - 1 and returns their bytes.
  Bytes Record(uint64_t adus, size_t bytes) {
    auto sink = net::CreateDatagramFile(folder_ + "/datagrams");
    EXPECT_TRUE(sink.ok()) << sink.status();
    Bytes all;
    for (uint64_t id = 0; id < adus; ++id) {
      const MadeAdu adu = maker_.Make(id, maker_.Text(id, bytes), 1408);
      std::vector<ByteView> views(adu.datagrams.begin(), adu.datagrams.end());
      EXPECT_TRUE((*sink)->Send(views).ok());
      all.insert(all.end(), adu.plaintext.begin(), adu.plaintext.end());
    }
    return all;
  }
  static Bytes ReadAll(int fd) {
    Bytes all;
    Bytes buffer(1 << 16);
    for (;;) {
      const ssize_t taken = ::read(fd, buffer.data(), buffer.size());
      if (taken <= 0) return all;
      all.insert(all.end(), buffer.begin(), buffer.begin() + taken);
    }
  }

  securespace::TestWorld world_;
  AduMaker maker_;
  TestTimeClock clock_;
  SystemRandom random_;
  SocketFactory factory_;
  std::string folder_;
  v1::SignedEnvelope voucher_;
  SocketRequest request_;
};

TEST_F(SocketFactoryTest, GivesAnApplicationAPlainSocket) {
  const Bytes sent = Record(20, 5000);
  ASSERT_TRUE(world_.Join(voucher_).ok());
  auto socket = factory_.Open(request_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  const net::Descriptor descriptor((*socket)->TakeDescriptor());
  ASSERT_GE(descriptor.fd(), 0);
  EXPECT_EQ((*socket)->TakeDescriptor(), -1);
  EXPECT_EQ(ReadAll(descriptor.fd()), sent);
  EXPECT_TRUE((*socket)->status().ok());
}

TEST_F(SocketFactoryTest, AsksForNothingWhileNobodyReads) {
  const Bytes sent = Record(30, 1 << 20);
  ASSERT_TRUE(world_.Join(voucher_).ok());
  auto socket = factory_.Open(request_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  const net::Descriptor descriptor((*socket)->TakeDescriptor());
  uint64_t delivered = 0;
  uint64_t before = 0;
  do {
    before = delivered;
    std::this_thread::sleep_for(milliseconds(400));
    delivered = (*socket)->statistics().adus.delivered;
  } while (delivered == 0 || delivered != before);
  EXPECT_LT(delivered, 20u);
  auto note = world_.Note();
  ASSERT_TRUE(note.ok());
  const auto released = UnpackIds(AsBytes(note->receipts(0).delivered()));
  ASSERT_TRUE(released.ok()) << released.status();
  EXPECT_LT(released->ranges().begin()->second, 20u);
  EXPECT_EQ(ReadAll(descriptor.fd()), sent);
}

TEST_F(SocketFactoryTest, EndsWhereTheApplicationEndsIt) {
  Record(30, 1 << 20);
  ASSERT_TRUE(world_.Join(voucher_).ok());
  auto socket = factory_.Open(request_);
  ASSERT_TRUE(socket.ok()) << socket.status();
  const int fd = (*socket)->TakeDescriptor();
  char byte = 0;
  ASSERT_EQ(::read(fd, &byte, 1), 1);
  ::close(fd);
  socket->reset();  // returns, whatever is left

  auto unread = factory_.Open(request_);
  ASSERT_TRUE(unread.ok()) << unread.status();
}

TEST_F(SocketFactoryTest, SaysWhyItCanNotJoin) {
  Record(1, 100);
  const auto socket = factory_.Open(request_);
  EXPECT_THAT(std::string(socket.status().message()), HasSubstr("no key manager"));
  request_.key_managers = {"127.0.0.1:1"};
  request_.timeout = milliseconds(200);
  const absl::Status unreachable = factory_.Open(request_).status();
  EXPECT_TRUE(IsRemote(unreachable)) << unreachable;
  EXPECT_THAT(std::string(unreachable.message()), HasSubstr("127.0.0.1:1"));
}

TEST_F(SocketFactoryTest, NamesTheFileThatIsWrong) {
  request_.voucher_path = request_.session_path;
  EXPECT_THAT(std::string(factory_.Open(request_).status().message()), HasSubstr("not a voucher"));
  request_.session_path = folder_ + "/absent";
  EXPECT_THAT(std::string(factory_.Open(request_).status().message()), HasSubstr("absent"));
}

}  // namespace
}  // namespace nark::receiver
