#include "narkctl/trace/master_alignment.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "narkctl/trace/real_fft.h"

namespace nark::trace {
namespace {

constexpr size_t kFftSize = 1 << 17;
constexpr size_t kMostProbe = 1 << 15;
constexpr size_t kLeastProbe = 256;
constexpr size_t kBlock = 1024;
// Of a block, so that it belongs to a stretch; of a probe, so that it is found.
constexpr double kBlockCorrelation = 0.5;
constexpr double kProbeCorrelation = 0.5;
// Where noise is loud, of what the probe had, and at least.
constexpr double kPartOfProbe = 0.6, kLeastCorrelation = 0.25;
// Quieter than two steps is silence, which goes with anything.
constexpr double kSilence = 4;
constexpr int kMostMisses = 4;

// All channels together, each sample less the one before: what has one tone in it repeats
// itself, and its edges do not.
std::vector<float> Edges(const Recording& recording) {
  const size_t channels = recording.channels;
  std::vector<float> edges(recording.frames());
  float before = 0;
  for (size_t i = 0; i < edges.size(); ++i) {
    float sum = 0;
    for (size_t c = 0; c < channels; ++c) sum += recording.samples[i * channels + c];
    edges[i] = sum - before;
    before = sum;
  }
  return edges;
}

double Energy(const std::vector<float>& values, size_t at, size_t count) {
  double sum = 0;
  for (size_t i = at; i < at + count; ++i) sum += double{values[i]} * values[i];
  return sum;
}

class MasterAligner {
 public:
  MasterAligner(std::vector<float> leak, std::vector<float> master,
                const std::function<void(size_t, double)>& progress)
      : leak_(std::move(leak)), master_(std::move(master)), progress_(progress) {}

  std::vector<Stretch> Align() {
    int misses = 0;
    size_t step = 0;
    while (cursor_ + kLeastProbe <= leak_.size() && misses < kMostMisses) {
      const size_t count = std::min(kMostProbe, leak_.size() - cursor_);
      std::optional<size_t> place;
      // Silence at the begin of the leak could be from anywhere.
      if (Energy(leak_, cursor_, count) > kSilence * static_cast<double>(count)) {
        place = Continued(cursor_, count);
        if (!place.has_value()) place = Find(cursor_, count);
        if (!place.has_value() && count > 8 * kBlock) place = Find(cursor_, 4 * kBlock);
        if (!place.has_value()) ++misses;
      }
      if (!place.has_value()) {
        step = std::max(2 * step, count / 2);
        cursor_ += step;
        continue;
      }
      Follow(*place);
      misses = 0;
      step = 0;
    }
    return std::move(stretches_);
  }

 private:
  double Correlation(size_t at, size_t master_at, size_t count) const {
    double both = 0;
    for (size_t i = 0; i < count; ++i) both += double{leak_[at + i]} * master_[master_at + i];
    const double product = Energy(leak_, at, count) * Energy(master_, master_at, count);
    return product > 0 ? both / std::sqrt(product) : 0;
  }

  bool Fits(size_t at, size_t master_at, size_t count) const {
    if (master_at + count > master_.size()) return false;
    const double silence = kSilence * static_cast<double>(count);
    if (Energy(leak_, at, count) < silence && Energy(master_, master_at, count) < silence) {
      return true;
    }
    return Correlation(at, master_at, count) > needed_;
  }

  // What goes on as if nothing had been between.
  std::optional<size_t> Continued(size_t at, size_t count) const {
    if (stretches_.empty()) return std::nullopt;
    const size_t place = stretches_.back().master_at + at - stretches_.back().at;
    if (place + count > master_.size()) return std::nullopt;
    if (Correlation(at, place, count) < needed_) return std::nullopt;
    return place;
  }

  // The master's frame that a probe fits best, by correlation over all of it (overlap-save).
  std::optional<size_t> Find(size_t at, size_t count) {
    if (count > master_.size()) return std::nullopt;
    std::vector<float> block(kFftSize);
    std::vector<std::complex<float>> probe, spectrum;
    std::copy_n(leak_.begin() + static_cast<int64_t>(at), count, block.begin());
    fft_.Forward(block, probe);
    const double energy = Energy(leak_, at, count);
    double best = kProbeCorrelation;
    std::optional<size_t> place;
    const size_t places = master_.size() - count + 1, valid = kFftSize - count + 1;
    for (size_t begin = 0; begin < places; begin += valid) {
      const size_t size = std::min(kFftSize, master_.size() - begin);
      std::fill(block.begin(), block.end(), 0.0f);
      std::copy_n(master_.begin() + static_cast<int64_t>(begin), size, block.begin());
      double moving = Energy(block, 0, count);
      const std::vector<float> here = block;
      fft_.Forward(block, spectrum);
      for (size_t i = 0; i < spectrum.size(); ++i) spectrum[i] *= std::conj(probe[i]);
      fft_.Inverse(spectrum, block);
      for (size_t i = 0; i < std::min(valid, places - begin); ++i) {
        const double product = energy * moving;
        const double value = product > 1e-3 * energy * energy
                                 ? block[i] / static_cast<double>(kFftSize) / std::sqrt(product)
                                 : 0;
        if (value > best) {
          best = value;
          place = begin + i;
        }
        if (i + count < kFftSize) {
          moving += double{here[i + count]} * here[i + count] - double{here[i]} * here[i];
        }
      }
      if (progress_ != nullptr) {
        progress_(at, static_cast<double>(begin) / static_cast<double>(places));
      }
    }
    if (place.has_value()) {
      needed_ = std::clamp(kPartOfProbe * best, kLeastCorrelation, kBlockCorrelation);
    }
    return place;
  }

  void Follow(size_t master_at) {
    Stretch stretch{.at = cursor_, .frames = 0, .master_at = master_at};
    const size_t from = stretches_.empty() ? 0 : stretches_.back().at + stretches_.back().frames;
    while (stretch.at >= from + kBlock && stretch.master_at >= kBlock &&
           Fits(stretch.at - kBlock, stretch.master_at - kBlock, kBlock)) {
      stretch.at -= kBlock;
      stretch.master_at -= kBlock;
      stretch.frames += kBlock;
    }
    while (true) {
      const size_t at = stretch.at + stretch.frames;
      const size_t count = std::min(kBlock, leak_.size() - at);
      if (count == 0 || !Fits(at, stretch.master_at + stretch.frames, count)) break;
      stretch.frames += count;
    }
    cursor_ = std::max(cursor_ + kBlock, stretch.at + stretch.frames);
    if (stretch.frames > 0) stretches_.push_back(stretch);
  }

  const std::vector<float> leak_, master_;
  const std::function<void(size_t, double)>& progress_;
  RealFft fft_{kFftSize};
  size_t cursor_ = 0;
  double needed_ = kBlockCorrelation;
  std::vector<Stretch> stretches_;
};

// What all copies of a sample have in the mean: its bits but the last, and half of that.
double CommonOf(float master) { return 2 * std::floor(std::lround(master) / 2.0) + 0.5; }

double GainOf(const Recording& leak, const Recording& master, const Stretch& stretch) {
  double both = 0, energy = 0;
  const size_t channels = leak.channels;
  for (size_t i = 0; i < stretch.frames * channels; ++i) {
    const double common = CommonOf(master.samples[stretch.master_at * channels + i]);
    both += common * leak.samples[stretch.at * channels + i];
    energy += common * common;
  }
  return energy > 0 && both > 0 ? both / energy : 1;
}

// Divides a signal's spectrum by its power there and then, as its past and present have it.
class NoiseWeights {
 public:
  NoiseWeights() {
    for (size_t i = 0; i < kFrame; ++i) {
      window_[i] =
          static_cast<float>(std::sin(std::numbers::pi * (static_cast<double>(i) + 0.5) / kFrame));
    }
  }

  std::vector<float> Apply(const std::vector<float>& signal) {
    std::vector<float> out(signal.size() + 2 * kFrame);
    std::vector<double> power;
    for (size_t begin = 0; begin < signal.size() + kHop; begin += kHop) {
      // The first frame begins half before the signal.
      for (size_t i = 0; i < kFrame; ++i) {
        const size_t at = begin + i;
        const bool inside = at >= kHop && at - kHop < signal.size();
        frame_[i] = inside ? window_[i] * signal[at - kHop] : 0;
      }
      fft_.Forward(frame_, spectrum_);
      Weigh(power);
      fft_.Inverse(spectrum_, frame_);
      for (size_t i = 0; i < kFrame; ++i) out[begin + i] += window_[i] * frame_[i];
    }
    return std::vector<float>(out.begin() + kHop,
                              out.begin() + static_cast<int64_t>(kHop + signal.size()));
  }

 private:
  static constexpr size_t kFrame = 1024, kHop = 512;
  static constexpr int kBins = 2;  // to either side
  static constexpr double kMemory = 0.8;

  void Weigh(std::vector<double>& power) {
    const auto bins = static_cast<int>(spectrum_.size());
    const bool first = power.empty();
    power.resize(spectrum_.size());
    for (int b = 0; b < bins; ++b) {
      double sum = 0;
      int count = 0;
      for (int k = std::max(0, b - kBins); k <= std::min(bins - 1, b + kBins); ++k, ++count) {
        sum += std::norm(spectrum_[static_cast<size_t>(k)]);
      }
      double& smooth = power[static_cast<size_t>(b)];
      smooth = first ? sum / count : kMemory * smooth + (1 - kMemory) * sum / count;
    }
    // Less than what the bits themselves have is chance, or no bit at all.
    constexpr double kBitPower = 0.25 * kFrame / 2;
    for (size_t b = 0; b < spectrum_.size(); ++b) {
      spectrum_[b] /= static_cast<float>(std::max(power[b], 0.5 * kBitPower));
    }
  }

  RealFft fft_{kFrame};
  std::vector<float> window_ = std::vector<float>(kFrame), frame_ = std::vector<float>(kFrame);
  std::vector<std::complex<float>> spectrum_;
};

std::string ShapeOf(const Recording& sound) {
  return absl::StrCat(sound.channels, sound.channels == 1 ? " channel" : " channels", " at ",
                      sound.sample_rate, " Hz");
}

}  // namespace

absl::StatusOr<std::vector<Stretch>> AlignToMaster(
    const Recording& leak, const Recording& master,
    const std::function<void(size_t at, double part)>& progress) {
  if (leak.sample_rate != master.sample_rate || leak.channels != master.channels) {
    return absl::InvalidArgumentError(
        absl::StrCat("the leak is ", ShapeOf(leak), " and the master ", ShapeOf(master),
                     "; bring the leak to the master's: ffmpeg -i LEAK -ar ", master.sample_rate,
                     " -ac ", master.channels, " -c:a pcm_f32le leak-as-master.wav"));
  }
  std::vector<Stretch> stretches = MasterAligner(Edges(leak), Edges(master), progress).Align();
  for (Stretch& stretch : stretches) stretch.gain = GainOf(leak, master, stretch);
  return stretches;
}

std::vector<float> BitsAgainstMaster(const Recording& leak, const Recording& master,
                                     const std::vector<Stretch>& stretches) {
  const size_t channels = leak.channels;
  std::vector<float> bits(leak.samples.size());
  double squares = 0, count = 0;
  NoiseWeights weights;
  for (const Stretch& stretch : stretches) {
    for (size_t c = 0; c < channels; ++c) {
      std::vector<float> rest(stretch.frames);
      for (size_t i = 0; i < stretch.frames; ++i) {
        rest[i] =
            static_cast<float>(leak.samples[(stretch.at + i) * channels + c] / stretch.gain -
                               CommonOf(master.samples[(stretch.master_at + i) * channels + c]));
      }
      rest = weights.Apply(rest);
      for (size_t i = 0; i < stretch.frames; ++i) {
        bits[(stretch.at + i) * channels + c] = rest[i];
        squares += double{rest[i]} * rest[i];
        count += 1;
      }
    }
  }
  // What sticks out is an accident, of which no single one may decide.
  const auto most = static_cast<float>(3 * std::sqrt(squares / std::max(count, 1.0)));
  for (float& bit : bits) bit = most > 0 ? std::clamp(bit / most, -1.0f, 1.0f) : 0;
  return bits;
}

}  // namespace nark::trace
