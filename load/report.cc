#include "load/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace nark::load {
namespace {

// Lines keep the order in which they are put.
using Json = nlohmann::ordered_json;

double Milliseconds(std::chrono::microseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double PerSecond(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

// For how long joins were offered.
double OfferedSeconds(const RunReport& report) {
  const double planned = report.plan.profile.seconds();
  return report.end == RunReport::End::kInterrupted ? std::min(planned, report.seconds) : planned;
}

double MicrosecondsEach(double seconds, double count) {
  return count > 0 ? 1e6 * seconds / count : 0;
}

// "1,234,567".
std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string PatternOf(const RunPlan& plan) {
  const RateProfile& profile = plan.profile;
  const std::string rate =
      profile.from_per_second == profile.to_per_second
          ? absl::StrFormat("%.6g/s", profile.to_per_second)
          : absl::StrFormat("%.6g to %.6g/s", profile.from_per_second, profile.to_per_second);
  return absl::StrFormat("%s, %s for %.6g s, %s, seed %u", plan.pattern, rate, profile.seconds(),
                         plan.spacing == Spacing::kPoisson ? "Poisson" : "even", plan.seed);
}

std::string ConnectOf(const RunPlan& plan) {
  const std::string managers = absl::StrCat(
      plan.key_managers.size(), plan.key_managers.size() == 1 ? " key manager" : " key managers");
  if (plan.connect == "warm") {
    return absl::StrCat("warm: ", plan.connections, " connections to ", managers);
  }
  return absl::StrCat(plan.connect, ": a connection for each join to ", managers);
}

void Row(std::string& text, const char* name, const MicrosecondHistogram& histogram) {
  if (histogram.count() == 0) return;
  absl::StrAppend(
      &text,
      absl::StrFormat("%-16s %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", name,
                      histogram.mean_us() / 1000, Milliseconds(histogram.Quantile(0.5)),
                      Milliseconds(histogram.Quantile(0.9)), Milliseconds(histogram.Quantile(0.99)),
                      Milliseconds(histogram.Quantile(0.999)), Milliseconds(histogram.max())));
}

void Counted(std::string& text, const char* name, uint64_t count, double seconds) {
  absl::StrAppend(&text, absl::StrFormat("%-16s %12s %10.1f/s\n", name, Grouped(count),
                                         PerSecond(count, seconds)));
}

std::string Failures(const Tally& tally) {
  if (tally.failures().empty()) return "";
  std::string text = "\nfailures              joins  attempts\n";
  for (const auto& [name, count] : tally.failures()) {
    const auto& [code, reason] = name;
    absl::StrAppend(
        &text, absl::StrFormat("%-16s %10s %9s  %s%s\n", code, Grouped(count.joins),
                               Grouped(count.attempts), reason.empty() ? "" : "[" + reason + "] ",
                               count.example));
  }
  return text;
}

std::string Resources(const RunReport& report) {
  const Counts& counts = report.tally.counts();
  std::string text = absl::StrFormat(
      "\ngenerator        %.2f cores, its busiest thread %.2f; %.0f us of CPU a join\n",
      report.seconds > 0 ? report.generator_cpu_seconds / report.seconds : 0,
      report.generator_busiest_thread,
      MicrosecondsEach(report.generator_cpu_seconds, static_cast<double>(counts.started)));
  for (const ReplicaShare& replica : report.replicas) {
    absl::StrAppend(&text, "replica          ", replica.http, ": ");
    if (!replica.cpu_seconds) {
      text += "says nothing of its CPU\n";
      continue;
    }
    absl::StrAppend(&text, absl::StrFormat("%.2f cores", *replica.cpu_seconds / report.seconds));
    if (replica.grants) {
      absl::StrAppend(&text,
                      absl::StrFormat(", %.0f grants, %.0f us of CPU each", *replica.grants,
                                      MicrosecondsEach(*replica.cpu_seconds, *replica.grants)));
    }
    text += "\n";
  }
  return text;
}

std::string Warnings(const RunReport& report) {
  const Counts& counts = report.tally.counts();
  std::string text;
  if (report.generator_was_late()) {
    absl::StrAppend(&text, "warning: the generator was late: ", Grouped(counts.late), " of ",
                    Grouped(counts.started),
                    " joins began more than 10 ms after they were due, and its busiest thread was "
                    "busy for ",
                    absl::StrFormat("%.0f %%", 100 * report.generator_busiest_thread),
                    " of the time. The figures tell of it as well as of the key managers: give "
                    "it a processor that nobody else uses, and --threads where it is busy.\n");
  }
  if (counts.not_started > 0) {
    absl::StrAppend(&text, "warning: ", Grouped(counts.not_started),
                    " joins were not started, because too many were outstanding; no latency "
                    "counts them (--outstanding)\n");
  }
  if (report.end == RunReport::End::kInterrupted) {
    text += "warning: interrupted; these are the joins until then\n";
  }
  return text.empty() ? text : "\n" + text;
}

Json ToObject(const MicrosecondHistogram& histogram) {
  return {{"count", histogram.count()},
          {"mean", histogram.mean_us() / 1000},
          {"p50", Milliseconds(histogram.Quantile(0.5))},
          {"p90", Milliseconds(histogram.Quantile(0.9))},
          {"p99", Milliseconds(histogram.Quantile(0.99))},
          {"p99_9", Milliseconds(histogram.Quantile(0.999))},
          {"max", Milliseconds(histogram.max())}};
}

Json PlanObject(const RunPlan& plan) {
  return {{"pattern", plan.pattern},
          {"rate_from", plan.profile.from_per_second},
          {"rate_to", plan.profile.to_per_second},
          {"duration_s", plan.profile.seconds()},
          {"spacing", plan.spacing == Spacing::kPoisson ? "poisson" : "even"},
          {"seed", plan.seed},
          {"connect", plan.connect},
          {"connections", plan.connections},
          {"key_managers", plan.key_managers},
          {"viewers", plan.viewers},
          {"retries", plan.retries},
          {"check_percent", plan.check_percent}};
}

Json JoinsObject(const Counts& counts) {
  return {{"offered", counts.offered},   {"not_started", counts.not_started},
          {"started", counts.started},   {"late", counts.late},
          {"granted", counts.granted},   {"failed", counts.failed},
          {"attempts", counts.attempts}, {"checked", counts.checked}};
}

Json FailuresArray(const Tally& tally) {
  Json failures = Json::array();
  for (const auto& [name, count] : tally.failures()) {
    failures.push_back({{"code", name.first},
                        {"reason", name.second},
                        {"joins", count.joins},
                        {"attempts", count.attempts},
                        {"example", count.example}});
  }
  return failures;
}

Json ReplicasArray(const RunReport& report) {
  Json replicas = Json::array();
  for (const ReplicaShare& replica : report.replicas) {
    Json one = {{"http", replica.http}};
    if (replica.cpu_seconds) one["cpu_seconds"] = *replica.cpu_seconds;
    if (replica.grants) one["grants"] = *replica.grants;
    if (replica.cpu_seconds && replica.grants) {
      one["cpu_us_per_join"] = MicrosecondsEach(*replica.cpu_seconds, *replica.grants);
    }
    replicas.push_back(std::move(one));
  }
  return replicas;
}

Json IntervalsArray(const Tally& tally) {
  const double length = Milliseconds(tally.interval()) / 1000;
  Json intervals = Json::array();
  for (size_t i = 0; i < tally.intervals().size(); ++i) {
    const Interval& interval = tally.intervals()[i];
    intervals.push_back({{"from_s", static_cast<double>(i) * length},
                         {"offered", interval.offered},
                         {"not_started", interval.not_started},
                         {"granted", interval.granted},
                         {"failed", interval.failed},
                         {"p50_ms", Milliseconds(interval.latency.Quantile(0.5))},
                         {"p99_ms", Milliseconds(interval.latency.Quantile(0.99))},
                         {"max_ms", Milliseconds(interval.latency.max())}});
  }
  return intervals;
}

Json ToObject(const RunReport& report) {
  const Tally& tally = report.tally;
  const Counts& counts = tally.counts();
  return {
      {"plan", PlanObject(report.plan)},
      {"seconds", report.seconds},
      {"interrupted", report.end == RunReport::End::kInterrupted},
      {"joins", JoinsObject(counts)},
      {"offered_per_second", PerSecond(counts.offered, OfferedSeconds(report))},
      {"granted_per_second", PerSecond(counts.granted, report.seconds)},
      {"latency_ms", ToObject(tally.latency())},
      {"service_ms",
       {{"connect", ToObject(tally.connect())},
        {"challenge", ToObject(tally.challenge())},
        {"grant", ToObject(tally.grant())}}},
      {"lag_ms", ToObject(tally.lag())},
      {"handshakes", {{"full", counts.full_handshakes}, {"resumed", counts.resumed_handshakes}}},
      {"failures", FailuresArray(tally)},
      {"generator",
       {{"cpu_seconds", report.generator_cpu_seconds},
        {"cpu_us_per_join",
         MicrosecondsEach(report.generator_cpu_seconds, static_cast<double>(counts.started))},
        {"busiest_thread", report.generator_busiest_thread},
        {"late", report.generator_was_late()}}},
      {"replicas", ReplicasArray(report)}};
}

}  // namespace

bool RunReport::generator_was_late() const {
  return tally.counts().late * 1000 > tally.counts().started || generator_busiest_thread > 0.9;
}

std::string ToText(const RunReport& report) {
  const Tally& tally = report.tally;
  const Counts& counts = tally.counts();
  const double planned = OfferedSeconds(report);
  std::string text = absl::StrCat(PatternOf(report.plan), "\n", ConnectOf(report.plan), ", ",
                                  Grouped(report.plan.viewers), " viewers\n\n");
  Counted(text, "offered", counts.offered, planned);
  Counted(text, "started", counts.started, planned);
  Counted(text, "granted", counts.granted, report.seconds);
  Counted(text, "failed", counts.failed, report.seconds);
  if (counts.not_started > 0) Counted(text, "not started", counts.not_started, planned);
  absl::StrAppend(
      &text, absl::StrFormat("%-16s %12s %10.3f a join\n", "attempts", Grouped(counts.attempts),
                             counts.started == 0 ? 0.0
                                                 : static_cast<double>(counts.attempts) /
                                                       static_cast<double>(counts.started)));
  if (counts.full_handshakes + counts.resumed_handshakes > 0) {
    absl::StrAppend(&text, absl::StrFormat("%-16s %12s full, %s resumed\n", "TLS handshakes",
                                           Grouped(counts.full_handshakes),
                                           Grouped(counts.resumed_handshakes)));
  }
  absl::StrAppend(&text, absl::StrFormat("%-16s %12s opened and verified\n", "grants checked",
                                         Grouped(counts.checked)));
  absl::StrAppend(&text, absl::StrFormat("\n%-16s %9s %9s %9s %9s %9s %9s\n", "milliseconds",
                                         "mean", "p50", "p90", "p99", "p99.9", "max"));
  Row(text, "join, from due", tally.latency());
  Row(text, "  connect", tally.connect());
  Row(text, "  challenge", tally.challenge());
  Row(text, "  grant", tally.grant());
  Row(text, "generator lag", tally.lag());
  return absl::StrCat(text, Failures(tally), Resources(report), Warnings(report));
}

std::string ToJson(const RunReport& report) {
  Json object = ToObject(report);
  object["intervals"] = IntervalsArray(report.tally);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string CurveToText(const std::vector<RunReport>& steps) {
  std::string text;
  if (steps.empty()) return text;
  absl::StrAppend(&text, ConnectOf(steps.front().plan), ", each rate for ",
                  absl::StrFormat("%.6g s", steps.front().plan.profile.seconds()), "\n\n",
                  absl::StrFormat("%9s %9s %8s %8s %9s %9s %9s %9s %9s %7s\n", "offered/s",
                                  "granted/s", "failed", "not st.", "p50 ms", "p99 ms", "p99.9 ms",
                                  "max ms", "lag p99", "cores"));
  for (const RunReport& step : steps) {
    const Tally& tally = step.tally;
    absl::StrAppend(
        &text, absl::StrFormat(
                   "%9.1f %9.1f %8u %8u %9.2f %9.2f %9.2f %9.2f %9.2f %7.2f%s\n",
                   PerSecond(tally.counts().offered, OfferedSeconds(step)),
                   PerSecond(tally.counts().granted, step.seconds), tally.counts().failed,
                   tally.counts().not_started, Milliseconds(tally.latency().Quantile(0.5)),
                   Milliseconds(tally.latency().Quantile(0.99)),
                   Milliseconds(tally.latency().Quantile(0.999)),
                   Milliseconds(tally.latency().max()), Milliseconds(tally.lag().Quantile(0.99)),
                   step.seconds > 0 ? step.generator_cpu_seconds / step.seconds : 0,
                   step.generator_was_late() ? "  generator late" : ""));
  }
  for (const RunReport& step : steps) {
    if (step.tally.failures().empty()) continue;
    absl::StrAppend(&text, "\n", absl::StrFormat("at %.6g/s:", step.plan.profile.to_per_second),
                    Failures(step.tally));
  }
  return text;
}

std::string CurveToJson(const std::vector<RunReport>& steps) {
  Json array = Json::array();
  for (const RunReport& step : steps) array.push_back(ToObject(step));
  return Json({{"steps", std::move(array)}}).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace nark::load
