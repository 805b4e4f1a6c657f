#include "narkctl/trace/testing.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numbers>
#include <utility>

#include "absl/status/statusor.h"
#include "common/audit/stream_keys.h"

namespace nark::trace {
namespace {

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << std::endl;
  std::abort();
}
template <typename T>
T Get(absl::StatusOr<T> value) {
  Check(value.status());
  return *std::move(value);
}

}  // namespace

Studio::Studio(const Settings& settings) : settings_(settings), random_(settings.seed) {
  SecretBytes secret(audit::kAuditSecretBytes);
  for (uint8_t& byte : secret.RevealMutable()) byte = static_cast<uint8_t>(random_());
  family_ = std::make_unique<audit::Family>(
      Get(audit::Family::Of(std::move(secret), settings.words_log2)));
  stream_key_ = Get(family_->StreamKey(SessionName{}, 0, 1));
  marks_ = std::make_unique<StreamMarks>(Get(StreamMarks::Create(*family_, stream_key_.Clone())));
  layout_ = std::make_unique<AduLayout>(
      Get(AduLayout::Of(timing(), settings.sample_rate, settings.channels)));
  const SecretBytes base_key = Get(family_->BaseBlockKey());
  base_ = Get(Chameleon::Create(std::make_shared<const ChameleonBlock>(
      Get(ChameleonBlock::Of(Get(audit::BaseBlockBytes(base_key, settings.words_log2)))))));
}

v1::AduTiming Studio::timing() const {
  v1::AduTiming timing;
  timing.set_duration_ms(settings_.duration_ms);
  return timing;
}

std::vector<StreamToSearch> Studio::Streams() const {
  std::vector<StreamToSearch> streams;
  streams.push_back({.sub_session = 0, .sender_id = 1, .key = stream_key_.Clone()});
  return streams;
}

Recording Studio::RecordingOf(const Pcm& samples) const {
  return {.sample_rate = settings_.sample_rate,
          .channels = settings_.channels,
          .samples = std::vector<float>(samples.begin(), samples.end())};
}

Examination Studio::ExaminationOf(const Pcm& leak, AduRange range) const {
  return ExaminationOf(RecordingOf(leak), nullptr, range);
}

Examination Studio::ExaminationOf(const Recording& leak, const Recording* master,
                                  AduRange range) const {
  TraceSettings settings;
  settings.timing = timing();
  settings.range = range;
  return Get(Examine(*family_, Streams(), leak, master, settings));
}

Digest Studio::IdOf(uint32_t receiver) {
  Digest id{};
  StoreBig32(id.data(), receiver);
  return id;
}

std::vector<Digest> Studio::Ids(uint32_t receivers) {
  std::vector<Digest> ids;
  for (uint32_t i = 0; i < receivers; ++i) ids.push_back(IdOf(i));
  return ids;
}

Pcm Studio::MasterOf(uint64_t adu_id) const {
  Pcm samples(layout_->SamplesOf(adu_id));
  std::minstd_rand noise(static_cast<uint32_t>(settings_.seed * 1000 + adu_id + 1));
  const double pitch = 220 * std::exp2(static_cast<double>(noise() % 24) / 12);
  const double step = 2 * std::numbers::pi * pitch / settings_.sample_rate;
  const double phase = static_cast<double>(noise() % 628) / 100;
  double slow = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto frame = static_cast<double>(i / settings_.channels);
    slow = 0.97 * slow + static_cast<double>(noise() % 2001) / 5 - 200;
    samples[i] = static_cast<int16_t>(std::lround(
        2400 * std::sin(step * frame) + 900 * std::sin(3.01 * step * frame + phase) + slow));
  }
  return samples;
}

Pcm Studio::MasterOf(AduRange adus) const {
  Pcm all;
  for (uint64_t id = adus.first; id <= adus.last; ++id) {
    const Pcm one = MasterOf(id);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

Pcm Studio::CopyOf(uint32_t receiver, uint64_t adu_id, const Pcm& master) {
  if (marked_receiver_ != receiver || marked_ == nullptr) {
    marked_ = Get(Chameleon::Create(
        std::make_shared<const ChameleonBlock>(Get(family_->MarkedBlockOf(IdOf(receiver))))));
    marked_receiver_ = receiver;
  }
  const audit::AduMarkKeys keys = Get(audit::MarkKeysOf(stream_key_, adu_id));
  // This machine's samples are little-endian, as those of a WAV file.
  Pcm copy = master;
  const MutableByteView bytes(reinterpret_cast<uint8_t*>(copy.data()), 2 * copy.size());
  audit::LsbPlane plane = Get(audit::LsbPlane::Create());
  Check(plane.Set(keys.plane, bytes));
  Check(base_->Apply(keys.index, bytes, bytes));
  Check(marked_->Apply(keys.index, bytes, bytes));
  return copy;
}

Pcm Studio::CopyOf(uint32_t receiver, AduRange adus) {
  Pcm all;
  for (uint64_t id = adus.first; id <= adus.last; ++id) {
    const Pcm one = CopyOf(receiver, id, MasterOf(id));
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

Pcm Collude(const std::vector<Pcm>& copies, Collusion how, size_t piece, std::mt19937_64& random) {
  Pcm leak = copies[0];
  for (size_t i = 0; i < leak.size(); ++i) {
    int sum = 0;
    switch (how) {
      case Collusion::kPieces:
        leak[i] = copies[i / piece % copies.size()][i];
        continue;
      case Collusion::kRandom:
        leak[i] = copies[random() % copies.size()][i];
        continue;
      case Collusion::kMajority:
        for (const Pcm& copy : copies) sum += copy[i] & 1;
        sum = 2 * sum - static_cast<int>(copies.size());
        leak[i] = static_cast<int16_t>((leak[i] & ~1) |
                                       (sum != 0 ? sum > 0 : static_cast<int>(random() & 1)));
        continue;
      case Collusion::kAverage:
        for (const Pcm& copy : copies) sum += copy[i];
        leak[i] = static_cast<int16_t>(
            std::lround(static_cast<double>(sum) / static_cast<double>(copies.size()) +
                        (random() % 2 == 0 ? 1e-6 : -1e-6)));
        continue;
    }
  }
  return leak;
}

Court::Court(const audit::Family& family, uint32_t receivers, double error_probability)
    : family_(family), error_probability_(error_probability) {
  for (uint32_t i = 0; i < receivers; ++i) {
    codewords_.push_back(Get(family.CodewordOf(Studio::IdOf(i))));
  }
}

std::vector<uint32_t> Court::Judge(const Evidence& evidence) const {
  const Scorer scorer(evidence, family_);
  const double threshold =
      InnocentBound(evidence, family_).ThresholdFor(codewords_.size(), error_probability_);
  std::vector<uint32_t> accused;
  for (uint32_t i = 0; i < codewords_.size(); ++i) {
    if (evidence.observations > 0 && scorer.ScoreOf(codewords_[i].Reveal()) >= threshold) {
      accused.push_back(i);
    }
  }
  return accused;
}

BitRow LsbOf(const Pcm& samples) {
  BitRow bits((samples.size() + 63) / 64);
  for (size_t i = 0; i < samples.size(); ++i) {
    bits[i / 64] |= static_cast<uint64_t>(samples[i] & 1) << (i % 64);
  }
  return bits;
}

}  // namespace nark::trace
