#ifndef NARK_LOAD_REPORT_H_
#define NARK_LOAD_REPORT_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "load/arrivals.h"
#include "load/tally.h"

namespace nark::load {

// What a run was asked to do.
struct RunPlan {
  std::string pattern;  // constant, ramp, programme
  RateProfile profile;
  Spacing spacing = Spacing::kPoisson;
  uint64_t seed = 0;
  std::string connect;       // warm, cold, resumed
  uint64_t connections = 0;  // of warm
  std::vector<std::string> key_managers;
  uint64_t viewers = 0;
  uint64_t retries = 0;
  double check_percent = 0;
};

// What one replica did meanwhile.
struct ReplicaShare {
  std::string http;
  std::optional<double> cpu_seconds;
  std::optional<double> grants;
};

struct RunReport {
  RunPlan plan;
  Tally tally{std::chrono::seconds(1)};
  double seconds = 0;  // until the last join had ended
  double generator_cpu_seconds = 0;
  // The part of its time that the busiest thread of the generator was computing: answers
  // wait for it unseen as that nears 1.
  double generator_busiest_thread = 0;
  std::vector<ReplicaShare> replicas;
  enum class End { kWhole, kInterrupted } end = End::kWhole;

  // Whether every join that was due was granted.
  bool all_granted() const { return tally.counts().granted == tally.counts().offered; }
  // Whether the figures tell of the generator as well: of 1,000 starts more than one was
  // more than 10 ms late, or a thread of it was busy for more than 90 % of the time.
  bool generator_was_late() const;
};

// For people: figures with their units, warnings below.
std::string ToText(const RunReport& report);
// One object; times in milliseconds, named so.
std::string ToJson(const RunReport& report);
// Latency over time, rates over time, and latency by percentile, as an SVG document.
std::string ToSvg(const RunReport& report);

// The same for runs at one rate after the other. The chart shows latency and throughput by
// offered rate.
std::string CurveToText(const std::vector<RunReport>& steps);
std::string CurveToJson(const std::vector<RunReport>& steps);
std::string CurveToSvg(const std::vector<RunReport>& steps);

}  // namespace nark::load

#endif  // NARK_LOAD_REPORT_H_
