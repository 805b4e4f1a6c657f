#include "narkctl/trace/stream_marks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/chameleon.h"

namespace nark::trace {
namespace {

// A sender cuts sooner than the rule says where an ADU would be larger.
constexpr uint64_t kMostAduBytes = 16 << 20;

size_t WordsFor(size_t bits) { return (bits + 63) / 64; }

void SetBit(BitRow& bits, size_t at) { bits[at / 64] |= uint64_t{1} << (at % 64); }

}  // namespace

absl::StatusOr<StreamMarks> StreamMarks::Create(const audit::Family& family,
                                                SecretBytes stream_key) {
  ASSIGN_OR_RETURN(std::unique_ptr<Keystream> keystream, Keystream::Create());
  return StreamMarks(family, std::move(stream_key), std::move(keystream));
}

absl::StatusOr<BitRow> StreamMarks::PlaneOf(uint64_t adu_id, size_t samples) {
  ASSIGN_OR_RETURN(const audit::AduMarkKeys keys, audit::MarkKeysOf(stream_key_, adu_id));
  RETURN_IF_ERROR(keystream_->Start(keys.plane));
  BitRow plane(WordsFor(samples));
  // Bit t mod 8 of byte t / 8 is bit t mod 64 of little-endian word t / 64.
  RETURN_IF_ERROR(keystream_->Fill({reinterpret_cast<uint8_t*>(plane.data()), 8 * plane.size()}));
  return plane;
}

absl::StatusOr<AduMarks> StreamMarks::MarksOf(uint64_t adu_id, size_t samples) {
  AduMarks marks;
  marks.samples = samples;
  ASSIGN_OR_RETURN(marks.plane, PlaneOf(adu_id, samples));
  marks.bare.assign(WordsFor(samples), 0);
  marks.singles.reserve(samples / 2);
  ASSIGN_OR_RETURN(const audit::AduMarkKeys keys, audit::MarkKeysOf(stream_key_, adu_id));
  RETURN_IF_ERROR(keystream_->Start(keys.index));
  const std::vector<audit::Symbol>& symbols = family_->symbols();
  const size_t mask = symbols.size() - 1;
  std::array<uint8_t, 8 * 512> tile;
  for (size_t t = 0; t < samples; t += audit::kLanes) {
    const size_t in_tile = t / audit::kLanes * 8 % tile.size();
    if (in_tile == 0) RETURN_IF_ERROR(keystream_->Fill(tile));
    std::array<uint8_t, audit::kLanes> count{};
    std::array<uint32_t, audit::kLanes> symbol{};
    for (size_t k = 0; k < kChameleonWords; ++k) {
      const uint8_t* at = &tile[in_tile + 2 * k];
      const auto word = static_cast<uint32_t>((at[0] | at[1] << 8) & mask);
      const uint8_t lane = symbols[word].lane;
      // Chosen twice it cancels: two symbols of one number are as good as none.
      count[lane] = static_cast<uint8_t>(count[lane] + 1);
      symbol[lane] ^= word;
    }
    for (size_t lane = 0; lane < audit::kLanes && t + lane < samples; ++lane) {
      if (count[lane] == 0 || (count[lane] == 2 && symbol[lane] == 0)) SetBit(marks.bare, t + lane);
      if (count[lane] == 1) {
        marks.singles.push_back({static_cast<uint32_t>(t + lane), symbol[lane]});
      }
    }
  }
  return marks;
}

absl::StatusOr<AduLayout> AduLayout::Of(const v1::AduTiming& timing, uint32_t sample_rate,
                                        uint32_t channels) {
  AduLayout layout;
  layout.duration_ms_ = timing.duration_ms();
  layout.bytes_ = timing.bytes();
  layout.sample_rate_ = sample_rate;
  layout.channels_ = channels;
  if ((layout.duration_ms_ == 0) == (layout.bytes_ == 0)) {
    return absl::UnimplementedError("only sound that is cut by duration or size bears marks");
  }
  if (sample_rate == 0 || channels == 0) {
    return absl::InvalidArgumentError("the recording has no channel or no sample rate");
  }
  return layout;
}

uint64_t AduLayout::BeginOf(uint64_t number, uint64_t header_bytes) const {
  const uint64_t block = 2 * channels_;
  if (bytes_ != 0) {
    const uint64_t whole = std::max<uint64_t>(bytes_ / block, 1) * channels_;
    if (number == 0) return 0;
    const uint64_t first = bytes_ > header_bytes ? bytes_ - header_bytes : 0;
    return std::max<uint64_t>(first / block, 1) * channels_ + (number - 1) * whole;
  }
  const uint64_t most = kMostAduBytes / block * channels_;
  const auto by_time = [&](uint64_t n) {
    return n * duration_ms_ * sample_rate_ / 1000 * channels_;
  };
  // Where ADUs reach the limit, each duration takes several.
  if (by_time(1) <= most) return by_time(number);
  return number * most;
}

}  // namespace nark::trace
