// Whether capacity grows with replicas: joins per second and processor time a join of one,
// two and four key managers, each confined to a fifth of core 0 (a small machine of its own,
// as far as the processor goes), driven to their limit from the last core. The limit is the
// linear model: so many times what one does. Medians of interleaved rounds. One JSON line a
// figure; none, and why, where the system lets no shares of a processor be given.

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/cpu_quota.h"
#include "tests/bench/join_load.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr double kCores = 0.2;  // each; four of them and the callers fit two cores
// A replica never waits for work: its share of a period is a few joins.
constexpr int kInFlight = 24;
constexpr size_t kFleets[] = {1, 2, 4};

struct Series {
  std::vector<double> cpu_per_join, joins_per_second;
};

void Print(size_t replicas, const Series& series, const Series& one) {
  const double joins = Median(series.joins_per_second);
  const double model = static_cast<double>(replicas) * Median(one.joins_per_second);
  const double cpu = Median(series.cpu_per_join);
  std::printf(
      "{\"figure\":\"fleet of %zu\",\"value\":%.1f,\"limit\":%.1f,\"ratio\":%.3f,"
      "\"unit\":\"joins/s\",\"limit_is\":\"so many times what one replica does\","
      "\"detail\":{\"cpu_us_per_join\":%.1f,\"cpu_to_one\":%.3f,\"cores_a_replica\":%.2f}}\n",
      replicas, joins, model, joins / model, cpu * 1e6, cpu / Median(one.cpu_per_join), kCores);
  std::fflush(stdout);
}

int Run() {
  RunOnCore(LastCore());
  World world;
  // Quotas go after whom they confine.
  std::vector<std::unique_ptr<CpuQuota>> quotas;
  std::vector<Target> replicas;
  for (size_t i = 0; i < kFleets[2]; ++i) {
    absl::StatusOr<std::unique_ptr<CpuQuota>> quota = CpuQuota::Create(kCores);
    if (!quota.ok()) {
      std::printf("no figures of a fleet: %s\n", quota.status().ToString().c_str());
      return 0;
    }
    quotas.push_back(*std::move(quota));
    replicas.push_back(StartReplica(world, "replica-" + std::to_string(i)));
    const absl::Status confined = quotas.back()->Confine(replicas.back().process->pid());
    if (!confined.ok()) Die(confined.ToString());
  }
  std::map<size_t, Series> found;
  for (int round = -1; round < kRounds; ++round) {
    for (const size_t count : kFleets) {
      std::vector<const Target*> targets;
      // Every replica in turn is the one, or of the two.
      for (size_t i = 0; i < count; ++i) {
        targets.push_back(&replicas[(static_cast<size_t>(round + 1) + i) % replicas.size()]);
      }
      const Load load = Warm(world, targets, kInFlight, Answering::kReplica, {});
      if (round < 0) continue;  // first touch of memory and of code
      found[count].cpu_per_join.push_back(load.cpu_per_join);
      found[count].joins_per_second.push_back(load.joins_per_second);
    }
  }
  for (const size_t count : kFleets) Print(count, found[count], found[1]);
  return 0;
}

}  // namespace
}  // namespace nark::bench

int main() { return nark::bench::Run(); }
