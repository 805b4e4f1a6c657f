#include "common/net/datagram_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "common/base/sanitized.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/net/datagram_record.h"
#include "common/net/datagram_record_reader.h"
#include "common/net/transport.h"

namespace nark::net {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kTag = 0x1122334455667788;
constexpr size_t kMagic = 8;
constexpr size_t kEndRecord = kRecordHeadBytes + 12;

std::string Path(const std::string& name) { return ::testing::TempDir() + "/" + name; }

void WriteRaw(const std::string& path, ByteView bytes) {
  std::ofstream file(path, std::ios::binary);  // thousands of them: none durable
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.flush());
}

// A datagram as far as an index looks into it.
Bytes Datagram(uint8_t kind, uint32_t sender, uint64_t id, uint64_t time, size_t bytes = 100) {
  Bytes datagram(bytes, static_cast<uint8_t>(id));
  datagram[0] = 'N';
  datagram[1] = 'K';
  datagram[2] = 1;
  datagram[3] = kind;
  StoreBig64(&datagram[4], kTag);
  StoreBig32(&datagram[12], sender);
  StoreBig64(&datagram[16], id);
  if (kind == 1) StoreBig64(&datagram[54], time);
  return datagram;
}

// A header, two fragments and the header again for each ADU; ids are `step` apart, and one
// takes a second.
std::vector<Bytes> Stream(uint64_t adus, std::vector<uint32_t> senders = {1}, uint64_t step = 1) {
  std::vector<Bytes> all;
  for (uint64_t n = 0; n < adus; ++n) {
    for (uint32_t sender : senders) {
      for (uint8_t kind : {1, 2, 2, 1}) {
        all.push_back(Datagram(kind, sender, n * step, (5000 + n) * 1'000'000));
      }
    }
  }
  return all;
}

Bytes Recorded(const std::vector<Bytes>& datagrams, const std::string& path) {
  ::unlink(path.c_str());
  {
    absl::StatusOr<OpenedSink> opened = OpenSink("file:" + path);
    EXPECT_TRUE(opened.ok()) << opened.status();
    std::vector<ByteView> views(datagrams.begin(), datagrams.end());
    EXPECT_TRUE(opened->sink->Send(views).ok());
  }
  absl::StatusOr<Bytes> content = ReadFile(path);
  EXPECT_TRUE(content.ok()) << content.status();
  return content.value_or(Bytes());
}

// Where each record begins, and the end of the last.
std::vector<size_t> Places(const std::vector<Bytes>& datagrams) {
  std::vector<size_t> places = {kMagic};
  for (const Bytes& datagram : datagrams) {
    places.push_back(places.back() + kRecordHeadBytes + datagram.size());
  }
  return places;
}

struct Played {
  std::vector<Bytes> datagrams;
  std::vector<std::string> told;
};

Played Play(const std::string& path, const PlayRange& range = {}) {
  Played played;
  auto source =
      OpenDatagramFile(path, range, [&](const std::string& line) { played.told.push_back(line); });
  EXPECT_TRUE(source.ok()) << source.status();
  while (source.ok() && !(*source)->exhausted()) {
    absl::StatusOr<size_t> n = (*source)->Receive(
        3, [&](ByteView datagram) { played.datagrams.push_back(ToBytes(datagram)); });
    EXPECT_TRUE(n.ok()) << n.status();
    if (!n.ok()) break;
  }
  return played;
}

Played PlayBytes(ByteView file, const PlayRange& range = {}) {
  WriteRaw(Path("bytes"), file);
  return Play(Path("bytes"), range);
}

// Those ids' datagrams, in order.
std::vector<Bytes> OfIds(const std::vector<Bytes>& all, uint64_t first, uint64_t last) {
  std::vector<Bytes> some;
  for (const Bytes& datagram : all) {
    const uint64_t id = LoadBig64(&datagram[16]);
    if (id >= first && id <= last) some.push_back(datagram);
  }
  return some;
}

TEST(Crc32cTest, IsThatOfTheRfc) {
  // RFC 3720, B.4, and the check value that every catalogue gives.
  EXPECT_EQ(Crc32c(Bytes(32, 0)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(Bytes(32, 0xff)), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(AsBytes("789"), Crc32c(AsBytes("123456"))), 0xe3069283u);
}

TEST(DatagramFileTest, PlaysWhatWasRecorded) {
  std::vector<Bytes> sent = {{1}, Bytes(65507, 2), {3, 4, 5}};
  for (int i = 0; i < 1000; ++i) sent.push_back(Bytes(1 + static_cast<size_t>(i), 9));
  Recorded(sent, Path("played"));
  auto source = OpenSource("file:" + Path("played"));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->descriptor(), -1);
  const Played played = Play(Path("played"));
  EXPECT_TRUE(played.datagrams == sent);
  EXPECT_TRUE(played.told.empty());
}

TEST(DatagramFileTest, EveryTruncationYieldsWhatIsWholeAndSaysSo) {
  const std::vector<Bytes> sent = Stream(2);
  const Bytes file = Recorded(sent, Path("cut"));
  const std::vector<size_t> places = Places(sent);
  for (size_t size = 0; size < file.size(); ++size) {
    if (size < kMagic) {
      WriteRaw(Path("cut"), ByteView(file).first(size));
      EXPECT_TRUE(absl::IsInvalidArgument(OpenDatagramFile(Path("cut")).status())) << size;
      continue;
    }
    const Played played = PlayBytes(ByteView(file).first(size));
    size_t whole = 0;
    while (whole < sent.size() && places[whole + 1] <= size) ++whole;
    EXPECT_TRUE(played.datagrams == std::vector<Bytes>(sent.begin(), sent.begin() + whole)) << size;
    EXPECT_EQ(played.told.size(), 1u) << size;
  }
}

TEST(DatagramFileTest, AFlippedBitCostsItsRecord) {
  const std::vector<Bytes> sent = Stream(2);
  const Bytes file = Recorded(sent, Path("flipped"));
  const std::vector<size_t> places = Places(sent);
  for (size_t at = kMagic; at < file.size(); at += kSanitized ? 5 : 1) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = file;
      changed[at] ^= static_cast<uint8_t>(1u << bit);
      std::vector<Bytes> expected;
      for (size_t i = 0; i < sent.size(); ++i) {
        if (at < places[i] || at >= places[i + 1]) expected.push_back(sent[i]);
      }
      const Played played = PlayBytes(changed);
      ASSERT_TRUE(played.datagrams == expected) << "byte " << at << ", bit " << bit;
      ASSERT_EQ(played.told.size(), 1u);
    }
  }
}

// Ranges are zeroed, filled with noise, taken out, put in and exchanged: what they do not
// touch comes, once.
TEST(DatagramFileTest, WhatIsIntactAroundDamageIsPlayed) {
  for (uint64_t seed = 0; seed < (kSanitized ? 50 : 300); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    std::vector<Bytes> sent;
    for (uint64_t id = 0; id < 200; ++id) {
      sent.push_back(Datagram(id % 4 == 0 ? 1 : 2, 1, id, id, 62 + random() % 3000));
    }
    const Bytes file = Recorded(sent, Path("holes"));
    const std::vector<size_t> places = Places(sent);
    size_t first = kMagic + random() % (places.back() - kMagic);
    size_t last = std::min(first + random() % 20000, places.back());
    Bytes changed = file;
    const auto from = changed.begin() + static_cast<ptrdiff_t>(first);
    const auto to = changed.begin() + static_cast<ptrdiff_t>(last);
    switch (seed % 5) {
      case 0:
        std::fill(from, to, 0);
        break;
      case 1:
        std::generate(from, to, [&] { return static_cast<uint8_t>(random()); });
        break;
      case 2:
        changed.erase(from, to);
        break;
      case 3: {
        Bytes noise(last - first);
        std::generate(noise.begin(), noise.end(), [&] { return static_cast<uint8_t>(random()); });
        changed.insert(from, noise.begin(), noise.end());
        last = first;
        break;
      }
      case 4:  // the two halves change places
        std::rotate(from, from + (to - from) / 2, to);
        break;
    }
    std::vector<Bytes> outside, inside;
    for (size_t i = 0; i < sent.size(); ++i) {
      const bool touched = places[i] < std::max(last, first + 1) && places[i + 1] > first;
      (touched ? inside : outside).push_back(sent[i]);
    }
    Played played = PlayBytes(changed);
    // Of the rest, what happens to be whole may come, unchanged.
    std::vector<Bytes> rest;
    for (const Bytes& datagram : played.datagrams) {
      const bool is_inside = std::find(inside.begin(), inside.end(), datagram) != inside.end();
      if (!is_inside) rest.push_back(datagram);
    }
    EXPECT_TRUE(rest == outside) << rest.size() << " of " << outside.size();
    EXPECT_EQ(played.told.size() <= 1, true);
  }
}

TEST(DatagramFileTest, LengthsThatLieAreStumbledOver) {
  for (uint32_t word : {0x01000000u, 0x0100ffe4u, 0x01ffffffu, 0x00000005u, 0x04000005u}) {
    Bytes file = ToBytes(AsBytes(kDatagramFileMagic));
    file.insert(file.end(), std::begin(kRecordMark), std::end(kRecordMark));
    file.resize(file.size() + 8);
    StoreBig32(&file[kMagic + 4], word);
    file.resize(file.size() + 70000);
    AppendRecord(RecordKind::kDatagram, Bytes{7}, file);
    const Played played = PlayBytes(file);
    EXPECT_TRUE(played.datagrams == std::vector<Bytes>{Bytes{7}}) << word;
  }
}

// Marks with the greatest length everywhere, each of which asks for a checksum.
Bytes MarksEverywhere(size_t bytes) {
  Bytes pattern(std::begin(kRecordMark), std::end(kRecordMark));
  pattern.resize(8);
  StoreBig32(&pattern[4], 1u << 24 | kMaxRecordContent);
  Bytes all;
  while (all.size() < bytes) all.insert(all.end(), pattern.begin(), pattern.end());
  return all;
}

TEST(RecordReaderTest, ASearchCostsWhatIsPassed) {
  WriteRaw(Path("marks"), MarksEverywhere(4 << 20));
  RecordReader reader(Descriptor(::open(Path("marks").c_str(), O_RDONLY)), Path("marks"));
  ParsedRecord record;
  uint64_t steps = 0;
  for (auto step = RecordReader::Step::kPassed; step != RecordReader::Step::kEnd; ++steps) {
    const auto next = reader.Next(record);
    ASSERT_TRUE(next.ok()) << next.status();
    step = *next;
    ASSERT_LE(reader.searched_bytes(), RecordReader::kSearchBurst + kMaxRecordContent + 12 +
                                           RecordReader::kSearchPerByte * reader.passed_bytes());
  }
  EXPECT_EQ(reader.passed_bytes(), 4u << 20);
  EXPECT_GT(reader.searched_bytes(), 0u);
}

// What credit there was comes back with what is passed, and no faster.
TEST(RecordReaderTest, ASearchBetweenGoodRecordsCostsNoMore) {
  Bytes file;
  for (size_t n = 0; n < 20000; ++n) {
    AppendRecord(RecordKind::kDatagram, Bytes{1}, file);
    const Bytes mark = MarksEverywhere(8);
    file.insert(file.end(), mark.begin(), mark.end());
  }
  WriteRaw(Path("between"), file);
  RecordReader reader(Descriptor(::open(Path("between").c_str(), O_RDONLY)), Path("between"));
  ParsedRecord record;
  for (auto step = RecordReader::Step::kPassed; step != RecordReader::Step::kEnd;) {
    const auto next = reader.Next(record);
    ASSERT_TRUE(next.ok()) << next.status();
    step = *next;
  }
  EXPECT_LE(reader.searched_bytes(), RecordReader::kSearchBurst + kMaxRecordContent + 12 +
                                         RecordReader::kSearchPerByte * file.size());
}

// However long nothing is found, the caller is asked again.
TEST(DatagramFileTest, ACallEndsAlthoughNothingIsFound) {
  Bytes file = ToBytes(AsBytes(kDatagramFileMagic));
  file.resize(20 << 20);
  AppendRecord(RecordKind::kDatagram, Bytes{7}, file);
  WriteRaw(Path("nothing"), file);
  auto source = OpenDatagramFile(Path("nothing"));
  ASSERT_TRUE(source.ok()) << source.status();
  size_t found = 0, calls = 0;
  for (; !(*source)->exhausted(); ++calls) {
    EXPECT_TRUE((*source)->more());
    const auto taken = (*source)->Receive(100, [&](ByteView) { ++found; });
    ASSERT_TRUE(taken.ok()) << taken.status();
  }
  EXPECT_FALSE((*source)->more());
  EXPECT_EQ(found, 1u);
  EXPECT_GE(calls, 3u);
}

// Without the headers behind its end.
std::vector<Bytes> OfRange(const Played& played, const PlayRange& range) {
  std::vector<Bytes> some;
  for (const Bytes& datagram : played.datagrams) {
    const bool behind = LoadBig64(&datagram[16]) > range.to_adu.value_or(UINT64_MAX);
    if (!behind) some.push_back(datagram);
    EXPECT_TRUE(!behind || datagram[3] == 1);
  }
  return some;
}

class PlayRangeTest : public testing::TestWithParam<bool> {
 protected:
  // With the index, or as after a crash.
  Played PlayOf(Bytes file, size_t end_of_datagrams, const PlayRange& range) {
    if (!GetParam()) file.resize(end_of_datagrams);
    return PlayBytes(file, range);
  }
};

TEST_P(PlayRangeTest, BeginsAndEndsAtAnAdu) {
  const std::vector<Bytes> sent = Stream(50, {1, 2}, 2);
  const Bytes file = Recorded(sent, Path("range"));
  const size_t end = Places(sent).back();
  for (uint64_t first : {0, 1, 2, 51, 98, 99}) {
    PlayRange range;
    range.from_adu = first;
    EXPECT_TRUE(PlayOf(file, end, range).datagrams == OfIds(sent, first, 1000)) << first;
    range.to_adu = first + 10;
    EXPECT_TRUE(OfRange(PlayOf(file, end, range), range) == OfIds(sent, first, first + 10))
        << first;
  }
}

TEST_P(PlayRangeTest, BeginsAtATime) {
  const std::vector<Bytes> sent = Stream(50, {1, 2});
  const Bytes file = Recorded(sent, Path("range"));
  const size_t end = Places(sent).back();
  for (uint64_t second : {0, 1, 25, 49}) {
    // Just before its place, where that is known: what is of it, verified headers say.
    const uint64_t first = GetParam() && second > 0 ? second - 1 : 0;
    PlayRange range;
    range.from_time_us = (5000 + second) * 1'000'000;
    range.to_time_us = *range.from_time_us + 1;
    EXPECT_TRUE(PlayOf(file, end, range).datagrams == OfIds(sent, first, 1000)) << second;
  }
}

// It begins at its beginning, is told when that was, and goes on at the place; never back.
TEST_P(PlayRangeTest, CountsFromABeginningThatItIsTold) {
  const std::vector<Bytes> sent = Stream(50, {1, 2});
  const Bytes file = Recorded(sent, Path("range"));
  WriteRaw(Path("told"), ByteView(file).first(GetParam() ? file.size() : Places(sent).back()));
  for (uint64_t second : {0, 1, 2, 25, 49}) {
    PlayRange range;
    range.origin = PlayRange::Origin::kBeginning;
    range.from_time_us = second * 1'000'000;
    auto source = OpenDatagramFile(Path("told"), range);
    ASSERT_TRUE(source.ok()) << source.status();
    std::vector<Bytes> played;
    const auto take = [&](ByteView datagram) { played.push_back(ToBytes(datagram)); };
    ASSERT_EQ((*source)->Receive(5, take).value_or(0), 5u);
    // Once: what comes later has no say.
    for (uint64_t beginning : {5000, 0, 6000}) {
      EXPECT_TRUE((*source)->recording()->SetBeginning(beginning * 1'000'000).ok());
    }
    while (!(*source)->exhausted()) ASSERT_TRUE((*source)->Receive(100, take).ok());
    std::vector<Bytes> expected(sent.begin(), sent.begin() + 5);
    const std::vector<Bytes> rest = OfIds(sent, GetParam() && second > 1 ? second - 1 : 0, 1000);
    expected.insert(expected.end(), rest.size() == sent.size() ? rest.begin() + 5 : rest.begin(),
                    rest.end());
    EXPECT_TRUE(played == expected) << second;
  }
}

INSTANTIATE_TEST_SUITE_P(Index, PlayRangeTest, testing::Bool());

// Damage before the place is never seen: nobody read there.
TEST(DatagramIndexTest, IsUsed) {
  const std::vector<Bytes> sent = Stream(50);
  Bytes file = Recorded(sent, Path("used"));
  const std::vector<size_t> places = Places(sent);
  file[places[20] + 50] ^= 1;
  PlayRange range;
  range.from_adu = 30;
  const Played played = PlayBytes(file, range);
  EXPECT_TRUE(played.datagrams == OfIds(sent, 30, 49));
  EXPECT_TRUE(played.told.empty());
  file.resize(places.back());
  EXPECT_EQ(PlayBytes(file, range).told.size(), 1u);
}

// Whatever the index says, what is played is the same.
TEST(DatagramIndexTest, IsNotTrusted) {
  const std::vector<Bytes> sent = Stream(20);
  const Bytes file = Recorded(sent, Path("lies"));
  const size_t begin = Places(sent).back();
  PlayRange range;
  range.from_adu = 10;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    Bytes lie = file;
    lie.resize(begin);
    Bytes content(file.begin() + static_cast<ptrdiff_t>(begin + kRecordHeadBytes),
                  file.end() - static_cast<ptrdiff_t>(kEndRecord));
    // Another offset, id or time in some entries, with right checksums.
    for (int i = 0; i < 3; ++i) {
      const size_t entry = random() % (content.size() / kIndexEntryBytes);
      const size_t field = std::vector<size_t>{12, 20, 28}[random() % 3];
      StoreBig64(&content[entry * kIndexEntryBytes + field], random() % (2 * file.size()));
    }
    AppendRecord(RecordKind::kIndexPage, content, lie);
    Bytes end(12);
    StoreBig64(&end[0], seed % 7 == 0 ? random() : begin);
    StoreBig32(&end[8], seed % 11 == 0 ? static_cast<uint32_t>(random()) : 1);
    AppendRecord(RecordKind::kIndexEnd, end, lie);
    EXPECT_TRUE(PlayBytes(lie, range).datagrams == OfIds(sent, 10, 19)) << "seed " << seed;
  }
}

// A recording of days: the index stays small, and leads to just before the place.
TEST(DatagramIndexTest, IsBounded) {
  const std::vector<Bytes> sent = Stream(40000, {1, 2});
  const Bytes file = Recorded(sent, Path("long"));
  EXPECT_LE(file.size() - Places(sent).back(),
            kMaxIndexEntries * kIndexEntryBytes + 64 * kRecordHeadBytes + kEndRecord);
  for (uint64_t first : {1, 20001, 39999}) {
    PlayRange range;
    range.from_adu = first;
    EXPECT_TRUE(PlayBytes(file, range).datagrams == OfIds(sent, first, 40000)) << first;
  }
}

// An index of many streams would cost a look into the file for each of them, and one that is
// full leaves streams out: what they need is read.
TEST(DatagramIndexTest, OfTooManyStreamsIsNotUsed) {
  for (uint32_t count : {4095u, 4096u, 4097u}) {
    std::vector<uint32_t> senders(count);
    std::iota(senders.begin(), senders.end(), 1);
    const std::vector<Bytes> sent = Stream(2, senders);
    Bytes file = Recorded(sent, Path("crowd"));
    file[kMagic + kRecordHeadBytes + 60] ^= 1;  // of ADU 0 of the first sender
    PlayRange range;
    range.from_adu = 1;
    const Played played = PlayBytes(file, range);
    EXPECT_TRUE(played.datagrams == OfIds(sent, 1, 1)) << count;
    EXPECT_EQ(played.told.size(), count < 4096 ? 0u : 1u) << count;
  }
}

TEST(DatagramFileTest, NoRecordingIsReplaced) {
  const std::string path = Path("kept");
  const Bytes file = Recorded(Stream(3), path);
  const auto sink = CreateDatagramFile(path);
  EXPECT_EQ(sink.status().code(), absl::StatusCode::kAlreadyExists) << sink.status();
  EXPECT_NE(sink.status().message().find(path), absl::string_view::npos) << sink.status();
  EXPECT_EQ(*ReadFile(path), file);
}

TEST(DatagramFileTest, APipeCarriesTheSame) {
  const std::vector<Bytes> sent = Stream(30);
  const std::string path = Path("pipe");
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] {
    auto sink = CreateDatagramFile(path);
    ASSERT_TRUE(sink.ok()) << sink.status();
    std::vector<ByteView> views(sent.begin(), sent.end());
    EXPECT_TRUE((*sink)->Send(views).ok());
  });
  PlayRange range;
  range.from_adu = 10;
  const Played played = Play(path, range);
  writer.join();
  EXPECT_TRUE(played.datagrams == OfIds(sent, 10, 29));
  EXPECT_TRUE(played.told.empty());
}

// Its writer leaves it open and writes no more, or only half a record.
TEST(DatagramFileTest, APipeIsNotWaitedFor) {
  const std::vector<Bytes> sent = Stream(3);
  const Bytes file = Recorded(sent, Path("source"));
  const size_t behind = Places(sent)[7] + 30;  // in the middle of the eighth
  const std::string path = Path("open_pipe");
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Descriptor writer(::open(path.c_str(), O_RDWR));
  const auto write = [&](size_t first, size_t end) {
    ASSERT_EQ(::write(writer.fd(), &file[first], end - first), static_cast<ssize_t>(end - first));
  };
  write(0, behind);
  PlayRange range;
  range.to_adu = 0;
  auto opened = OpenDatagramFile(path, range);
  ASSERT_TRUE(opened.ok()) << opened.status();
  DatagramSource& source = **opened;
  EXPECT_TRUE(source.more());
  std::vector<Bytes> played;
  const auto receive = [&] {
    const auto taken =
        source.Receive(100, [&](ByteView datagram) { played.push_back(ToBytes(datagram)); });
    EXPECT_TRUE(taken.ok()) << taken.status();
  };
  receive();
  // What is of the range, and the header that tells that it is over.
  EXPECT_TRUE(played == std::vector<Bytes>(sent.begin(), sent.begin() + 5));
  EXPECT_FALSE(source.more());
  EXPECT_FALSE(source.exhausted());
  pollfd poll = {source.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&poll, 1, 0), 0);
  receive();
  EXPECT_EQ(played.size(), 5u);

  write(behind, file.size());
  EXPECT_EQ(::poll(&poll, 1, 0), 1);
  writer = Descriptor();
  while (!source.exhausted()) receive();
  EXPECT_EQ(played.size(), 5u + 3u);
  EXPECT_TRUE(source.recording()->in_order());
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
