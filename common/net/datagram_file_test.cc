#include "common/net/datagram_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/net/transport.h"

namespace nark::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Path(const std::string& name) { return ::testing::TempDir() + "/" + name; }

void WriteRaw(const std::string& path, ByteView bytes) {
  ASSERT_TRUE(WriteFile(path, bytes, FileMode::kPublic).ok());
}

// What a file yields before its end or its damage, and how it ends.
struct Played {
  std::vector<Bytes> datagrams;
  absl::Status end;
};

Played Play(DatagramSource& source) {
  Played played;
  while (!source.exhausted()) {
    absl::StatusOr<size_t> n = source.Receive(
        3, [&](ByteView datagram) { played.datagrams.push_back(ToBytes(datagram)); });
    played.end = n.status();
    if (!n.ok()) break;
  }
  return played;
}

Bytes Recorded(const std::vector<Bytes>& datagrams, const std::string& path) {
  absl::StatusOr<OpenedSink> opened = OpenSink("file:" + path);
  EXPECT_TRUE(opened.ok()) << opened.status();
  std::vector<ByteView> views(datagrams.begin(), datagrams.end());
  EXPECT_TRUE(opened->sink->Send(views).ok());
  absl::StatusOr<Bytes> content = ReadFile(path);
  EXPECT_TRUE(content.ok()) << content.status();
  return content.value_or(Bytes());
}

TEST(DatagramFileTest, PlaysWhatWasRecorded) {
  std::vector<Bytes> sent = {{1}, Bytes(65507, 2), {3, 4, 5}};
  for (int i = 0; i < 1000; ++i) sent.push_back(Bytes(1 + static_cast<size_t>(i), 9));
  Recorded(sent, Path("played"));
  absl::StatusOr<std::unique_ptr<DatagramSource>> source = OpenSource("file:" + Path("played"));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->descriptor(), -1);
  Played played = Play(**source);
  EXPECT_TRUE(played.end.ok()) << played.end;
  EXPECT_TRUE(played.datagrams == sent);
  EXPECT_TRUE((*source)->exhausted());
}

TEST(DatagramFileTest, EveryTruncationYieldsWhatIsWholeThenSaysSo) {
  Bytes file = Recorded({{1, 2, 3}, {4}}, Path("cut"));
  ASSERT_EQ(file.size(), 8u + 7 + 5);
  for (size_t size = 0; size < file.size(); ++size) {
    WriteRaw(Path("cut"), ByteView(file).first(size));
    auto source = OpenDatagramFile(Path("cut"));
    if (size < 8) {
      EXPECT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument) << size;
      continue;
    }
    ASSERT_TRUE(source.ok()) << source.status();
    Played played = Play(**source);
    EXPECT_EQ(played.datagrams.size(), size < 15 ? 0u : 1u) << size;
    bool between = size == 8 || size == 15;
    EXPECT_EQ(played.end.code(), between ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST(DatagramFileTest, LengthsThatLieAreRefused) {
  for (uint32_t length : {0u, 65508u, 0xffffffffu}) {
    Bytes file = ToBytes(AsBytes(kDatagramFileMagic));
    file.resize(12);
    StoreBig32(&file[8], length);
    file.resize(file.size() + 70000);
    WriteRaw(Path("lie"), file);
    auto source = OpenDatagramFile(Path("lie"));
    ASSERT_TRUE(source.ok());
    Played played = Play(**source);
    EXPECT_EQ(played.end.code(), absl::StatusCode::kDataLoss) << length;
    EXPECT_TRUE(played.datagrams.empty());
  }
}

TEST(DatagramFileTest, OtherFilesAreNamed) {
  WriteRaw(Path("other"), AsBytes("RIFFsomething else"));
  absl::Status status = OpenDatagramFile(Path("other")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(Path("other")));
  EXPECT_EQ(OpenDatagramFile(Path("absent")).status().code(), absl::StatusCode::kNotFound);
}

TEST(DatagramFileTest, ADatagramThatNoNetworkCarriesIsRefused) {
  auto sink = CreateDatagramFile(Path("big"));
  ASSERT_TRUE(sink.ok());
  Bytes big(65508);
  std::vector<ByteView> one = {big};
  EXPECT_EQ((*sink)->Send(one).code(), absl::StatusCode::kInvalidArgument);
}

TEST(TransportTest, RefusesWhatIsNoTransport) {
  for (const char* uri : {"", "http://host/", "tcp://1.2.3.4:5", "file:", "file://host/x", "-"}) {
    EXPECT_EQ(OpenSink(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
    EXPECT_EQ(OpenSource(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
}

TEST(TransportTest, SinksKnowTheirDatagramSize) {
  auto sink = OpenSink("udp://127.0.0.1:5004?mtu=9000");
  ASSERT_TRUE(sink.ok()) << sink.status();
  EXPECT_EQ(sink->datagram_bytes, 8952u);
}

}  // namespace
}  // namespace nark::net
