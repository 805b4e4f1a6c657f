#ifndef NARK_TESTS_HARNESS_GROWTH_H_
#define NARK_TESTS_HARNESS_GROWTH_H_

#include <vector>

namespace nark::harness {

// How much of something there was, when so much work had been done.
struct Reading {
  double work = 0;
  double amount = 0;
};

// What a series of readings shows. Neither noise nor single peaks move it.
struct Growth {
  double start = 0;     // the median amount of the first third
  double end = 0;       // of the last third
  double work = 0;      // done from the first reading to the last
  double per_work = 0;  // the median slope between any two readings (Theil and Sen)
  double total() const { return per_work * work; }
};

// Of at least nine readings, in the order of their work; throws std::runtime_error for fewer,
// and where no work was done.
Growth GrowthOf(const std::vector<Reading>& readings);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_GROWTH_H_
