// Holds the layers that docs/architecture.md draws, by reading every include of
// the tree.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace nark {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kTiers = {"keymanager", "load",  "narkctl",     "receiver",
                                      "refunds",    "relay", "securespace", "sender"};

struct Source {
  std::string path;  // from the top of the tree
  std::vector<std::string> lines;
  std::vector<std::string> includes;

  std::string room() const { return path.substr(0, path.find('/')); }
  std::string name() const { return fs::path(path).filename(); }
  std::string stem() const { return fs::path(path).stem(); }
  bool Below(const std::string& folder) const { return path.rfind(folder + "/", 0) == 0; }
  // Tests, and what only they use.
  bool IsTest() const {
    return Below("tests") || EndsWith("_test.cc") || stem() == "testing" ||
           EndsWith("_testing.h") || EndsWith("_testing.cc") || stem().ends_with("_fixture");
  }
  // Where a program is put together from concrete parts: main, and the commands that
  // a main consists of.
  bool IsMain() const {
    static const std::set<std::string> kCommands = {
        "receiver/amend.cc",  "receiver/join.cc",    "receiver/membership.cc", "receiver/note.cc",
        "receiver/refund.cc", "receiver/request.cc", "sender/expel.cc"};
    return name() == "main.cc" || EndsWith("_main.cc") || kCommands.contains(path);
  }
  bool EndsWith(const std::string& end) const {
    return path.size() >= end.size() &&
           path.compare(path.size() - end.size(), end.size(), end) == 0;
  }
};

// The tree itself: this file is a link into it.
fs::path Top() {
  const fs::path here = fs::canonical("tests/layers/layers_test.cc");
  return here.parent_path().parent_path().parent_path();
}

Source Read(const fs::path& top, const fs::path& path) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"].*)re");
  Source source;
  source.path = fs::relative(path, top).generic_string();
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kInclude)) source.includes.push_back(match[1]);
    source.lines.push_back(std::move(line));
  }
  return source;
}

const std::vector<Source>& Tree() {
  static const auto* tree = [] {
    auto* sources = new std::vector<Source>;
    const fs::path top = Top();
    std::vector<std::string> rooms(kTiers.begin(), kTiers.end());
    rooms.insert(rooms.end(), {"bazel", "common", "tests"});
    for (const std::string& room : rooms) {
      if (!fs::exists(top / room)) continue;
      for (const auto& entry : fs::recursive_directory_iterator(top / room)) {
        const std::string end = entry.path().extension();
        if (end == ".cc" || end == ".h") sources->push_back(Read(top, entry.path()));
      }
    }
    return sources;
  }();
  return *tree;
}

bool StartsWith(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

bool IsGrpc(const std::string& include) {
  return StartsWith(include, "grpc") || include.find(".grpc.pb.h") != std::string::npos;
}

// Lines of code (not comments) that match.
std::vector<std::string> LinesWith(const Source& source, const std::regex& what) {
  std::vector<std::string> found;
  for (const std::string& line : source.lines) {
    const std::string code = line.substr(0, line.find("//"));
    if (std::regex_search(code, what)) found.push_back(line);
  }
  return found;
}

TEST(LayersTest, SeesTheWholeTree) {
  // Otherwise the other tests would pass on nothing.
  EXPECT_GT(Tree().size(), 60u);
  std::set<std::string> rooms;
  for (const Source& source : Tree()) rooms.insert(source.room());
  for (const char* room :
       {"common", "keymanager", "narkctl", "receiver", "securespace", "sender"}) {
    EXPECT_TRUE(rooms.contains(room)) << room;
  }
}

TEST(LayersTest, OnlyCryptoKnowsOpenSsl) {
  for (const Source& source : Tree()) {
    // The limits that benchmarks compare with are OpenSSL's own.
    if (source.Below("common/crypto") || source.Below("bazel") || source.Below("tests/bench")) {
      continue;
    }
    for (const std::string& include : source.includes) {
      EXPECT_FALSE(StartsWith(include, "openssl/")) << source.path << " includes " << include;
    }
  }
}

TEST(LayersTest, OnlyAdaptersClientsAndMainsKnowGrpc) {
  const std::set<std::string> adapters = {"service", "block_writer", "socket_server", "grpc_client",
                                          "remote",  "server",       "client"};
  size_t files = 0;
  for (const Source& source : Tree()) {
    const bool uses = std::any_of(source.includes.begin(), source.includes.end(), IsGrpc);
    files += uses ? 1 : 0;
    const bool may = source.IsTest() || source.IsMain() || source.Below("bazel") ||
                     source.Below("common/rpc") || adapters.contains(source.stem());
    EXPECT_TRUE(may || !uses) << source.path << " includes gRPC";
  }
  // Each costs six seconds of every clean build.
  EXPECT_LE(files, 40u);
}

TEST(LayersTest, CommonKnowsNoTier) {
  for (const Source& source : Tree()) {
    if (!source.Below("common")) continue;
    for (const std::string& include : source.includes) {
      EXPECT_FALSE(kTiers.contains(include.substr(0, include.find('/'))))
          << source.path << " includes " << include;
    }
  }
}

TEST(LayersTest, TiersKnowEachOtherOnlyThroughInterfaces) {
  const std::set<std::string> interfaces = {"securespace/secure_space.h", "keymanager/client.h"};
  // Concrete choices are made in mains, which may also know these.
  const std::set<std::string> for_mains = {"securespace/connect.h",       "securespace/folder.h",
                                           "securespace/socket_server.h", "securespace/service.h",
                                           "keymanager/grpc_client.h",    "relay/client/source.h"};
  // Stands for many viewers, and makes what their secure spaces make.
  const std::map<std::string, std::set<std::string>> for_rooms = {
      {"load", {"securespace/grant_exchange.h"}}};
  for (const Source& source : Tree()) {
    if (!kTiers.contains(source.room()) || source.IsTest()) continue;
    for (const std::string& include : source.includes) {
      const std::string room = include.substr(0, include.find('/'));
      if (!kTiers.contains(room) || room == source.room()) continue;
      const auto own = for_rooms.find(source.room());
      const bool may = interfaces.contains(include) ||
                       (source.IsMain() && for_mains.contains(include)) ||
                       (own != for_rooms.end() && own->second.contains(include));
      EXPECT_TRUE(may) << source.path << " includes " << include;
    }
  }
}

TEST(LayersTest, ProgramsDoNotDependOnTests) {
  for (const Source& source : Tree()) {
    if (source.IsTest() || source.Below("bazel/fuzz")) continue;
    for (const std::string& include : source.includes) {
      EXPECT_FALSE(StartsWith(include, "tests/") || StartsWith(include, "gtest") ||
                   StartsWith(include, "gmock"))
          << source.path << " includes " << include;
      const bool testing = include.find("/testing.h") != std::string::npos;
      EXPECT_FALSE(testing) << source.path << " includes " << include;
    }
  }
}

TEST(LayersTest, CoresAreHandedTimeAndRandomness) {
  const std::regex fetched(
      R"(system_clock::now|std::random_device|getrandom\(|RAND_bytes|\btime\(nullptr\)|gettimeofday)");
  const std::set<std::string> sources = {"common/base/clock.h", "common/crypto/random.cc",
                                         "common/crypto/random.h",
                                         // Names system calls, without making them.
                                         "securespace/hardening.cc"};
  for (const Source& source : Tree()) {
    // gRPC's own deadlines are points of the system's clock.
    if (source.IsTest() || source.IsMain() || sources.contains(source.path) ||
        source.Below("bazel") || source.Below("common/rpc")) {
      continue;
    }
    for (const std::string& line : LinesWith(source, fetched)) {
      ADD_FAILURE() << source.path << " fetches what it should be given: " << line;
    }
  }
}

TEST(LayersTest, ExpensiveHeadersHaveOnePlace) {
  const std::map<std::string, std::string> places = {{"CLI/", "common/cli/"},
                                                     {"toml++/", "common/cli/"},
                                                     {"httplib.h", "common/serve/"},
                                                     {"prometheus/", "common/serve/"}};
  for (const Source& source : Tree()) {
    if (source.Below("bazel")) continue;
    for (const std::string& include : source.includes) {
      for (const auto& [header, place] : places) {
        EXPECT_TRUE(!StartsWith(include, header) || StartsWith(source.path, place))
            << source.path << " includes " << include << ", which belongs to " << place;
      }
    }
  }
}

TEST(LayersTest, KeysAreRevealedInFewPlaces) {
  // A secret in a std::string can not be wiped; the names are what slips in.
  const std::regex careless(R"(std::(string|vector<uint8_t>)\s+\w*(seed|secret|private_key)\w*\b)");
  for (const Source& source : Tree()) {
    if (source.IsTest() || source.Below("bazel")) continue;
    for (const std::string& line : LinesWith(source, careless)) {
      if (std::regex_search(line, std::regex(R"(file|path|folder|view)"))) continue;
      ADD_FAILURE() << source.path << " keeps a secret in the open: " << line;
    }
  }
}

}  // namespace
}  // namespace nark
