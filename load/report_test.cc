#include "load/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "load/xml_testing.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Ten seconds at 100/s, of which every tenth join fails.
RunReport Some() {
  RunReport report;
  report.plan = {.pattern = "constant",
                 .profile = {100, 100, seconds(10)},
                 .spacing = Spacing::kEven,
                 .seed = 42,
                 .connect = "cold",
                 .connections = 0,
                 .key_managers = {"127.0.0.1:7443", "127.0.0.1:7444"},
                 .viewers = 5000,
                 .retries = 3,
                 .check_percent = 1};
  Tally tally(seconds(10));
  for (int i = 0; i < 1000; ++i) {
    JoinRecord join;
    join.intended = milliseconds(10 * i);
    join.started = join.intended + microseconds(60);
    join.ended = join.started + milliseconds(i % 100 == 99 ? 90 : 3);
    join.connect = milliseconds(2);
    join.challenge = microseconds(400);
    join.grant = microseconds(600);
    join.handshake = i == 0 ? Handshake::kFull : Handshake::kResumed;
    tally.OnOffered(join.intended);
    tally.OnStarted(join.intended, join.started);
    if (i % 10 == 0) {
      join.status = Refusal(absl::StatusCode::kPermissionDenied, "DENIED", "on the \"list\" <b>");
      tally.OnAttemptFailed(join.status);
    }
    tally.OnEnded(join);
  }
  report.tally = tally;
  report.seconds = 10;
  report.generator_cpu_seconds = 0.5;
  report.generator_busiest_thread = 0.04;
  report.replicas = {{"127.0.0.1:7480", 0.3, 450}, {"127.0.0.1:7481", std::nullopt, std::nullopt}};
  return report;
}

TEST(ReportTest, JsonHasEveryFigure) {
  const auto json = nlohmann::json::parse(ToJson(Some()));
  EXPECT_EQ(json["plan"]["seed"], 42);
  EXPECT_EQ(json["plan"]["spacing"], "even");
  EXPECT_EQ(json["joins"]["offered"], 1000);
  EXPECT_EQ(json["joins"]["granted"], 900);
  EXPECT_EQ(json["joins"]["failed"], 100);
  EXPECT_EQ(json["offered_per_second"], 100.0);
  EXPECT_EQ(json["granted_per_second"], 90.0);
  EXPECT_EQ(json["latency_ms"]["count"], 900);
  EXPECT_NEAR(json["latency_ms"]["p50"], 3.06, 0.03);
  EXPECT_NEAR(json["latency_ms"]["max"], 90.06, 0.001);
  EXPECT_NEAR(json["service_ms"]["connect"]["p50"], 2, 0.02);
  EXPECT_EQ(json["handshakes"]["full"], 1);
  EXPECT_EQ(json["handshakes"]["resumed"], 999);
  EXPECT_EQ(json["failures"][0]["reason"], "DENIED");
  EXPECT_EQ(json["failures"][0]["joins"], 100);
  EXPECT_EQ(json["generator"]["late"], false);
  EXPECT_NEAR(json["generator"]["cpu_us_per_join"], 500, 0.01);
  EXPECT_NEAR(json["replicas"][0]["cpu_us_per_join"], 666.7, 0.1);
  EXPECT_FALSE(json["replicas"][1].contains("cpu_seconds"));
  // The last join ended after the last was due.
  ASSERT_EQ(json["intervals"].size(), 101u);
  EXPECT_EQ(json["intervals"][3]["offered"], 10);
}

TEST(ReportTest, TextSaysWhatItIs) {
  const std::string text = ToText(Some());
  for (const char* part : {"seed 42", "1,000", "DENIED", "p99.9", "from due", "generator lag",
                           "127.0.0.1:7480", "667 us of CPU each", "cold"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("warning"), std::string::npos) << text;
}

TEST(ReportTest, ALateGeneratorIsNotHidden) {
  RunReport late = Some();
  for (int i = 0; i < 3; ++i) late.tally.OnStarted(seconds(1), seconds(1) + milliseconds(11));
  EXPECT_TRUE(late.generator_was_late());
  RunReport busy = Some();
  busy.generator_busiest_thread = 0.95;
  EXPECT_TRUE(busy.generator_was_late());
  for (const RunReport& report : {late, busy}) {
    EXPECT_NE(ToText(report).find("warning: the generator was late"), std::string::npos);
    EXPECT_EQ(nlohmann::json::parse(ToJson(report))["generator"]["late"], true);
    EXPECT_NE(ToSvg(report).find("The generator was late"), std::string::npos);
    EXPECT_NE(CurveToText({report}).find("generator late"), std::string::npos);
  }
}

TEST(ReportTest, AnInterruptedRunOfferedUntilThen) {
  RunReport report = Some();
  report.plan.profile.duration = seconds(60);
  report.end = RunReport::End::kInterrupted;
  const auto json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["offered_per_second"], 100.0);
  EXPECT_EQ(json["interrupted"], true);
  EXPECT_NE(ToText(report).find("warning: interrupted"), std::string::npos);
}

TEST(ReportTest, WhatWasNotStartedIsNoGrant) {
  RunReport report = Some();
  EXPECT_FALSE(report.all_granted());
  RunReport whole;
  EXPECT_TRUE(whole.all_granted());
  whole.tally.OnOffered(seconds(0));
  whole.tally.OnNotStarted(seconds(0));
  EXPECT_FALSE(whole.all_granted());
  EXPECT_NE(ToText(whole).find("not started"), std::string::npos);
}

TEST(ReportTest, PlotsAreWellFormed) {
  for (const RunReport& report : {Some(), RunReport()}) {
    EXPECT_EQ(WhyNotWellFormed(ToSvg(report)), "");
    EXPECT_EQ(WhyNotWellFormed(CurveToSvg({report, report})), "");
  }
  EXPECT_EQ(WhyNotWellFormed(CurveToSvg({})), "");
  const std::string svg = ToSvg(Some());
  for (const char* part : {"milliseconds", "joins per second", "90 %", "seconds from the"}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
}

TEST(ReportTest, CurvesHaveAStepEach) {
  const auto json = nlohmann::json::parse(CurveToJson({Some(), Some()}));
  ASSERT_EQ(json["steps"].size(), 2u);
  EXPECT_EQ(json["steps"][1]["joins"]["offered"], 1000);
  EXPECT_FALSE(json["steps"][0].contains("intervals"));
}

}  // namespace
}  // namespace nark::load
