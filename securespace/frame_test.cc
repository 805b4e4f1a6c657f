#include "securespace/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "securespace/messages.h"

namespace nark::securespace {
namespace {

Bytes Joined(std::initializer_list<ByteView> parts) {
  Bytes all;
  for (ByteView part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The messages of the frames in `stream`, received in pieces.
std::vector<Bytes> Cut(ByteView stream, size_t piece) {
  FrameReader reader;
  std::vector<Bytes> messages;
  while (true) {
    auto frame = reader.Next();
    EXPECT_TRUE(frame.ok());
    if (frame->has_value()) {
      messages.push_back(ToBytes((*frame)->message));
      continue;
    }
    if (stream.empty()) break;
    MutableByteView room = reader.Room();
    const size_t bytes = std::min({piece, stream.size(), room.size()});
    EXPECT_GT(bytes, 0u);
    std::copy_n(stream.begin(), bytes, room.begin());
    reader.Received(bytes);
    stream = stream.subspan(bytes);
  }
  EXPECT_TRUE(reader.empty());
  return messages;
}

TEST(FrameReaderTest, CutsTheSameWhereverTheStreamIsCut) {
  const Bytes small = ToBytes(AsBytes("small")), large(300'000, 7);
  SecretBytes one = MakeFrame(1, small), two = MakeFrame(2, ByteView()),
              three = MakeFrame(3, large);
  const Bytes stream = Joined({one.Reveal(), two.Reveal(), three.Reveal(), one.Reveal()});
  for (size_t piece : {size_t{1}, size_t{4}, size_t{4096}, size_t{65536}, stream.size()}) {
    EXPECT_EQ(Cut(stream, piece), (std::vector<Bytes>{small, {}, large, small})) << piece;
  }
}

TEST(FrameReaderTest, ALengthCostsNothingBeforeItsBytes) {
  FrameReader reader;
  const size_t before = reader.buffer_bytes();
  SecretBytes frame = MakeFrame(4, ByteView());
  StoreBig32(frame.RevealMutable().data(), kMaxSocketMessageBytes);
  std::copy_n(frame.Reveal().begin(), 5, reader.Room().begin());
  reader.Received(5);
  ASSERT_TRUE(reader.Next().ok());
  (void)reader.Room();
  EXPECT_EQ(reader.buffer_bytes(), before);
}

TEST(FrameReaderTest, KeepsOneLargeBufferAndNoHugeOne) {
  FrameReader reader;
  for (size_t size : {size_t{200} << 10, size_t{3} << 20, size_t{1}}) {
    const SecretBytes frame = MakeFrame(4, size);
    ByteView rest = frame.Reveal();
    while (!rest.empty()) {
      MutableByteView room = reader.Room();
      const size_t bytes = std::min(rest.size(), room.size());
      std::copy_n(rest.begin(), bytes, room.begin());
      reader.Received(bytes);
      rest = rest.subspan(bytes);
    }
    ASSERT_TRUE(reader.Next()->has_value());
    ASSERT_FALSE(reader.Next()->has_value());
    (void)reader.Room();
    EXPECT_LE(reader.buffer_bytes(), size_t{256} << 10) << size;
  }
}

TEST(FrameReaderTest, RefusesWhatIsTooLong) {
  FrameReader reader(100);
  SecretBytes frame = MakeFrame(4, size_t{101});
  std::copy_n(frame.Reveal().begin(), 5, reader.Room().begin());
  reader.Received(5);
  EXPECT_TRUE(absl::IsInvalidArgument(reader.Next().status()));
}

TEST(MessagesTest, DecisionsAreTheirMessage) {
  std::vector<KeyDecision> decisions(3);
  decisions[0].data_key = SecretBytes::CopyOf(AsBytes("sixteen byte key"));
  decisions[1].refusal = v1::REFUSAL_REASON_RANGE;
  SecretBytes frame = FrameDecisions(decisions);
  ByteView message = MessageIn(frame);
  v1::ReleaseKeysResponse parsed;
  ASSERT_TRUE(parsed.ParseFromArray(message.data(), static_cast<int>(message.size())));
  ASSERT_EQ(parsed.keys_size(), 3);
  EXPECT_EQ(parsed.keys(0).data_key(), "sixteen byte key");
  EXPECT_EQ(parsed.keys(1).refusal(), v1::REFUSAL_REASON_RANGE);
  EXPECT_EQ(parsed.SerializeAsString(), ToText(message));
  auto back = ParseDecisions(message);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 3u);
  EXPECT_TRUE((*back)[0].data_key == decisions[0].data_key);
  EXPECT_EQ((*back)[1].refusal, v1::REFUSAL_REASON_RANGE);
  EXPECT_TRUE((*back)[2].data_key.empty());
  for (size_t cut = 1; cut < message.size(); ++cut) {
    // A cut between two decisions is a shorter list, never another one.
    auto shorter = ParseDecisions(message.first(cut));
    EXPECT_TRUE(!shorter.ok() || shorter->size() < 3) << cut;
  }
}

TEST(MessagesTest, ReleasesKeepEveryHeader) {
  ReleaseRequest request;
  request.session.provider.fill(1);
  request.session.session_id.fill(2);
  request.sub_session = 300;
  const Bytes header(700, 9);
  request.headers = {header, ByteView(), header};
  const std::string frame = FrameRelease(request), message = frame.substr(kFrameHeaderBytes);
  v1::ReleaseKeysRequest same;
  ASSERT_TRUE(same.ParseFromString(message));
  EXPECT_EQ(same.SerializeAsString(), message);
  EXPECT_EQ(LoadBig32(AsBytes(frame).data()), message.size());
  EXPECT_EQ(frame[4], 4);
  auto back = ParseRelease(AsBytes(message));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->session == request.session);
  EXPECT_EQ(back->sub_session, 300u);
  ASSERT_EQ(back->headers.size(), 3u);
  EXPECT_TRUE(Equal(back->headers[0], header));
  EXPECT_TRUE(back->headers[1].empty());
  EXPECT_TRUE(absl::IsInvalidArgument(ParseRelease(AsBytes("\x1a\x7f")).status()));
}

TEST(MessagesTest, OpeningKeepsEveryAdu) {
  OpenRequest request;
  request.session.provider.fill(1);
  request.session.session_id.fill(2);
  request.sub_session = 300;
  const Bytes header(700, 9), ciphertext(2000, 8);
  request.adus = {{header, ciphertext}, {ByteView(), ByteView()}, {ByteView(), ciphertext}};
  const std::string message = ToMessage(request).SerializeAsString();
  auto back = ParseOpen(AsBytes(message));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->session == request.session);
  EXPECT_EQ(back->sub_session, 300u);
  ASSERT_EQ(back->adus.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(Equal(back->adus[i].header, request.adus[i].header)) << i;
    EXPECT_TRUE(Equal(back->adus[i].ciphertext, request.adus[i].ciphertext)) << i;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ParseOpen(AsBytes("\x1a\x02\x0a\x05")).status()));
}

// Two bytes an item: 64 MiB would name 32 million of them.
TEST(MessagesTest, RefusesEndlessListsBeforeTheyTakeMemory) {
  ReleaseRequest release;
  OpenRequest open;
  release.headers.resize(kMaxReleaseHeaders);
  open.adus.resize(kMaxOpenAdus);
  std::string headers = FrameRelease(release).substr(kFrameHeaderBytes),
              adus = ToMessage(open).SerializeAsString();
  EXPECT_EQ(ParseRelease(AsBytes(headers))->headers.size(), kMaxReleaseHeaders);
  EXPECT_EQ(ParseOpen(AsBytes(adus))->adus.size(), kMaxOpenAdus);
  const std::string one_more("\x1a\0", 2);
  const absl::Status too_many = ParseRelease(AsBytes(headers + one_more)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(too_many)) << too_many;
  EXPECT_EQ(too_many.message(), "a list holds at most 1024 headers");
  EXPECT_EQ(ParseOpen(AsBytes(adus + one_more)).status().message(), "a list holds at most 64 ADUs");

  std::string answers;
  for (size_t i = 0; i < kMaxReleaseHeaders; ++i) answers.append("\x0a\0", 2);
  EXPECT_TRUE(ParseDecisions(AsBytes(answers)).ok());
  answers.append("\x0a\0", 2);
  EXPECT_TRUE(absl::IsInternal(ParseDecisions(AsBytes(answers)).status()));
}

TEST(MessagesTest, StatusesKeepCodeAndReason) {
  SecretBytes frame =
      FrameStatus(Refusal(absl::StatusCode::kFailedPrecondition, "NO_EXCHANGE", "ask first"));
  absl::Status status = ParseStatus({frame.Reveal()[4], MessageIn(frame)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "NO_EXCHANGE");
  EXPECT_EQ(status.message(), "ask first");
}

}  // namespace
}  // namespace nark::securespace
