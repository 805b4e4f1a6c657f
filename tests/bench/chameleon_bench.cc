// Gigabytes a second of Chameleon in place, by each loop of this processor, beside AES-128-CTR and
// copying as many bytes; and of an ADU sealed and opened with it, beside AES-128-GCM alone.
// One JSON line a figure: medians of interleaved rounds on one core.

#include <openssl/evp.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/aead.h"
#include "common/crypto/chameleon.h"
#include "common/crypto/random.h"
#include "common/wire/cipher.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 41;
// An ADU of 256 KiB, as of the other benchmarks: with the block, more than the second
// cache takes beside it.
constexpr size_t kBytes = 256 << 10;
constexpr int kTimes = 48;  // a round

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  Must(value.status());
  return *std::move(value);
}

// Of the processor, so that a busy machine slows neither value nor limit.
double GigabytesPerSecond(const std::function<void()>& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  for (int i = 0; i < kTimes; ++i) work();
  return 1e-9 * kTimes * static_cast<double>(kBytes) / (now() - begin);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

SecretBytes RandomSecret(SeededRandom& random, size_t size) {
  SecretBytes secret(size);
  Must(random.Fill(secret.RevealMutable()));
  return secret;
}

// All that is measured, and the buffers of it.
class Bench {
 public:
  Bench() {
    Must(random_.Fill(plain_));
    for (const ChameleonLoop loop : ChameleonLoops()) AddLoop(loop);
    AddSealing();
    AddOpening();
    AddFloors();
  }
  ~Bench() { EVP_CIPHER_CTX_free(context_); }

  void Run() {
    for (Figure& figure : figures_) figure.work();  // warms up
    for (int round = 0; round < kRounds; ++round) {
      for (Figure& figure : figures_) figure.values.push_back(GigabytesPerSecond(figure.work));
    }
    for (const Figure& figure : figures_) Print(figure);
  }

 private:
  struct Figure {
    std::string name;
    std::string limit;  // another's name, or none
    std::function<void()> work;
    std::vector<double> values{};
  };

  void AddLoop(ChameleonLoop loop) {
    const std::shared_ptr<Chameleon> cipher = Must(Chameleon::Create(block_, loop));
    figures_.push_back({"chameleon " + std::string(NameOf(loop)), kCounterMode,
                        [this, cipher] { Must(cipher->Apply(key_, out_, out_)); }});
  }

  wire::AduMarks Marks() const { return {{key_.Clone(), plane_key_.Clone()}, 0, kBytes}; }

  void AddSealing() {
    const std::shared_ptr<wire::AduCipher> cipher = Must(suite_->Create(block_));
    figures_.push_back({"chameleon ADU sealed", kGcm, [this, cipher] {
                          cipher->MarkNext(Marks());
                          Must(cipher->Seal(key_, {}, plain_, sealed_));
                        }});
  }

  void AddOpening() {
    const std::shared_ptr<wire::AduCipher> cipher = Must(suite_->Create(block_));
    cipher->MarkNext(Marks());
    Must(cipher->Seal(key_, {}, plain_, sealed_));
    figures_.push_back({"chameleon ADU opened", kGcm,
                        [this, cipher] { Must(cipher->Open(key_, {}, sealed_, out_)); }});
  }

  void AddFloors() {
    EVP_EncryptInit_ex(context_, EVP_aes_128_ctr(), nullptr, nullptr, nullptr);
    figures_.push_back(
        {kCounterMode, "", [this] {
           int written = 0;
           const uint8_t counter[16] = {};
           EVP_EncryptInit_ex(context_, nullptr, nullptr, key_.Reveal().data(), counter);
           if (EVP_EncryptUpdate(context_, out_.data(), &written, plain_.data(), kBytes) != 1) {
             std::abort();
           }
         }});
    const std::shared_ptr<Aead> aead = Must(Aead::Create(AeadAlgorithm::kAes128Gcm));
    figures_.push_back({kGcm, "", [this, aead] {
                          const uint8_t nonce[kAeadNonceBytes] = {};
                          Must(
                              aead->Seal(key_, nonce, {}, plain_, MutableByteView(sealed_by_gcm_)));
                        }});
    figures_.push_back({"copying", "", [this] {
                          std::memcpy(out_.data(), plain_.data(), kBytes);
                          asm volatile("" ::: "memory");
                        }});
  }

  double MedianOf(const std::string& name) const {
    const auto found = std::find_if(figures_.begin(), figures_.end(),
                                    [&](const Figure& figure) { return figure.name == name; });
    return found == figures_.end() ? 0 : Median(found->values);
  }

  void Print(const Figure& figure) const {
    const double value = Median(figure.values);
    std::printf("{\"figure\":\"%s\",\"value\":%.2f", figure.name.c_str(), value);
    if (!figure.limit.empty()) {
      const double limit = MedianOf(figure.limit), copying = MedianOf("copying");
      std::printf(",\"limit\":%.2f,\"ratio\":%.3f,\"limit_is\":\"%s\"", limit, value / limit,
                  figure.limit.c_str());
      std::printf(",\"detail\":{\"of copying\":%.3f,\"most\":%.2f}", value / copying,
                  *std::max_element(figure.values.begin(), figure.values.end()));
    }
    std::printf(",\"unit\":\"GB/s\"}\n");
  }

  static constexpr char kCounterMode[] = "AES-128-CTR";
  static constexpr char kGcm[] = "AES-128-GCM";

  SeededRandom random_{1997};
  const wire::CipherSuite* const suite_ = Must(wire::FindCipher("chameleon"));
  const std::shared_ptr<const ChameleonBlock> block_ = std::make_shared<const ChameleonBlock>(
      Must(ChameleonBlock::Of(RandomSecret(random_, size_t{8} << ChameleonBlock::kMaxWordsLog2))));
  const SecretBytes key_ = RandomSecret(random_, 16), plane_key_ = RandomSecret(random_, 16);
  Bytes plain_ = Bytes(kBytes), out_ = Bytes(kBytes);
  Bytes sealed_ = Bytes(suite_->CiphertextBytes(kBytes));
  Bytes sealed_by_gcm_ = Bytes(kBytes + kAeadTagBytes);
  EVP_CIPHER_CTX* const context_ = EVP_CIPHER_CTX_new();
  std::vector<Figure> figures_;
};

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Bench().Run();
  return 0;
}
