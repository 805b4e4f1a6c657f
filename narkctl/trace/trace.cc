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
      for (const auto& [id, of_adu] : ByAdu(pieces)) {
        RETURN_IF_ERROR(Observe(
            marks, BitsOf(of_adu, [&](size_t at) { return BitAt(bits, at) ? 1.0f : -1.0f; })));
      }
      for (const Piece& piece : pieces) shown_.pieces.push_back({s, piece});
    }
    if (shown_.pieces.empty()) return absl::OkStatus();
    shown_.gain = gain;
    shown_.method = gain == 1 ? TraceMethod::kLeastSignificant : TraceMethod::kLessGain;
    return absl::OkStatus();
  }

  // What the leak says of samples of one ADU, each once: in [-1, 1], 0 where it says nothing.
  struct AduBits {
    uint64_t adu_id = 0;
    size_t begin = 0;
    std::vector<float> bits;

    size_t end() const { return begin + bits.size(); }
  };
  using PiecesOfAdu = std::vector<const Piece*>;

  static std::map<uint64_t, PiecesOfAdu> ByAdu(const std::vector<Piece>& pieces) {
    std::map<uint64_t, PiecesOfAdu> by_adu;
    for (const Piece& piece : pieces) by_adu[piece.place.adu_id].push_back(&piece);
    return by_adu;
  }

  // `bit`: what it says at a sample of its own. Where it shows one place of the stream several
  // times, all of that is added up, and is never more than the bit: what is played in a loop is
  // one observation, with one noise, and does not drown the rest.
  template <typename Bit>
  static AduBits BitsOf(const PiecesOfAdu& pieces, Bit bit) {
    AduBits adu{.adu_id = pieces.front()->place.adu_id, .begin = pieces.front()->place.sample};
    size_t end = 0;
    for (const Piece* piece : pieces) {
      adu.begin = std::min(adu.begin, piece->place.sample);
      end = std::max(end, piece->place.sample + piece->count);
    }
    adu.bits.resize(end - adu.begin);
    for (const Piece* piece : pieces) {
      float* const sums = &adu.bits[piece->place.sample - adu.begin];
      for (size_t i = 0; i < piece->count; ++i) sums[i] += bit(piece->at + i);
    }
    for (float& sum : adu.bits) sum = std::clamp(sum, -1.0f, 1.0f);
    return adu;
  }

  static std::vector<AduBits> BitsOfAdus(const std::vector<Piece>& pieces,
                                         const std::vector<float>& bits) {
    std::vector<AduBits> adus;
    for (const auto& [id, of_adu] : ByAdu(pieces)) {
      adus.push_back(BitsOf(of_adu, [&](size_t at) { return bits[at]; }));
    }
    return adus;
  }

  absl::Status Observe(StreamMarks& stream, const AduBits& adu) {
    ASSIGN_OR_RETURN(const AduMarks marks, stream.MarksOf(adu.adu_id, adu.end()));
    for (const Single& single : marks.singles) {
      if (single.sample < adu.begin) continue;
      const double seen = adu.bits[single.sample - adu.begin];
      if (seen == 0) continue;
      shown_.evidence.Add(single.symbol, BitAt(marks.plane, single.sample) ? -seen : seen);
    }
    return absl::OkStatus();
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

  enum class Look : uint8_t { kQuick, kClose };

  // How well what the leak says of bits fits the plane, the master beginning with ADU `first`:
  // in standard deviations.
  static absl::StatusOr<double> Fit(StreamMarks& stream, const std::vector<AduBits>& adus,
                                    uint64_t first, Look look) {
    double sum = 0, squares = 0;
    size_t seen = 0;
    for (const AduBits& adu : adus) {
      AduMarks marks;
      if (look == Look::kQuick) {
        ASSIGN_OR_RETURN(marks.plane, stream.PlaneOf(first + adu.adu_id, adu.end()));
        marks.bare.assign(marks.plane.size(), ~uint64_t{0});
      } else {
        ASSIGN_OR_RETURN(marks, stream.MarksOf(first + adu.adu_id, adu.end()));
      }
      for (size_t t = adu.begin; t < adu.end(); ++t) {
        const double bit = BitAt(marks.bare, t) ? adu.bits[t - adu.begin] : 0;
        sum += BitAt(marks.plane, t) ? bit : -bit;
        squares += bit * bit;
      }
      seen += adu.bits.size();
      if (look == Look::kQuick && seen >= kQuickSamples) break;
    }
    return squares > 0 ? sum / std::sqrt(squares) : 0;
  }

  // The id of the ADU that the master begins with in this stream, if it is told by the plane.
  absl::StatusOr<std::optional<uint64_t>> FirstAdu(StreamMarks& stream,
                                                   const std::vector<AduBits>& adus) const {
    std::vector<std::pair<double, uint64_t>> fits;
    const AduRange& range = settings_.range;
    for (uint64_t id = range.first; id <= range.last; ++id) {
      ASSIGN_OR_RETURN(const double fit, Fit(stream, adus, id, Look::kQuick));
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
      ASSIGN_OR_RETURN(fit, Fit(stream, adus, id, Look::kClose));
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
    std::vector<AduBits> adus = BitsOfAdus(pieces, BitsAgainstMaster(leak_, master, stretches));
    for (size_t s = 0; s < streams_.size(); ++s) {
      ASSIGN_OR_RETURN(StreamMarks marks, StreamMarks::Create(family_, streams_[s].key.Clone()));
      std::optional<uint64_t> first = settings_.master_adu;
      if (first.has_value()) {
        ASSIGN_OR_RETURN(const double fit, Fit(marks, adus, *first, Look::kClose));
        if (fit < kGivenDeviations) continue;
      } else {
        ASSIGN_OR_RETURN(first, FirstAdu(marks, adus));
      }
      if (!first.has_value()) continue;
      Forget();
      shown_.method = TraceMethod::kAgainstMaster;
      shown_.gain = stretches.front().gain;
      for (AduBits& adu : adus) {
        adu.adu_id += *first;
        RETURN_IF_ERROR(Observe(marks, adu));
      }
      for (Piece& piece : pieces) {
        piece.place.adu_id += *first;
        shown_.pieces.push_back({s, piece});
      }
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
