// Keys per second of the generators, beside bare SHA-256 of as many compressions in
// the same run. One JSON line a figure: medians of interleaved rounds on one core.

#include <time.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/schedule/generator.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 9;
constexpr uint32_t kDepth = 32;
constexpr size_t kBlockBytes = 64;
constexpr size_t kBulkBytes = 1 << 20;

// Of the processor, so that a busy machine slows neither value nor limit.
double SecondsOf(auto&& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  work();
  return now() - begin;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// One way to ask for keys.
struct Figure {
  const char* name;
  const char* generator;
  std::vector<uint64_t> ids;
  double compressions;  // a key, at the least
};

// Hashes on the way from the leaf before to this one.
double MarksCompressions(const std::vector<uint64_t>& ids) {
  uint64_t total = kDepth;
  for (size_t i = 1; i < ids.size(); ++i) {
    total += static_cast<uint64_t>(std::bit_width(ids[i] ^ ids[i - 1]));
  }
  return static_cast<double>(total) / static_cast<double>(ids.size());
}

std::vector<Figure> Figures() {
  constexpr size_t kSequential = 1 << 20;
  constexpr size_t kRandom = 1 << 16;
  SeededRandom random(1);
  std::vector<uint64_t> sequential, scattered;
  for (size_t i = 0; i < kSequential; ++i) sequential.push_back(123456789 + i);
  for (size_t i = 0; i < kRandom; ++i) scattered.push_back(random.Below(uint64_t{1} << kDepth));
  const double sequential_cost = MarksCompressions(sequential);
  const double random_cost = MarksCompressions(scattered);
  // HMAC with both halves of the key hashed in advance: one block each.
  constexpr double kHmacCost = 2;
  return {{"marks sequential", "marks", std::move(sequential), sequential_cost},
          {"marks random", "marks", scattered, random_cost},
          {"hkdf random", "hkdf", std::move(scattered), kHmacCost}};
}

std::unique_ptr<schedule::KeySource> Open(const Figure& figure) {
  std::vector<schedule::Node> nodes;
  nodes.push_back({0, 0, SecretBytes(32)});
  const schedule::Parameters parameters{figure.generator, kDepth};
  return *(*schedule::FindGenerator(figure.generator))->Open(parameters, std::move(nodes));
}

double KeysPerSecond(const Figure& figure) {
  const auto source = Open(figure);
  SecretBytes leaf(32);
  uint8_t used = 0;
  const double seconds = SecondsOf([&] {
    for (uint64_t id : figure.ids) {
      if (!source->Leaf(id, leaf).ok()) std::abort();
      used ^= leaf.Reveal()[0];
    }
  });
  volatile uint8_t sink = used;
  (void)sink;
  return static_cast<double>(figure.ids.size()) / seconds;
}

// Of one long message, so that nothing but compressions costs.
double BareCompressionsPerSecond(const Bytes& message) {
  constexpr int kTimes = 32;
  uint8_t used = 0;
  const double seconds = SecondsOf([&] {
    for (int i = 0; i < kTimes; ++i) used ^= Sha256(message)[0];
  });
  volatile uint8_t sink = used;
  (void)sink;
  return kTimes * static_cast<double>(message.size() / kBlockBytes) / seconds;
}

void Run() {
  const std::vector<Figure> figures = Figures();
  const Bytes message(kBulkBytes, 1);
  std::vector<std::vector<double>> values(figures.size()), limits(figures.size());
  (void)BareCompressionsPerSecond(message);  // warms up
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < figures.size(); ++i) {
      limits[i].push_back(BareCompressionsPerSecond(message) / figures[i].compressions);
      values[i].push_back(KeysPerSecond(figures[i]));
    }
  }
  for (size_t i = 0; i < figures.size(); ++i) {
    const double value = Median(values[i]), limit = Median(limits[i]);
    std::printf(
        "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"keys/s\"}\n",
        figures[i].name, value, limit, value / limit);
  }
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
