#ifndef NARK_TESTS_SIMULATION_SIMULATION_H_
#define NARK_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

namespace nark::simulation {

struct Settings {
  uint64_t seed = 1;
  int viewers = 3;
};

// What a run came to.
struct Report {
  std::vector<std::string> violations;  // of the invariants; empty is good
  std::string events_hash;
  std::string tail;  // the last events
  uint64_t events = 0;
  uint64_t adus_sent = 0;
  uint64_t datagrams_sent = 0;
  uint64_t adus_delivered = 0;
  // SHA-256 over everything that the station did, in order: ids, sizes and times.
  std::string station_hash;
};

// Runs sender, pool, receivers and their secure spaces in this process for some
// seconds of virtual time, over networks, storages and crashes drawn from the seed.
// Holds the invariants of the architecture (docs/architecture.md): I2, one set-up
// exchange; I3, any replica at any step; I4, a key at most once, inside the policy,
// recorded before it leaves; I7, whatever is lost, what is intact comes out.
Report Simulate(const Settings& settings);

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_SIMULATION_H_
