#include "load/replica_usage.h"

#include <gtest/gtest.h>

namespace nark::load {
namespace {

TEST(ReplicaUsageTest, ReadsPrometheusText) {
  const ReplicaUsage usage = ParseReplicaUsage(
      "# HELP nark_keymanager_grants_total Grants issued, repeated answers among them.\n"
      "# TYPE nark_keymanager_grants_total counter\n"
      "nark_keymanager_grants_total 1234\n"
      "nark_keymanager_grants_total_of_another 7\n"
      "process_cpu_seconds_total 5.25e-1");
  EXPECT_EQ(usage.grants, 1234);
  EXPECT_EQ(usage.cpu_seconds, 0.525);
}

TEST(ReplicaUsageTest, WhatIsNotThereIsLeftOut) {
  for (const char* text : {"", "\n\n", "process_cpu_seconds_total", "process_cpu_seconds_total \n",
                           "process_cpu_seconds_total many\n", "# process_cpu_seconds_total 5\n"}) {
    EXPECT_FALSE(ParseReplicaUsage(text).cpu_seconds.has_value()) << text;
  }
}

}  // namespace
}  // namespace nark::load
