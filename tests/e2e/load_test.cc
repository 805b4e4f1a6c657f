// nark-load against real replicas: what it says is what happened.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/harness/process.h"
#include "tests/harness/world.h"

namespace nark::harness {
namespace {

using Json = nlohmann::json;

class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    for (int i = 0; i < 2; ++i) replicas_.push_back(world_.StartKeyManager());
    session_ = world_.MakeSession({replicas_[0].listen, replicas_[1].listen}, {});
    world_.Do("nark-load",
              {"prepare", "--issuer", world_.issuer(), "--provider", world_.provider(), "--session",
               session_.session, "--viewers", "50", "--range", "1000-90000", "--out", load_});
  }
  Words Arguments(const Words& more) const {
    Words arguments = {"run", "--load", load_, "--session", session_.session, "--seed", "7"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  Json RunJson(const Words& more) {
    Words arguments = Arguments(more);
    arguments.push_back("--json");
    return Json::parse(world_.Do("nark-load", arguments));
  }
  double GrantsOf(const Server& replica) const {
    return MetricOf(HttpGet(replica.http, "/metrics"), "nark_keymanager_grants_total");
  }

  World world_;
  std::vector<Server> replicas_;
  SessionFiles session_;
  const std::string load_ = world_.Path("viewers.load");
};

TEST_F(LoadTest, EveryJoinIsGrantedAndCounted) {
  struct stat info {};
  ASSERT_EQ(::stat(load_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  const std::string plot = world_.Path("run.svg");
  const Json run =
      RunJson({"--rate", "40", "--duration", "5s", "--spacing", "even", "--check-grants", "100",
               "--plot", plot, "--http", replicas_[0].http, "--http", replicas_[1].http});
  const Json& joins = run["joins"];
  EXPECT_EQ(joins["offered"], 200) << run;
  EXPECT_EQ(joins["started"], 200) << run;
  EXPECT_EQ(joins["granted"], 200) << run;
  EXPECT_EQ(joins["failed"], 0) << run;
  EXPECT_EQ(joins["not_started"], 0) << run;
  EXPECT_EQ(joins["attempts"], 200) << run;
  EXPECT_EQ(joins["checked"], 200) << run;
  EXPECT_TRUE(run["failures"].empty()) << run;
  EXPECT_EQ(run["plan"]["connect"], "warm");
  EXPECT_EQ(run["plan"]["viewers"], 50);
  EXPECT_EQ(run["plan"]["key_managers"].size(), 2u);
  EXPECT_NEAR(run["offered_per_second"], 40, 0.01);
  // The replicas say the same.
  EXPECT_EQ(GrantsOf(replicas_[0]) + GrantsOf(replicas_[1]), 200);
  EXPECT_EQ(run["replicas"][0]["grants"].get<double>() + run["replicas"][1]["grants"].get<double>(),
            200);
  // No latency is shorter than what it consists of.
  EXPECT_EQ(run["latency_ms"]["count"], 200);
  EXPECT_GT(run["latency_ms"]["p50"], run["service_ms"]["grant"]["p50"]);
  EXPECT_GE(run["latency_ms"]["max"], run["latency_ms"]["p99"]);
  EXPECT_GT(run["service_ms"]["challenge"]["p50"], 0);
  uint64_t offered = 0;
  for (const Json& interval : run["intervals"]) offered += interval["offered"].get<uint64_t>();
  EXPECT_EQ(offered, 200u);
  const std::string svg = ReadAll(plot);
  EXPECT_NE(svg.find("<svg xmlns=\"http://www.w3.org/2000/svg\""), std::string::npos);
  EXPECT_NE(svg.find("200 joins offered, 200 granted"), std::string::npos) << svg;
}

TEST_F(LoadTest, AReplicaThatIsKilledCostsAttemptsAndNoJoin) {
  auto load = world_.Start("nark-load", Arguments({"--rate", "40", "--duration", "5s", "--json"}));
  ASSERT_TRUE(Eventually([&] { return GrantsOf(replicas_[0]) >= 20 || !load->running(); }));
  EXPECT_EQ(replicas_[0].process->Kill().status, 128 + SIGKILL);
  const Outcome outcome = load->Wait();
  ASSERT_EQ(outcome.status, 0) << outcome.ToString();
  const Json run = Json::parse(outcome.out);
  EXPECT_EQ(run["joins"]["granted"], run["joins"]["offered"]) << run;
  EXPECT_EQ(run["joins"]["failed"], 0) << run;
  EXPECT_GT(run["joins"]["attempts"], run["joins"]["granted"]) << run;
  ASSERT_FALSE(run["failures"].empty()) << run;
  for (const Json& failure : run["failures"]) EXPECT_EQ(failure["joins"], 0) << run;
}

TEST_F(LoadTest, FreshConnectionsAreMadeAndResumed) {
  const Json cold = RunJson({"--rate", "10", "--duration", "2s", "--spacing", "even", "--connect",
                             "cold", "--check-grants", "100"});
  EXPECT_EQ(cold["joins"]["granted"], 20) << cold;
  EXPECT_EQ(cold["handshakes"]["full"], 20) << cold;
  EXPECT_EQ(cold["service_ms"]["connect"]["count"], 20) << cold;
  EXPECT_GT(cold["service_ms"]["connect"]["p50"], 0) << cold;

  const Json resumed = RunJson({"--rate", "10", "--duration", "2s", "--spacing", "even",
                                "--connect", "resumed", "--key-manager", replicas_[0].listen});
  EXPECT_EQ(resumed["joins"]["granted"], 20) << resumed;
  EXPECT_EQ(resumed["handshakes"]["full"], 1) << resumed;
  EXPECT_EQ(resumed["handshakes"]["resumed"], 19) << resumed;
}

TEST_F(LoadTest, ACurveHasAStepForEachRate) {
  const Json curve = Json::parse(
      world_.Do("nark-load", {"curve", "--load", load_, "--session", session_.session, "--rates",
                              "10..30:3", "--duration", "1s", "--spacing", "even", "--json"}));
  ASSERT_EQ(curve["steps"].size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(curve["steps"][i]["joins"]["granted"], 10 * (i + 1));
}

TEST_F(LoadTest, FailuresAreToldByReasonAndStatus) {
  // Another provider's pool, which has nothing to do with the session.
  World elsewhere;
  const Server foreign = elsewhere.StartKeyManager({"--plaintext"});
  const Words arguments = Arguments({"--rate", "20", "--duration", "1s", "--spacing", "even",
                                     "--json", "--plaintext", "--key-manager", foreign.listen});
  const Outcome refused = world_.Try("nark-load", arguments);
  EXPECT_EQ(refused.status, 2) << refused.ToString();
  EXPECT_NE(refused.err.find("20 of 20 joins were not granted"), std::string::npos)
      << refused.ToString();
  const Json run = Json::parse(refused.out);
  EXPECT_EQ(run["joins"]["failed"], 20) << run;
  EXPECT_EQ(run["joins"]["attempts"], 20) << "it stands: " << run;
  EXPECT_EQ(run["failures"][0]["reason"], "NOT_ATTESTED") << run;
  EXPECT_EQ(run["failures"][0]["joins"], 20) << run;
  Words allowed = arguments;
  allowed.push_back("--allow-failures");
  EXPECT_EQ(world_.Try("nark-load", allowed).status, 0);

  const std::string nobody = "127.0.0.1:" + std::to_string(FreePort());
  const Outcome alone =
      world_.Try("nark-load", Arguments({"--rate", "20", "--key-manager", nobody}));
  EXPECT_EQ(alone.status, 2) << alone.ToString();
  EXPECT_NE(alone.err.find(nobody), std::string::npos) << alone.ToString();
}

TEST_F(LoadTest, LocalErrorsAreFoundBeforeAnyJoin) {
  const SessionFiles other = world_.MakeSession({replicas_[0].listen}, {});
  const std::vector<Words> wrong = {
      {"run", "--load", load_, "--session", other.session, "--rate", "1"},
      {"run", "--load", session_.session, "--session", session_.session, "--rate", "1"},
      Arguments({}),
      Arguments({"--rate", "0"}),
      Arguments({"--rate", "10", "--check-grants", "200"}),
      Arguments({"--rate", "10", "--from", "5"}),
      Arguments({"--pattern", "programme", "--rate", "10"}),
      Arguments({"--rate", "10", "--duration", "1s", "--connections", "1"}),
      Arguments({"--rate", "10", "--plaintext", "--connect", "resumed"})};
  for (const Words& arguments : wrong) {
    const Outcome outcome = world_.Try("nark-load", arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.ToString();
    EXPECT_EQ(outcome.out, "") << outcome.ToString();
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.ToString();
  }
  EXPECT_EQ(GrantsOf(replicas_[0]) + GrantsOf(replicas_[1]), 0);
}

}  // namespace
}  // namespace nark::harness
