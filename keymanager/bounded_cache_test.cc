#include "keymanager/bounded_cache.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "keymanager/rate_limit.h"

namespace nark::keymanager {
namespace {

Digest KeyOf(int n) {
  Digest digest{};
  digest[0] = static_cast<uint8_t>(n);
  digest[1] = static_cast<uint8_t>(n >> 8);
  digest[31] = 9;
  return digest;
}

TEST(BoundedCacheTest, ForgetsWhatWasNotUsedForLongest) {
  BoundedCache<int> cache(2);
  cache.Insert(KeyOf(1), 1);
  cache.Insert(KeyOf(2), 2);
  EXPECT_EQ(cache.Find(KeyOf(1)), 1);
  cache.Insert(KeyOf(3), 3);
  EXPECT_EQ(cache.Find(KeyOf(2)), std::nullopt);
  EXPECT_EQ(cache.Find(KeyOf(1)), 1);
  EXPECT_EQ(cache.Find(KeyOf(3)), 3);
  EXPECT_EQ(cache.size(), 2u);
}

TEST(BoundedCacheTest, ReplacesAValue) {
  BoundedCache<int> cache(2);
  cache.Insert(KeyOf(1), 1);
  cache.Insert(KeyOf(1), 4);
  EXPECT_EQ(cache.Find(KeyOf(1)), 4);
  EXPECT_EQ(cache.size(), 1u);
}

TEST(BoundedCacheTest, StaysBoundedUnderThreads) {
  BoundedCache<int> cache(16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 5000; ++i) {
        cache.Insert(KeyOf(i * (t + 1) % 97), i);
        cache.Find(KeyOf(i % 97));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.size(), 16u);
}

TEST(RateLimitTest, AllowsABurstAndThenARate) {
  RateLimit limit({.burst = 3, .per_second = 2}, 8);
  Timestamp now{std::chrono::seconds{1000}};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.Allow(KeyOf(1), now));
  EXPECT_FALSE(limit.Allow(KeyOf(1), now));
  EXPECT_TRUE(limit.Allow(KeyOf(2), now));
  now += std::chrono::milliseconds(499);
  EXPECT_FALSE(limit.Allow(KeyOf(1), now));
  now += std::chrono::milliseconds(1);
  EXPECT_TRUE(limit.Allow(KeyOf(1), now));
  EXPECT_FALSE(limit.Allow(KeyOf(1), now));
  now += std::chrono::hours(1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.Allow(KeyOf(1), now));
  EXPECT_FALSE(limit.Allow(KeyOf(1), now));
}

TEST(RateLimitTest, AClockSetBackGivesNothing) {
  RateLimit limit({.burst = 1, .per_second = 1}, 8);
  const Timestamp now{std::chrono::seconds{1000}};
  EXPECT_TRUE(limit.Allow(KeyOf(1), now));
  EXPECT_FALSE(limit.Allow(KeyOf(1), now - std::chrono::hours(1)));
  EXPECT_TRUE(limit.Allow(KeyOf(1), now));
}

}  // namespace
}  // namespace nark::keymanager
