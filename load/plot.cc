#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "load/chart.h"
#include "load/report.h"

namespace nark::load {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

double Milliseconds(std::chrono::microseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// A logarithmic axis over whatever is above 0 in the lines.
Axis LatencyAxis(const std::vector<Line>& lines) {
  double least = std::numeric_limits<double>::max(), most = 0;
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      if (!(y > 0)) continue;
      least = std::min(least, y);
      most = std::max(most, y);
    }
  }
  if (most == 0) least = most = 1;
  return Axis::Logarithmic("milliseconds", std::max(least, 0.01), most);
}

Chart LatencyOverTime(const Tally& tally, double seconds) {
  const double length = Milliseconds(tally.interval()) / 1000;
  Line p50{"median", {}}, p99{"99 %", {}, Line::Look::kDashed},
      most{"maximum", {}, Line::Look::kDotted};
  for (size_t i = 0; i < tally.intervals().size(); ++i) {
    const MicrosecondHistogram& latency = tally.intervals()[i].latency;
    const double at = (static_cast<double>(i) + 0.5) * length;
    const auto value = [&](double part) {
      return latency.count() == 0 ? kNothing : Milliseconds(latency.Quantile(part));
    };
    p50.points.emplace_back(at, value(0.5));
    p99.points.emplace_back(at, value(0.99));
    most.points.emplace_back(at, value(1));
  }
  Chart chart{"Latency of granted joins, from when they were due", {}, {}, {p50, p99, most}};
  chart.x = Axis::Upto("when the join was due, seconds from the beginning", seconds);
  chart.y = LatencyAxis(chart.lines);
  return chart;
}

Chart RatesOverTime(const Tally& tally, double seconds) {
  const double length = Milliseconds(tally.interval()) / 1000;
  Line offered{"offered", {}, Line::Look::kDashed}, granted{"granted", {}}, failed{"failed", {}},
      not_started{"not started", {}, Line::Look::kDotted};
  double highest = 0;
  bool any_failed = false, any_not_started = false;
  for (size_t i = 0; i < tally.intervals().size(); ++i) {
    const Interval& interval = tally.intervals()[i];
    // The last one may be cut short by the end.
    const double covered = std::min(length, seconds - static_cast<double>(i) * length);
    if (covered < length / 2) continue;
    const double at = static_cast<double>(i) * length + covered / 2;
    const auto add = [&](Line& line, uint64_t count) {
      const double rate = static_cast<double>(count) / covered;
      highest = std::max(highest, rate);
      line.points.emplace_back(at, rate);
    };
    add(offered, interval.offered);
    add(granted, interval.granted);
    add(failed, interval.failed);
    add(not_started, interval.not_started);
    any_failed = any_failed || interval.failed > 0;
    any_not_started = any_not_started || interval.not_started > 0;
  }
  Chart chart{"Rates", {}, {}, {offered, granted}};
  if (any_failed) chart.lines.push_back(failed);
  if (any_not_started) chart.lines.push_back(not_started);
  chart.x = Axis::Upto("seconds from the beginning", seconds);
  chart.y = Axis::Linear("joins per second", highest);
  return chart;
}

// Up to `most`, at 1 / (1 - part).
Line ByPercentile(const std::string& name, const MicrosecondHistogram& histogram, double most,
                  Line::Look look) {
  Line line{name, {}, look};
  most = std::min(most, static_cast<double>(histogram.count()));
  // Forty points to each further nine.
  for (int i = 0; most > 0; ++i) {
    const double at = std::min(std::pow(10, i / 40.0), most);
    // The last place is the maximum's.
    const double ms = Milliseconds(histogram.Quantile(at < most ? 1 - 1 / at : 1));
    // A logarithmic axis has no 0: what is shorter than a microsecond is drawn as one.
    line.points.emplace_back(at, std::max(ms, 0.001));
    if (at >= most) break;
  }
  return line;
}

Chart LatencyByPercentile(const Tally& tally) {
  Chart chart;
  chart.title =
      "Latency by percentile: joins from when they were due, their steps, and late starts";
  chart.x = Axis::Percentiles("part of all that took no longer",
                              static_cast<double>(tally.latency().count()));
  const auto add = [&](const char* name, const MicrosecondHistogram& histogram, Line::Look look) {
    if (histogram.count() == 0) return;
    chart.lines.push_back(ByPercentile(name, histogram, chart.x.to, look));
  };
  add("join", tally.latency(), Line::Look::kSolid);
  add("challenge", tally.challenge(), Line::Look::kDashed);
  add("grant", tally.grant(), Line::Look::kDashed);
  add("connecting", tally.connect(), Line::Look::kDashed);
  add("generator lag", tally.lag(), Line::Look::kDotted);
  chart.y = LatencyAxis(chart.lines);
  return chart;
}

std::string JoinsNote(const Tally& tally) {
  const Counts& counts = tally.counts();
  return absl::StrFormat("%u joins offered, %u granted, %u failed, %u not started, %u late starts",
                         counts.offered, counts.granted, counts.failed, counts.not_started,
                         counts.late);
}

std::string PlanNote(const RunPlan& plan) {
  std::string note =
      absl::StrFormat("%s connections, %u key manager%s, %s spacing from seed %u", plan.connect,
                      plan.key_managers.size(), plan.key_managers.size() == 1 ? "" : "s",
                      plan.spacing == Spacing::kPoisson ? "Poisson" : "even", plan.seed);
  return note;
}

Chart CurveLatency(const std::vector<RunReport>& steps) {
  const auto line = [&](const char* name, double part, Line::Look look) {
    Line made{name, {}, look, Line::Marks::kPoints};
    for (const RunReport& step : steps) {
      const MicrosecondHistogram& latency = step.tally.latency();
      made.points.emplace_back(
          step.plan.profile.to_per_second,
          latency.count() == 0 ? kNothing : Milliseconds(latency.Quantile(part)));
    }
    return made;
  };
  Chart chart;
  chart.title = "Latency of granted joins, from when they were due";
  chart.lines = {line("median", 0.5, Line::Look::kSolid), line("99 %", 0.99, Line::Look::kDashed),
                 line("99.9 %", 0.999, Line::Look::kDotted)};
  chart.y = LatencyAxis(chart.lines);
  return chart;
}

Chart CurveRates(const std::vector<RunReport>& steps) {
  Line ideal{"granted, if all were", {}, Line::Look::kDotted};
  Line granted{"granted", {}, Line::Look::kSolid, Line::Marks::kPoints};
  Line failed{"failed or not started", {}, Line::Look::kDashed, Line::Marks::kPoints};
  double highest = 0;
  for (const RunReport& step : steps) {
    const Counts& counts = step.tally.counts();
    const double rate = step.plan.profile.to_per_second;
    const double seconds = std::max(step.seconds, 1e-3);
    ideal.points.emplace_back(rate, rate);
    granted.points.emplace_back(rate, static_cast<double>(counts.granted) / seconds);
    failed.points.emplace_back(rate,
                               static_cast<double>(counts.failed + counts.not_started) / seconds);
    highest = std::max(highest, rate);
  }
  Chart chart;
  chart.title = "Throughput";
  chart.lines = {granted, failed, ideal};
  chart.y = Axis::Linear("joins per second", highest);
  return chart;
}

}  // namespace

std::string ToSvg(const RunReport& report) {
  const double planned = report.plan.profile.seconds();
  const double seconds = std::max(planned, report.seconds);
  const RateProfile& profile = report.plan.profile;
  const std::string rate =
      profile.from_per_second == profile.to_per_second
          ? absl::StrFormat("%.6g joins/s", profile.to_per_second)
          : absl::StrFormat("%.6g to %.6g joins/s", profile.from_per_second, profile.to_per_second);
  std::vector<std::string> notes = {PlanNote(report.plan), JoinsNote(report.tally)};
  if (report.generator_was_late()) {
    notes.push_back("The generator was late: these figures tell of it as well.");
  }
  return DrawSvg(
      absl::StrFormat("nark-load, %s: %s for %.6g s", report.plan.pattern, rate, planned), notes,
      {LatencyOverTime(report.tally, planned), RatesOverTime(report.tally, seconds),
       LatencyByPercentile(report.tally)});
}

std::string CurveToSvg(const std::vector<RunReport>& steps) {
  if (steps.empty()) return DrawSvg("nark-load: no step was run", {}, {});
  std::vector<Chart> charts = {CurveLatency(steps), CurveRates(steps)};
  double highest = 0;
  size_t late = 0;
  for (const RunReport& step : steps) {
    highest = std::max(highest, step.plan.profile.to_per_second);
    late += step.generator_was_late() ? 1 : 0;
  }
  for (Chart& chart : charts) chart.x = Axis::Linear("joins offered per second", highest);
  std::vector<std::string> notes = {PlanNote(steps.front().plan)};
  if (late > 0) {
    notes.push_back(
        absl::StrFormat("At %u of %u rates the generator was late: those points tell "
                        "of it as well.",
                        late, steps.size()));
  }
  return DrawSvg(absl::StrFormat("nark-load: latency by load, %.6g s each",
                                 steps.front().plan.profile.seconds()),
                 notes, charts);
}

}  // namespace nark::load
