// The operations of a key manager that a token does, in SoftHSM 2, beside the same with keys
// in memory: a grant's signature, a challenge's MAC, the opening of a session. One thread,
// and as many as there are processors. Medians of interleaved rounds.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/pkcs11/token_keys.h"
#include "tests/harness/soft_hsm.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 5;
constexpr std::chrono::milliseconds kRound{400};

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double PerSecond(int threads, const std::function<bool()>& work) {
  const auto start = std::chrono::steady_clock::now();
  std::atomic<int64_t> done{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      int64_t own = 0;
      for (; std::chrono::steady_clock::now() - start < kRound; ++own) {
        if (!work()) std::abort();
      }
      done += own;
    });
  }
  for (std::thread& worker : workers) worker.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return static_cast<double>(done) / took.count();
}

struct Figure {
  std::string name;
  int threads;
  std::function<bool()> in_token;
  std::function<bool()> in_memory;
};

void Run() {
  harness::SoftHsm hsm({"bench"});
  SystemRandom random;
  const auto keys = Must(pkcs11::TokenKeys::FromFiles(harness::SoftHsm::module(), hsm.pin_file(),
                                                      pkcs11::Access::kWrite));
  const pkcs11::KeyPlace place = {.token = "bench", .owner = "nark-bench"};
  const auto signing = Must(PrivateKey::Generate());
  const auto token_signing = Must(keys->Import(place, signing));
  const SecretBytes mac_bytes = SecretBytes::CopyOf(Bytes(32, 1));
  const HmacSha256Key mac(mac_bytes.Reveal());
  const auto token_mac = Must(keys->Import(place, mac_bytes, Sha256(AsBytes("bench"))));
  const auto hpke = Must(HpkePrivateKey::Generate(random));
  const auto token_hpke = Must(keys->Import(place, hpke));
  const Bytes message(500, 7);
  const HpkeSealed sealed = Must(HpkeSeal(hpke.public_key(), {}, {}, Bytes(32, 1), random));
  const auto opens = [&](const HpkePrivateKey& key) {
    return HpkeOpen(key, sealed.enc, {}, {}, sealed.ciphertext).ok();
  };
  std::vector<Figure> figures;
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (const int threads : {1, processors}) {
    const std::string suffix = threads == 1 ? "" : " all cores";
    figures.push_back({"token signatures" + suffix, threads,
                       [&] { return token_signing.Sign({message}).ok(); },
                       [&] { return signing.Sign({message}).ok(); }});
    figures.push_back({"token challenges" + suffix, threads,
                       [&] { return token_mac->Mac({message}).ok(); },
                       [&] { return mac.Mac({message})[0] < 256; }});
    figures.push_back({"token sessions opened" + suffix, threads, [&] { return opens(token_hpke); },
                       [&] { return opens(hpke); }});
  }
  std::vector<std::vector<double>> values(figures.size()), limits(figures.size());
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < figures.size(); ++i) {
      limits[i].push_back(PerSecond(figures[i].threads, figures[i].in_memory));
      values[i].push_back(PerSecond(figures[i].threads, figures[i].in_token));
    }
  }
  for (size_t i = 0; i < figures.size(); ++i) {
    const double value = Median(values[i]), limit = Median(limits[i]);
    std::printf(
        "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"/s\","
        "\"limit_is\":\"the same key in memory\",\"detail\":{\"threads\":%d}}\n",
        figures[i].name.c_str(), value, limit, value / limit, figures[i].threads);
  }
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
