#include "load/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>

#include "load/xml_testing.h"

namespace nark::load {
namespace {

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Chart Small() {
  Chart chart;
  chart.title = "Rates";
  chart.x = Axis::Upto("seconds", 10);
  chart.y = Axis::Linear("joins per second", 87);
  chart.lines = {{"offered", {{0, 10}, {5, 80}, {10, 40}}, Line::Look::kDashed}};
  return chart;
}

TEST(ChartTest, TheCheckerFindsFaults) {
  EXPECT_EQ(WhyNotWellFormed("<a b=\"1\"><c/>x &amp; y</a>\n"), "");
  for (const char* bad : {"", "x", "<a>", "<a></b>", "<a></a><b/>", "<a b=1/>", "<a>&</a>",
                          "<a>x<</a>", "<a b=\"1\" b=\"2\"/>", "<a>\x01</a>"}) {
    EXPECT_NE(WhyNotWellFormed(bad), "") << bad;
  }
}

TEST(ChartTest, IsWellFormedWhateverItsTextsAre) {
  Chart chart = Small();
  chart.title = "a < b & \"c\" > d\x01";
  chart.lines[0].name = "<script>";
  const std::string svg = DrawSvg("h & <h>", {"n < m"}, {chart, Small()});
  EXPECT_EQ(WhyNotWellFormed(svg), "") << svg;
  EXPECT_EQ(svg.find("<script>"), std::string::npos);
}

TEST(ChartTest, SaysWhatItShows) {
  const std::string svg = DrawSvg("Heading", {"a note"}, {Small()});
  for (const char* text : {">Heading<", ">a note<", ">Rates<", ">seconds<", ">joins per second<",
                           ">offered<", ">20<", ">100<", "<title>Heading</title>"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
}

TEST(ChartTest, PutsPointsWhereTheyBelong) {
  Chart chart = Small();
  chart.lines = {{"line", {{0, 0}, {10, 100}}}};
  const std::string svg = DrawSvg("", {}, {chart});
  // From the lower left corner of the plot to the upper right.
  std::smatch match;
  ASSERT_TRUE(std::regex_search(svg, match, std::regex("d=\"M84.0 ([0-9.]+) L872.0 ([0-9.]+)\"")))
      << svg;
  EXPECT_DOUBLE_EQ(std::stod(match[1]) - std::stod(match[2]), 240);
}

TEST(ChartTest, WhatCanNotBeShownPartsTheLine) {
  Chart chart = Small();
  chart.y = Axis::Logarithmic("ms", 1, 1000);
  chart.lines = {{"line", {{0, 1}, {1, 10}, {2, std::nan("")}, {3, 10}, {4, 0}, {5, 7}, {6, 8}}}};
  const std::string svg = DrawSvg("", {}, {chart});
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  std::smatch match;
  ASSERT_TRUE(std::regex_search(svg, match, std::regex("d=\"(M84.0[^\"]*L[^\"]*M[^\"]*)\" fill")));
  EXPECT_EQ(Count(match[1], "M"), 3u);
  EXPECT_EQ(Count(svg, "<circle"), 1u) << "the point that is alone";
}

TEST(AxisTest, LinearEndsAtARoundNumber) {
  EXPECT_EQ(Axis::Linear("", 87).to, 100);
  EXPECT_EQ(Axis::Linear("", 100).to, 100);
  EXPECT_EQ(Axis::Linear("", 101).to, 150);
  EXPECT_EQ(Axis::Linear("", 1234).ticks.back().label, "1,500");
  EXPECT_GT(Axis::Linear("", 0).to, 0);
  const Axis axis = Axis::Upto("", 60);
  EXPECT_EQ(axis.to, 60);
  EXPECT_EQ(axis.ticks.back().label, "60");
}

TEST(AxisTest, LogarithmicHasWholeDecades) {
  const Axis axis = Axis::Logarithmic("", 0.3, 250);
  EXPECT_DOUBLE_EQ(axis.from, 0.1);
  EXPECT_DOUBLE_EQ(axis.to, 1000);
  EXPECT_EQ(axis.ticks.front().label, "0.1");
  EXPECT_EQ(axis.ticks.back().label, "1,000");
  const Axis one = Axis::Logarithmic("", 1, 1);
  EXPECT_DOUBLE_EQ(one.to / one.from, 10);
}

TEST(AxisTest, PercentilesGoAsFarAsTheValuesTell) {
  const Axis axis = Axis::Percentiles("", 20'000);
  EXPECT_EQ(axis.ticks.back().label, "99.99 %");
  EXPECT_EQ(axis.to, 20'000);
  EXPECT_EQ(Axis::Percentiles("", 5).to, 100);
}

}  // namespace
}  // namespace nark::load
