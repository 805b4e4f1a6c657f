// Generators, covers and keys of one ADU. tests/bench/keys_bench.cc prints the
// figures with their limits.

#include <benchmark/benchmark.h>

#include <memory>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"

namespace nark::schedule {
namespace {

constexpr uint32_t kDepth = 32;

uint32_t DepthOf(const char* id) { return DefaultDepth(**FindGenerator(id)); }

std::unique_ptr<KeySource> Open(const char* id) {
  std::vector<Node> nodes;
  nodes.push_back({0, 0, SecretBytes(32)});
  return *(*FindGenerator(id))->Open({id, DepthOf(id)}, std::move(nodes));
}

void BM_Sequential(benchmark::State& state, const char* id) {
  const auto source = Open(id);
  SecretBytes leaf(32);
  uint64_t adu_id = 0;
  const uint64_t last = (uint64_t{1} << DepthOf(id)) - 1;
  for (auto _ : state) benchmark::DoNotOptimize(source->Leaf(adu_id++ & last, leaf));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(BM_Sequential, marks, "marks");
BENCHMARK_CAPTURE(BM_Sequential, hkdf, "hkdf");
BENCHMARK_CAPTURE(BM_Sequential, hash_chain, "hash-chain");
BENCHMARK_CAPTURE(BM_Sequential, logistic_map, "logistic-map");

void BM_Random(benchmark::State& state, const char* id) {
  const auto source = Open(id);
  SeededRandom random(1);
  std::vector<uint64_t> ids(4096);
  for (uint64_t& adu_id : ids) adu_id = random.Below(uint64_t{1} << DepthOf(id));
  SecretBytes leaf(32);
  size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(source->Leaf(ids[i++ % ids.size()], leaf));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(BM_Random, marks, "marks");
BENCHMARK_CAPTURE(BM_Random, hkdf, "hkdf");
BENCHMARK_CAPTURE(BM_Random, hash_chain, "hash-chain");
BENCHMARK_CAPTURE(BM_Random, logistic_map, "logistic-map");

// The first key of a source, of the last id: what one call can take at most.
void BM_FarthestFirst(benchmark::State& state, const char* id) {
  SecretBytes leaf(32);
  for (auto _ : state) {
    const auto source = Open(id);
    benchmark::DoNotOptimize(source->Leaf((uint64_t{1} << DepthOf(id)) - 1, leaf));
  }
}
BENCHMARK_CAPTURE(BM_FarthestFirst, marks, "marks");
BENCHMARK_CAPTURE(BM_FarthestFirst, hash_chain, "hash-chain");
BENCHMARK_CAPTURE(BM_FarthestFirst, logistic_map, "logistic-map");

// The dearest range: both borders one id inside the tree's.
void BM_WidestCover(benchmark::State& state) {
  const SecretBytes root(32);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        (*FindGenerator("marks"))->Cover(root, {"marks", kDepth}, 1, (uint64_t{1} << kDepth) - 2));
  }
}
BENCHMARK(BM_WidestCover);

void BM_ControlAndDataKey(benchmark::State& state) {
  const SecretBytes leaf(32);
  const Digest context{};
  const Bytes core(73), control_block(96);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ControlKey(leaf, context, core));
    benchmark::DoNotOptimize(DataKey(leaf, context, core, control_block, 16));
  }
}
BENCHMARK(BM_ControlAndDataKey);

void BM_BareSha256(benchmark::State& state) {
  const Bytes message(1 << 20);
  for (auto _ : state) benchmark::DoNotOptimize(Sha256(message));
  state.counters["compressions/s"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * static_cast<double>(message.size()) / 64,
      benchmark::Counter::kIsRate);
}
BENCHMARK(BM_BareSha256);

}  // namespace
}  // namespace nark::schedule
