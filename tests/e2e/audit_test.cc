// Audit trails with the real programs: how a receiver comes by its marked block, keeps it,
// and what it then hears.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;
using namespace std::string_literals;

constexpr size_t kHeaderBytes = 44;
constexpr uint32_t kRate = 8000;

void Put(std::string& to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> 8 * i));
}

// A WAV file of two channels and 16 bits: two tones that rise and fall.
std::string Song(uint32_t seconds) {
  std::string samples;
  for (uint32_t t = 0; t < seconds * kRate; ++t) {
    const double time = t / double{kRate}, loud = 8000 * (1 + std::sin(time));
    for (const double pitch : {440.0, 554.4}) {
      const double value = loud * std::sin(2 * M_PI * pitch * time);
      Put(samples, static_cast<uint16_t>(static_cast<int16_t>(std::lround(value))), 2);
    }
  }
  std::string wave = "RIFF";
  Put(wave, static_cast<uint32_t>(36 + samples.size()), 4);
  wave += "WAVEfmt ";
  Put(wave, 16, 4);
  Put(wave, 1, 2);
  Put(wave, 2, 2);
  Put(wave, kRate, 4);
  Put(wave, kRate * 4, 4);
  Put(wave, 4, 2);
  Put(wave, 16, 2);
  wave += "data";
  Put(wave, static_cast<uint32_t>(samples.size()), 4);
  return wave + samples;
}

// How many samples differ, all of them by their least significant bit.
size_t Marks(const std::string& a, const std::string& b) {
  EXPECT_EQ(a.size(), b.size());
  size_t marks = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] == b[i]) continue;
    ++marks;
    const bool low = i >= kHeaderBytes && (i - kHeaderBytes) % 2 == 0 && (a[i] ^ b[i]) == 1;
    if (!low) ADD_FAILURE() << "byte " << i << " differs in more than its lowest bit";
  }
  return marks;
}

class AuditTest : public testing::Test {
 protected:
  void SetUp() override {
    replica_ = world_.StartKeyManager();
    WriteAll(world_.Path("song.wav"), song_);
  }
  SessionFiles Session(const Words& more = {}) {
    Words flags = {"--cipher", "chameleon", "--adu", "500ms", "--timeliness", "none"};
    flags.insert(flags.end(), more.begin(), more.end());
    return world_.MakeSession({replica_.listen}, flags);
  }
  // The session's one recording, which is made when first asked for.
  std::string Air(const SessionFiles& session) {
    const std::string air = session.session + ".nadu";
    if (!std::filesystem::exists(air)) {
      world_.SendAll(session, world_.Path("song.wav"), {"--output", "file:" + air});
    }
    return air;
  }
  // Joins and plays the recording to its end.
  Outcome Play(const SessionFiles& session, const SecureSpaceFolder& space,
               const std::string& voucher, const std::string& output, const Words& more = {}) {
    Words words = world_.JoinArguments(session, space, voucher, output);
    words.insert(words.end(), {"--input", "file:" + Air(session)});
    words.insert(words.end(), more.begin(), more.end());
    return world_.Try("nark-receiver", words);
  }
  std::string Heard(const SessionFiles& session, const SecureSpaceFolder& space) {
    const std::string output = world_.NewPath("heard");
    const Outcome outcome =
        Play(session, space, world_.MakeVoucher(session, space.id, "0-999"), output);
    EXPECT_EQ(outcome.status, 0) << outcome.ToString();
    return ReadAll(output);
  }
  double BlocksMade() const {
    return MetricOf(HttpGet(replica_.http, "/metrics"), "nark_keymanager_marked_blocks_total");
  }
  std::vector<std::string> KeptBlocks() const {
    std::vector<std::string> files;
    if (!std::filesystem::exists(world_.Path("cache"))) return files;
    for (const auto& entry : std::filesystem::directory_iterator(world_.Path("cache"))) {
      files.push_back(entry.path());
    }
    return files;
  }

  World world_;
  Server replica_;
  const std::string song_ = Song(6);
};

TEST_F(AuditTest, LiveReceiversHearTheSongWithMarksOfTheirOwn) {
  const SessionFiles session = Session();
  const SecureSpaceFolder alice = world_.MakeSecureSpace(), bob = world_.MakeSecureSpace();
  auto first = world_.StartJoin(session, alice, world_.MakeVoucher(session, alice.id, "0-999"),
                                world_.Path("alice.wav"));
  auto second = world_.StartJoin(session, bob, world_.MakeVoucher(session, bob.id, "0-999"),
                                 world_.Path("bob.wav"));
  world_.SendAll(session, world_.Path("song.wav"), {"--pace", "20M"});
  const auto all = [&](const char* name) {
    return Eventually([&] {
      std::error_code error;
      return std::filesystem::file_size(world_.Path(name), error) == song_.size();
    });
  };
  ASSERT_TRUE(all("alice.wav")) << first->err();
  ASSERT_TRUE(all("bob.wav")) << second->err();
  EXPECT_EQ(first->Stop().status, 0);
  EXPECT_EQ(second->Stop().status, 0);
  const std::string alices = ReadAll(world_.Path("alice.wav"));
  const std::string bobs = ReadAll(world_.Path("bob.wav"));
  // Of 96,000 samples some half are another bit than the song's, and a third are the same
  // for both.
  EXPECT_NEAR(static_cast<double>(Marks(song_, alices)), 48'000, 2'000);
  EXPECT_NEAR(static_cast<double>(Marks(song_, bobs)), 48'000, 2'000);
  EXPECT_GT(Marks(alices, bobs), 10'000u);
}

TEST_F(AuditTest, ABlockIsFetchedOnceForAllSessionsOfAProvider) {
  const SecureSpaceFolder alice = world_.MakeSecureSpace();
  const SessionFiles monday = Session(), tuesday = Session();
  EXPECT_GT(Marks(Heard(monday, alice), song_), 10'000u);
  EXPECT_GT(Marks(Heard(tuesday, alice), song_), 10'000u);
  EXPECT_EQ(BlocksMade(), 1);
  EXPECT_EQ(KeptBlocks().size(), 1u);

  const SessionFiles apart = Session({"--audit-family", "new"});
  EXPECT_GT(Marks(Heard(apart, alice), song_), 10'000u);
  EXPECT_EQ(BlocksMade(), 2);
  EXPECT_EQ(KeptBlocks().size(), 2u);
}

TEST_F(AuditTest, ADamagedBlockIsNoticedSaidAndFetchedAgain) {
  const SecureSpaceFolder alice = world_.MakeSecureSpace();
  const SessionFiles session = Session();
  const std::string voucher = world_.MakeVoucher(session, alice.id, "0-999");
  ASSERT_EQ(Play(session, alice, voucher, world_.Path("first.wav")).status, 0);
  ASSERT_EQ(KeptBlocks().size(), 1u);
  const std::string kept = KeptBlocks().front(), whole = ReadAll(kept);
  std::string damaged = whole;
  damaged[300'000] = static_cast<char>(damaged[300'000] ^ 4);
  WriteAll(kept, damaged);
  const Outcome outcome =
      Play(session, alice, voucher, world_.Path("second.wav"), {"--from-adu", "0"});
  EXPECT_EQ(outcome.status, 0) << outcome.ToString();
  EXPECT_NE(outcome.err.find("damaged"), std::string::npos) << outcome.ToString();
  EXPECT_EQ(ReadAll(kept), whole);
  EXPECT_EQ(BlocksMade(), 2);
}

TEST_F(AuditTest, OnCardReleaseMarksInsideAndTheNoteAgrees) {
  const SecureSpaceFolder alice = world_.MakeSecureSpace();
  const SessionFiles by_key = Session(), by_card = Session({"--release", "plaintext"});
  EXPECT_GT(Marks(Heard(by_card, alice), song_), 10'000u);
  // The same block, the same samples: but which words are drawn is each session's own.
  EXPECT_GT(Marks(Heard(by_key, alice), song_), 10'000u);
  EXPECT_EQ(BlocksMade(), 1);
  EXPECT_EQ(DeliveredIds(world_.Note(by_card, alice)).size(), 12u);
}

TEST_F(AuditTest, ASecureSpaceOfItsOwnProcessOpensItsBlock) {
  const SecureSpaceFolder alice = world_.MakeSecureSpace();
  const SessionFiles session = Session({"--release", "plaintext"});
  const std::string socket = "unix:" + world_.Path("socket");
  auto server = world_.Start("nark-securespace", {"serve", alice.folder, "--listen", socket});
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(world_.Path("socket")); }));
  SecureSpaceFolder remote = alice;
  remote.folder = socket;
  EXPECT_GT(Marks(Heard(session, remote), song_), 10'000u);
  EXPECT_EQ(server->Stop().status, 0);
}

TEST_F(AuditTest, AGrantOnAMediumBringsTheBlock) {
  const SecureSpaceFolder alice = world_.MakeSecureSpace();
  const SessionFiles session =
      world_.MakeSession({}, {"--cipher", "chameleon", "--adu", "500ms", "--timeliness", "none"});
  const std::string voucher = world_.MakeVoucher(session, alice.id, "0-999");
  world_.Do("nark-keymanager", {"challenge", "--pool", world_.pool(), "--session", session.session,
                                "--secure-space", alice.id, "--out", world_.Path("challenge")});
  world_.Do("nark-receiver",
            {"request", session.session, "--secure-space", alice.folder, "--voucher", voucher,
             "--challenge", world_.Path("challenge"), "--out", world_.Path("request")});
  world_.Do("nark-keymanager",
            {"grant", "--pool", world_.pool(), "--issuer", world_.issuer() + "/issuer.pem",
             "--request", world_.Path("request"), "--out", world_.Path("grant")});
  // First into a folder that is none; done again the block is kept all the same.
  const auto install = [&](const std::string& cache) {
    return world_.Try("nark-receiver", {"install", world_.Path("grant"), "--secure-space",
                                        alice.folder, "--cache", cache});
  };
  const Outcome first = install(world_.Path("song.wav"));
  EXPECT_EQ(first.status, 1) << first.ToString();
  EXPECT_NE(first.out.find("installed "), std::string::npos) << first.ToString();
  EXPECT_NE(first.err.find("marked block is not kept"), std::string::npos) << first.ToString();
  EXPECT_NE(first.err.find(world_.Path("song.wav")), std::string::npos) << first.ToString();
  const Outcome again = install(world_.Path("cache"));
  EXPECT_NE(again.err.find("its marked block is kept now"), std::string::npos) << again.ToString();
  EXPECT_EQ(KeptBlocks().size(), 1u);
  const Outcome outcome = Play(session, alice, voucher, world_.Path("heard.wav"));
  ASSERT_EQ(outcome.status, 0) << outcome.ToString();
  EXPECT_GT(Marks(ReadAll(world_.Path("heard.wav")), song_), 10'000u);
}

// --- Whose copy it was ---

class TraceTest : public AuditTest {
 protected:
  void SetUp() override {
    AuditTest::SetUp();
    session_ = Session();
    alice_ = world_.MakeSecureSpace();
    bob_ = world_.MakeSecureSpace();
    // Others who bought, and let nothing out.
    for (int i = 0; i < 30; ++i) {
      const std::string id = "0123456789abcdef"s.substr(static_cast<size_t>(i) / 2, 1);
      world_.MakeVoucher(session_, std::string(62, id[0]) + std::to_string(10 + i), "0-999");
    }
    alices_ = Heard(session_, alice_);
    bobs_ = Heard(session_, bob_);
  }
  Json Trace(const std::string& leak, const Words& more = {}) {
    const std::string path = world_.NewPath("leak") + ".wav";
    WriteAll(path, leak);
    Words words = {"trace",  "--session", session_.session, "--provider", world_.provider(),
                   "--leak", path,        "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = world_.Try("narkctl", words);
    EXPECT_EQ(outcome.status, 0) << outcome.ToString();
    return outcome.status == 0 ? Json::parse(outcome.out) : Json();
  }
  // The samples of `song` from one on, as a WAV file with the same header.
  static std::string Excerpt(const std::string& song, size_t first, size_t count) {
    return song.substr(0, kHeaderBytes) + song.substr(kHeaderBytes + 4 * first, 4 * count);
  }
  static std::set<std::string> Accused(const Json& report) {
    return report["accused"].get<std::set<std::string>>();
  }

  SessionFiles session_;
  SecureSpaceFolder alice_, bob_;
  std::string alices_, bobs_;
};

TEST_F(TraceTest, ACopyIsItsOwnersAndNobodyElses) {
  const Json report = Trace(alices_, {"--plot", world_.Path("plot.svg")});
  EXPECT_EQ(Accused(report), std::set{alice_.id}) << report;
  EXPECT_EQ(report["candidates"].size(), 32u);
  EXPECT_LE(report["error_probability"].get<double>(), 1e-6);
  for (const Json& one : report["candidates"]) {
    EXPECT_EQ(one["score"].get<double>() >= report["threshold"].get<double>(),
              one["id"] == alice_.id)
        << one;
  }
  EXPECT_NE(ReadAll(world_.Path("plot.svg")).find("<svg"), std::string::npos);
  EXPECT_EQ(Accused(Trace(bobs_)), std::set{bob_.id});
}

TEST_F(TraceTest, AnExcerptFromAnywhereSuffices) {
  EXPECT_EQ(Accused(Trace(Excerpt(alices_, 20'001, 4'000))), std::set{alice_.id})
      << "half a second";
}

TEST_F(TraceTest, PiecesOfTwoCopiesAccuseBoth) {
  const std::string both =
      Excerpt(alices_, 30'000, 12'000) + Excerpt(bobs_, 5'000, 12'000).substr(kHeaderBytes);
  EXPECT_EQ(Accused(Trace(both)), (std::set{alice_.id, bob_.id}));
}

TEST_F(TraceTest, TheMasterAccusesNobody) {
  EXPECT_TRUE(Accused(Trace(song_)).empty());
  EXPECT_TRUE(Accused(Trace(song_, {"--master", world_.Path("song.wav")})).empty());
}

TEST_F(TraceTest, CandidatesAreWhomOneNames) {
  const std::string folder = world_.Path("vouchers");
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(world_.MakeVoucher(session_, bob_.id, "0-9"), folder + "/bob.voucher");
  WriteAll(folder + "/notes.txt", "nothing of interest");
  const Json among_files = Trace(alices_, {"--candidates", folder, "--adus", "0-99"});
  EXPECT_TRUE(Accused(among_files).empty()) << among_files;
  EXPECT_EQ(among_files["candidates"].size(), 1u);
  WriteAll(world_.Path("list"), "# two\n" + bob_.id + "\n" + alice_.id + "\n");
  EXPECT_EQ(Accused(Trace(alices_, {"--candidates", world_.Path("list"), "--adus", "0-99"})),
            std::set{alice_.id});
}

TEST_F(AuditTest, TellsWhatWasChosen) {
  const Outcome outcome = world_.Try("narkctl", {"session",
                                                 "create",
                                                 "--provider",
                                                 world_.provider(),
                                                 "--pool",
                                                 world_.pool(),
                                                 "--transport",
                                                 NewGroup().Uri(),
                                                 "--cipher",
                                                 "chameleon",
                                                 "--colluders",
                                                 "4",
                                                 "--false-accusation",
                                                 "1e-9",
                                                 "--audit-block",
                                                 "128KiB",
                                                 "--out",
                                                 world_.Path("s.nark"),
                                                 "--sender-out",
                                                 world_.Path("s.sender")});
  ASSERT_EQ(outcome.status, 0) << outcome.ToString();
  EXPECT_EQ(outcome.out.size(), 33u) << "the session's id alone";
  for (const char* said : {"16384 symbols", "128 KiB", "4 colluders", "once in 1000000000"}) {
    EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.ToString();
  }
}

}  // namespace
}  // namespace nark::harness
