#include "narkctl/trace/trace.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "narkctl/trace/comb.h"
#include "narkctl/trace/master_alignment.h"
#include "narkctl/trace/stream_marks.h"

namespace nark::trace {
namespace {

// A leak of which so much is aligned by its own bits needs no master.
constexpr double kAlignedEnough = 0.5;
// By how many standard deviations a master's first ADU must fit: by chance one in 10^9 ids.
constexpr double kMasterDeviations = 6.2;
// And where somebody says which it is.
constexpr double kGivenDeviations = 3;
// Samples that tell which ids are looked at closely.
constexpr size_t kQuickSamples = size_t{1} << 20;
constexpr size_t kClosely = 8;
// Of a WAV file without chunks of its own.
constexpr uint64_t kHeaderBytes = 44;

BitRow BitsAt(const Recording& leak, double gain) {
  BitRow bits((leak.samples.size() + 63) / 64);
  for (size_t i = 0; i < leak.samples.size(); ++i) {
    const auto value = static_cast<uint64_t>(std::llround(leak.samples[i] / gain));
    bits[i / 64] |= (value & 1) << (i % 64);
  }
  return bits;
}

class Examiner {
 public:
  Examiner(const audit::Family& family, const std::vector<StreamToSearch>& streams,
           const Recording& leak, const TraceSettings& settings)
      : family_(family),
        streams_(streams),
        leak_(leak),
        settings_(settings),
        shown_(family.symbols().size()) {
    shown_.samples = leak.samples.size();
  }

  absl::StatusOr<Examination> Run(const Recording* master) {
    ASSIGN_OR_RETURN(const AduLayout layout,
                     AduLayout::Of(settings_.timing, leak_.sample_rate, leak_.channels));
    // The master tells more than a closer look does.
    const Effort effort = master == nullptr ? Effort::kThorough : Effort::kQuick;
    RETURN_IF_ERROR(ByBits(layout, 1, effort));
    if (AlignedPart() < kAlignedEnough) RETURN_IF_ERROR(UndoGain(layout));
    if (master != nullptr && AlignedPart() < kAlignedEnough) {
      RETURN_IF_ERROR(AgainstMaster(layout, *master));
    }
    const std::vector<double>& sums = shown_.evidence.sums;
    shown_.symbols_seen = static_cast<uint64_t>(
        std::count_if(sums.begin(), sums.end(), [](double sum) { return sum != 0; }));
    return std::move(shown_);
  }

 private:
  // Keeps what was found without where that is more: a few places fit by chance.
  absl::Status UndoGain(const AduLayout& layout) {
    const std::optional<double> gain = GainOfComb(leak_.samples);
    if (!gain.has_value()) return absl::OkStatus();
    Examination without = shown_;
    const double aligned = AlignedPart();
    Forget();
    RETURN_IF_ERROR(ByBits(layout, *gain, Effort::kQuick));
    if (AlignedPart() <= aligned) shown_ = std::move(without);
    return absl::OkStatus();
  }

  double AlignedPart() const {
    double aligned = 0;
    for (const TracedPiece& traced : shown_.pieces) {
      aligned += static_cast<double>(traced.piece.count);
    }
    return aligned / static_cast<double>(std::max<uint64_t>(shown_.samples, 1));
  }

  void Forget() {
    shown_.pieces.clear();
    shown_.evidence = Evidence(family_.symbols().size());
  }

  absl::Status ByBits(const AduLayout& layout, double gain, Effort effort) {
    const BitRow bits = BitsAt(leak_, gain);
    for (size_t s = 0; s < streams_.size(); ++s) {
      ASSIGN_OR_RETURN(StreamMarks marks, StreamMarks::Create(family_, streams_[s].key.Clone()));
      ASSIGN_OR_RETURN(
          const std::vector<Piece> pieces,
          AlignByLsb(marks, layout, bits, leak_.samples.size(),
                     {.range = settings_.range, .effort = effort, .progress = settings_.progress}));
      RETURN_IF_ERROR(Observe(marks, pieces, [&](size_t at) { return BitAt(bits, at) ? 1 : -1; }));
      for (const Piece& piece : pieces) shown_.pieces.push_back({s, piece});
    }
    if (shown_.pieces.empty()) return absl::OkStatus();
    shown_.gain = gain;
    shown_.method = gain == 1 ? TraceMethod::kLeastSignificant : TraceMethod::kLessGain;
    return absl::OkStatus();
  }

  // `bit`: what the leak says of a bit, in [-1, 1]. Where it shows one place of the stream
  // several times, all that it says of the place is added up, and is never more than the bit:
  // else a passage that is played in a loop drowns the rest.
  template <typename Bit>
  absl::Status Observe(StreamMarks& stream, const std::vector<Piece>& pieces, Bit bit) {
    std::map<uint64_t, std::vector<const Piece*>> by_adu;
    for (const Piece& piece : pieces) by_adu[piece.place.adu_id].push_back(&piece);
    for (const auto& [id, parts] : by_adu) {
      size_t end = 0;
      for (const Piece* part : parts) end = std::max(end, part->place.sample + part->count);
      ASSIGN_OR_RETURN(const AduMarks marks, stream.MarksOf(id, end));
      std::vector<double> seen(marks.singles.size());
      for (const Piece* part : parts) AddPart(marks, *part, bit, seen);
      for (size_t i = 0; i < seen.size(); ++i) {
        if (seen[i] == 0) continue;
        const double of_place = std::clamp(seen[i], -1.0, 1.0);
        const Single& single = marks.singles[i];
        shown_.evidence.Add(single.symbol,
                            BitAt(marks.plane, single.sample) ? -of_place : of_place);
      }
    }
    return absl::OkStatus();
  }

  // `seen`: for each single of the ADU.
  template <typename Bit>
  static void AddPart(const AduMarks& marks, const Piece& part, Bit bit,
                      std::vector<double>& seen) {
    const size_t begin = part.place.sample;
    const auto first =
        std::lower_bound(marks.singles.begin(), marks.singles.end(), begin,
                         [](const Single& single, size_t at) { return single.sample < at; });
    for (size_t i = static_cast<size_t>(first - marks.singles.begin());
         i < seen.size() && marks.singles[i].sample < begin + part.count; ++i) {
      seen[i] += bit(part.at + marks.singles[i].sample - begin);
    }
  }

  // The parts of stretches that are one ADU each, if the master begins with ADU 0.
  static std::vector<Piece> PiecesOf(const std::vector<Stretch>& stretches,
                                     const AduLayout& layout) {
    std::vector<Piece> pieces;
    const size_t channels = layout.channels();
    for (const Stretch& stretch : stretches) {
      const size_t end = (stretch.master_at + stretch.frames) * channels;
      size_t at = stretch.master_at * channels;
      uint64_t number = at / std::max<size_t>(layout.SamplesOf(0), 1);
      while (number > 0 && layout.BeginOf(number, kHeaderBytes) > at) --number;
      while (at < end) {
        while (layout.BeginOf(number + 1, kHeaderBytes) <= at) ++number;
        const size_t begin = layout.BeginOf(number, kHeaderBytes);
        const size_t next = std::min<size_t>(end, layout.BeginOf(number + 1, kHeaderBytes));
        const size_t in_leak = stretch.at * channels + at - stretch.master_at * channels;
        pieces.push_back({in_leak, next - at, {number, at - begin}});
        at = next;
      }
    }
    return pieces;
  }

  // What a leak says of places of the stream, each once: a piece for each ADU, `at` in `bits`.
  struct Places {
    std::vector<Piece> pieces;
    std::vector<float> bits;
  };

  // Adds up what is said of one place several times, up to the bit: what is played in a loop is
  // one observation, with one noise.
  static Places PlacesOf(const std::vector<Piece>& pieces, const std::vector<float>& bits) {
    std::map<uint64_t, std::pair<size_t, size_t>> of_adu;  // from the first sample to the last
    for (const Piece& piece : pieces) {
      const size_t begin = piece.place.sample, end = begin + piece.count;
      const auto [known, added] = of_adu.try_emplace(piece.place.adu_id, begin, end);
      if (added) continue;
      known->second.first = std::min(known->second.first, begin);
      known->second.second = std::max(known->second.second, end);
    }
    Places places;
    std::map<uint64_t, const Piece*> joined;
    places.pieces.reserve(of_adu.size());
    size_t at = 0;
    for (const auto& [id, range] : of_adu) {
      const size_t count = range.second - range.first;
      places.pieces.push_back({at, count, {id, range.first}});
      joined[id] = &places.pieces.back();
      at += count;
    }
    places.bits.resize(at);
    for (const Piece& piece : pieces) {
      const Piece& to = *joined[piece.place.adu_id];
      float* const sums = &places.bits[to.at + piece.place.sample - to.place.sample];
      for (size_t i = 0; i < piece.count; ++i) sums[i] += bits[piece.at + i];
    }
    for (float& bit : places.bits) bit = std::clamp(bit, -1.0f, 1.0f);
    return places;
  }

  enum class Look : uint8_t { kQuick, kClose };

  // How well what the leak says of bits fits the plane, the master beginning with ADU `first`:
  // in standard deviations.
  static absl::StatusOr<double> Fit(StreamMarks& stream, const Places& places, uint64_t first,
                                    Look look) {
    double sum = 0, squares = 0;
    size_t seen = 0;
    for (const Piece& piece : places.pieces) {
      const size_t begin = piece.place.sample, end = begin + piece.count;
      AduMarks marks;
      if (look == Look::kQuick) {
        ASSIGN_OR_RETURN(marks.plane, stream.PlaneOf(first + piece.place.adu_id, end));
        marks.bare.assign(marks.plane.size(), ~uint64_t{0});
      } else {
        ASSIGN_OR_RETURN(marks, stream.MarksOf(first + piece.place.adu_id, end));
      }
      for (size_t t = begin; t < end; ++t) {
        const double bit = BitAt(marks.bare, t) ? places.bits[piece.at + t - begin] : 0;
        sum += BitAt(marks.plane, t) ? bit : -bit;
        squares += bit * bit;
      }
      seen += piece.count;
      if (look == Look::kQuick && seen >= kQuickSamples) break;
    }
    return squares > 0 ? sum / std::sqrt(squares) : 0;
  }

  // The id of the ADU that the master begins with in this stream, if it is told by the plane.
  absl::StatusOr<std::optional<uint64_t>> FirstAdu(StreamMarks& stream,
                                                   const Places& places) const {
    std::vector<std::pair<double, uint64_t>> fits;
    const AduRange& range = settings_.range;
    for (uint64_t id = range.first; id <= range.last; ++id) {
      ASSIGN_OR_RETURN(const double fit, Fit(stream, places, id, Look::kQuick));
      fits.emplace_back(fit, id);
      if (settings_.progress != nullptr) {
        settings_.progress(0, static_cast<double>(id - range.first) /
                                  static_cast<double>(range.last - range.first + 1));
      }
      // What begins with the first one, as most do, is found at once.
      if (fit > kMasterDeviations + 2) break;
    }
    std::sort(fits.rbegin(), fits.rend());
    fits.resize(std::min(fits.size(), kClosely));
    for (auto& [fit, id] : fits) {
      ASSIGN_OR_RETURN(fit, Fit(stream, places, id, Look::kClose));
    }
    const auto best = std::max_element(fits.begin(), fits.end());
    if (best == fits.end() || best->first < kMasterDeviations) return std::optional<uint64_t>();
    return std::optional<uint64_t>(best->second);
  }

  absl::Status AgainstMaster(const AduLayout& layout, const Recording& master) {
    ASSIGN_OR_RETURN(const std::vector<Stretch> stretches,
                     AlignToMaster(leak_, master, settings_.progress));
    if (stretches.empty()) return absl::OkStatus();
    std::vector<Piece> pieces = PiecesOf(stretches, layout);
    Places places = PlacesOf(pieces, BitsAgainstMaster(leak_, master, stretches));
    for (size_t s = 0; s < streams_.size(); ++s) {
      ASSIGN_OR_RETURN(StreamMarks marks, StreamMarks::Create(family_, streams_[s].key.Clone()));
      std::optional<uint64_t> first = settings_.master_adu;
      if (first.has_value()) {
        ASSIGN_OR_RETURN(const double fit, Fit(marks, places, *first, Look::kClose));
        if (fit < kGivenDeviations) continue;
      } else {
        ASSIGN_OR_RETURN(first, FirstAdu(marks, places));
      }
      if (!first.has_value()) continue;
      Forget();
      shown_.method = TraceMethod::kAgainstMaster;
      shown_.gain = stretches.front().gain;
      for (Piece& piece : pieces) piece.place.adu_id += *first;
      for (Piece& piece : places.pieces) piece.place.adu_id += *first;
      RETURN_IF_ERROR(Observe(marks, places.pieces, [&](size_t at) { return places.bits[at]; }));
      for (const Piece& piece : pieces) shown_.pieces.push_back({s, piece});
      return absl::OkStatus();
    }
    if (!settings_.master_adu.has_value()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--master-adu: the leak does not fit a master that begins with ADU ",
                     *settings_.master_adu, "; leave it out to have it looked for"));
  }

  const audit::Family& family_;
  const std::vector<StreamToSearch>& streams_;
  const Recording& leak_;
  const TraceSettings& settings_;
  Examination shown_;
};

}  // namespace

// Alignment, gain and weights follow from the leak, the master, the plane and which samples
// bear marks. None of that depends on the codeword of somebody who had no part in the leak, so
// the bound on innocents holds however much was searched.
absl::StatusOr<Examination> Examine(const audit::Family& family,
                                    const std::vector<StreamToSearch>& streams,
                                    const Recording& leak, const Recording* master,
                                    const TraceSettings& settings) {
  return Examiner(family, streams, leak, settings).Run(master);
}

}  // namespace nark::trace
