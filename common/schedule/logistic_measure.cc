// What is wrong with the logistic map as a key generator, in numbers: how soon it
// repeats, from many first states and for several widths of state, and how its bytes
// are biased, beside those of hash-chain. Prints tables for docs/figures.md.
//
//   bazel run -c opt //common/schedule:logistic_measure [-- SEEDS_OF_64_BITS [SEED]]
//
// A first state of 64 bits takes about a minute; 4 are measured unless said otherwise.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/schedule/generator.h"
#include "common/schedule/logistic_step.h"

namespace nark::schedule {
namespace {

struct Rho {
  uint64_t tail = 0;   // steps before the cycle
  uint64_t cycle = 0;  // its length
  uint64_t least = 0;  // of its states: which cycle it is
};

// Brent, "An improved Monte Carlo factorization algorithm", 1980.
template <int kBits>
Rho FindCycle(uint64_t first) {
  Rho rho;
  uint64_t power = 1, tortoise = first, hare = LogisticStep<kBits>(first);
  for (rho.cycle = 1; tortoise != hare; ++rho.cycle) {
    if (power == rho.cycle) {
      tortoise = hare;
      power *= 2;
      rho.cycle = 0;
    }
    hare = LogisticStep<kBits>(hare);
  }
  tortoise = hare = first;
  for (uint64_t i = 0; i < rho.cycle; ++i) hare = LogisticStep<kBits>(hare);
  for (; tortoise != hare; ++rho.tail) {
    tortoise = LogisticStep<kBits>(tortoise);
    hare = LogisticStep<kBits>(hare);
  }
  rho.least = hare;
  for (uint64_t i = 0; i < rho.cycle; ++i) {
    hare = LogisticStep<kBits>(hare);
    rho.least = std::min(rho.least, hare);
  }
  return rho;
}

uint64_t Quantile(std::vector<uint64_t> values, size_t percent) {
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) * percent / 100];
}

template <int kBits>
void MeasureCycles(int seeds, SeededRandom& random) {
  std::vector<uint64_t> tails, cycles;
  std::set<uint64_t> different;
  for (int i = 0; i < seeds; ++i) {
    uint64_t first = 0;
    while (first == 0) {
      uint8_t bytes[8];
      (void)random.Fill(bytes);
      first = LoadBig64(bytes) >> (64 - kBits);
    }
    const Rho rho = FindCycle<kBits>(first);
    tails.push_back(rho.tail);
    cycles.push_back(rho.cycle);
    different.insert(rho.least);
  }
  std::printf("| %d | %d | %zu | %llu | %llu | %llu | %llu | %llu | 2^%.1f |\n", kBits, seeds,
              different.size(), static_cast<unsigned long long>(Quantile(tails, 0)),
              static_cast<unsigned long long>(Quantile(tails, 50)),
              static_cast<unsigned long long>(Quantile(tails, 100)),
              static_cast<unsigned long long>(Quantile(cycles, 0)),
              static_cast<unsigned long long>(Quantile(cycles, 50)),
              std::log2(static_cast<double>(Quantile(tails, 50) + Quantile(cycles, 50))));
  std::fflush(stdout);
}

// Of all leaves of a session of the greatest depth, by place in 8 bytes.
void MeasureBias(const char* id, uint8_t seed) {
  constexpr uint32_t kDepth = 20;
  constexpr uint64_t kLeaves = uint64_t{1} << kDepth;
  SeededRandom random(seed);
  std::vector<Node> nodes;
  nodes.push_back({0, 0, SecretBytes(32)});
  (void)random.Fill(nodes[0].key.RevealMutable());
  const auto source = *(*FindGenerator(id))->Open({id, kDepth}, std::move(nodes));
  std::array<std::array<uint64_t, 256>, 8> counts{};
  SecretBytes leaf(32);
  for (uint64_t adu = 0; adu < kLeaves; ++adu) {
    if (!source->Leaf(adu, leaf).ok()) std::abort();
    for (size_t at = 0; at < 32; ++at) ++counts[at % 8][leaf.Reveal()[at]];
  }
  const double expected = 4.0 * static_cast<double>(kLeaves) / 256;
  for (size_t at = 0; at < 8; ++at) {
    double chi_square = 0, worst_bit = 0;
    for (uint64_t count : counts[at]) {
      const double off = static_cast<double>(count) - expected;
      chi_square += off * off / expected;
    }
    for (int bit = 0; bit < 8; ++bit) {
      double ones = 0;
      for (size_t value = 0; value < 256; ++value) {
        if ((value >> bit & 1) != 0) ones += static_cast<double>(counts[at][value]);
      }
      const double share = ones / (256 * expected) - 0.5;
      if (std::abs(share) > std::abs(worst_bit)) worst_bit = share;
    }
    const auto most = std::max_element(counts[at].begin(), counts[at].end());
    std::printf("| %s | %zu | %.0f | %+.4f | 0x%02zx, %.2f |\n", id, at, chi_square, worst_bit,
                static_cast<size_t>(most - counts[at].begin()),
                static_cast<double>(*most) / expected);
  }
}

void Run(int wide_seeds, uint8_t seed) {
  std::printf("seed %u\n\n", seed);
  std::printf(
      "| generator | byte of 8 | chi-square (255 expected, 311 at 1 %%) | worst bit - 1/2 "
      "| commonest value, times expected |\n|---|---|---|---|---|\n");
  MeasureBias("logistic-map", seed);
  MeasureBias("hash-chain", seed);
  std::printf(
      "\n| bits of state | first states | cycles found | tail least | median | most | cycle "
      "least | median | median before it repeats |\n|---|---|---|---|---|---|---|---|---|\n");
  SeededRandom random(seed);
  MeasureCycles<16>(10000, random);
  MeasureCycles<24>(4000, random);
  MeasureCycles<32>(1000, random);
  MeasureCycles<40>(200, random);
  MeasureCycles<48>(40, random);
  if (wide_seeds > 0) MeasureCycles<64>(wide_seeds, random);
}

}  // namespace
}  // namespace nark::schedule

int main(int argc, char** argv) {
  const int wide_seeds = argc > 1 ? std::atoi(argv[1]) : 4;
  const int seed = argc > 2 ? std::atoi(argv[2]) : 1;
  nark::schedule::Run(wide_seeds, static_cast<uint8_t>(seed));
  return 0;
}
