#include "narkctl/trace/lsb_alignment.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include "common/base/status.h"

namespace nark::trace {
namespace {

constexpr ProbeSize kQuick{.first = 512, .whole = 2048};
constexpr ProbeSize kClose{.first = 4096, .whole = 16384};
// Fewer samples are too few to be told from chance in a long session.
constexpr size_t kLeastProbe = 256;
// An ADU's begin may be so far from where the layout has it, to either side.
constexpr int64_t kWindow = 256;
// Bare samples that an ADU's begin is recognised by, and by how many standard deviations:
// chance reaches that once in 10^9 places.
constexpr size_t kBeginSamples = 1024;
constexpr double kBeginDeviations = 6;
// Searches of everything that may fail one after the other.
constexpr int kMostMisses = 7, kMostCloseMisses = 2;
constexpr uint64_t kNearAdus = 8;
// Of everything, whatever was found between them: of a patchwork what is found by then, and
// what is near it, has to do.
constexpr int kMostWholeSearches = 100;
constexpr size_t kNearSamples = size_t{1} << 21;

// Follows the plane as far as the recording agrees, by the likelihood of agreement against
// that of chance.
class Run {
 public:
  explicit Run(double agreement) {
    const double r = std::clamp(agreement, 0.1, 0.95);
    same_ = std::log(1 + r);
    other_ = std::log(1 - r);
  }
  // False once it has ended for good.
  bool Next(bool same, size_t position) {
    sum_ += same ? same_ : other_;
    if (sum_ > best_) {
      best_ = sum_;
      end_ = position + 1;
    }
    return sum_ > best_ - kDrop;
  }
  size_t end() const { return end_; }

 private:
  static constexpr double kDrop = 20;
  double same_, other_, sum_ = 0, best_ = 0;
  size_t end_ = 0;
};

class Aligner {
 public:
  Aligner(StreamMarks& marks, const AduLayout& layout, const BitRow& bits, size_t samples,
          const AlignmentSettings& settings, ProbeSize probe)
      : marks_(marks),
        layout_(layout),
        bits_(bits),
        samples_(samples),
        settings_(settings),
        probe_(probe),
        search_(marks, layout, [this](double part) {
          if (settings_.progress != nullptr) settings_.progress(cursor_, part);
        }) {}

  absl::StatusOr<std::vector<Piece>> Align() {
    bool at_tail = false;
    while (true) {
      if (cursor_ + kLeastProbe > samples_ || misses_ >= most_misses()) {
        // Whatever was passed over, the end may be of the session.
        const size_t tail = samples_ > probe_.whole ? samples_ - probe_.whole : 0;
        if (at_tail || tail < PiecesEnd() || tail == 0) break;
        at_tail = true;
        cursor_ = next_search_ = tail;
        misses_ = most_misses() - 1;
      }
      ASSIGN_OR_RETURN(const std::optional<Place> place, Find());
      if (!place.has_value()) {
        cursor_ += at_tail ? samples_ : pieces_.empty() ? step_ : probe_.whole / 2;
        continue;
      }
      ASSIGN_OR_RETURN(const Piece begin, GoBack({cursor_, 0, *place}));
      RETURN_IF_ERROR(Follow(begin));
      next_search_ = cursor_;
      misses_ = 0;
      step_ = 0;
    }
    return std::move(pieces_);
  }

 private:
  int most_misses() const { return probe_.first > kQuick.first ? kMostCloseMisses : kMostMisses; }

  // At the cursor: near the last piece, which is cheap; everywhere at ever longer intervals.
  absl::StatusOr<std::optional<Place>> Find() {
    const AduRange& all = settings_.range;
    if (!pieces_.empty() && cursor_ < PiecesEnd() + kNearSamples) {
      const uint64_t last = pieces_.back().place.adu_id;
      const AduRange near = {std::max(all.first, last > kNearAdus ? last - kNearAdus : 0),
                             std::min(all.last, last + kNearAdus)};
      ASSIGN_OR_RETURN(std::optional<Place> place,
                       search_.Find(bits_, cursor_, samples_, near, probe_));
      if (place.has_value()) return place;
    }
    if (cursor_ < next_search_ || whole_searches_ == kMostWholeSearches) {
      return std::optional<Place>();
    }
    ++whole_searches_;
    ASSIGN_OR_RETURN(const std::optional<Place> place,
                     search_.Find(bits_, cursor_, samples_, all, probe_));
    if (place.has_value()) return place;
    ++misses_;
    step_ = std::max(4 * step_, probe_.whole / 2);
    next_search_ = cursor_ + step_;
    return place;
  }

  absl::StatusOr<const AduMarks*> MarksOf(uint64_t adu_id) {
    if (!loaded_.has_value() || loaded_->first != adu_id) {
      ASSIGN_OR_RETURN(AduMarks marks,
                       marks_.MarksOf(adu_id, layout_.SamplesOf(adu_id) + 2 * kWindow));
      loaded_.emplace(adu_id, std::move(marks));
    }
    return &loaded_->second;
  }

  size_t PiecesEnd() const {
    return pieces_.empty() ? 0 : pieces_.back().at + pieces_.back().count;
  }

  // What was skipped between searches may belong to it: the layout says where its ADUs began.
  absl::StatusOr<Piece> GoBack(Piece found) {
    while (found.at > PiecesEnd()) {
      ASSIGN_OR_RETURN(const AduMarks* marks, MarksOf(found.place.adu_id));
      const size_t most = std::min(found.place.sample, found.at - PiecesEnd());
      Run run(0.5);
      for (size_t i = 0; i < most; ++i) {
        const size_t sample = found.place.sample - 1 - i;
        if (!BitAt(marks->bare, sample)) continue;
        if (!run.Next(BitAt(marks->plane, sample) == BitAt(bits_, found.at - 1 - i), i)) break;
      }
      const bool whole = run.end() + 64 > found.place.sample;
      const size_t back = whole ? most : run.end();
      found.at -= back;
      found.place.sample -= back;
      if (found.place.sample > 0 || found.place.adu_id <= settings_.range.first) break;
      const uint64_t before = found.place.adu_id - 1;
      const size_t length = layout_.SamplesOf(before);
      const size_t known = std::min({found.at - PiecesEnd(), length, kBeginSamples});
      ASSIGN_OR_RETURN(marks, MarksOf(before));
      std::optional<size_t> best;
      double most_deviations = kBeginDeviations;
      for (int64_t delta = -kWindow; delta <= kWindow; ++delta) {
        const int64_t sample = static_cast<int64_t>(length - known) + delta;
        if (sample < 0) continue;
        const double deviations =
            BareAgreement(*marks, static_cast<size_t>(sample), bits_, found.at - known, known)
                .deviations();
        if (deviations > most_deviations) {
          most_deviations = deviations;
          best = static_cast<size_t>(sample);
        }
      }
      if (!best.has_value()) break;
      found.at -= known;
      found.place = {before, *best};
    }
    return found;
  }

  // Takes what follows, ADU by ADU, until it ends.
  absl::Status Follow(Piece piece) {
    while (true) {
      ASSIGN_OR_RETURN(const AduMarks* marks, MarksOf(piece.place.adu_id));
      const size_t most = std::min(samples_ - piece.at, marks->samples - piece.place.sample);
      const Agreement begin =
          BareAgreement(*marks, piece.place.sample, bits_, piece.at, std::min(most, probe_.whole));
      Run run(begin.count > 0 ? 0.9 * (2 * begin.same / begin.count - 1) : 0.5);
      for (size_t i = 0; i < most; ++i) {
        const size_t sample = piece.place.sample + i;
        if (!BitAt(marks->bare, sample)) continue;
        if (!run.Next(BitAt(marks->plane, sample) == BitAt(bits_, piece.at + i), i)) break;
      }
      piece.count = run.end();
      // Up to the end of the recording nothing contradicts.
      if (piece.count + 64 > most && piece.at + most == samples_) piece.count = most;
      ASSIGN_OR_RETURN(const std::optional<size_t> next, NextBegin(piece));
      if (next.has_value()) piece.count = *next - piece.at;
      if (piece.count == 0) break;
      pieces_.push_back(piece);
      if (!next.has_value()) break;
      piece = {*next, 0, {piece.place.adu_id + 1, 0}};
    }
    cursor_ = std::max(PiecesEnd(), cursor_ + 64);
    return absl::OkStatus();
  }

  // Where in the recording the next ADU begins, if it does about where this one ends.
  absl::StatusOr<std::optional<size_t>> NextBegin(const Piece& piece) {
    const size_t length = layout_.SamplesOf(piece.place.adu_id);
    if (piece.place.adu_id >= settings_.range.last || piece.place.sample > length) {
      return std::optional<size_t>();
    }
    const size_t predicted = piece.at + length - piece.place.sample;
    if (piece.at + piece.count + 2 * kWindow < predicted || predicted >= samples_) {
      return std::optional<size_t>();
    }
    ASSIGN_OR_RETURN(const AduMarks* marks, MarksOf(piece.place.adu_id + 1));
    std::optional<size_t> best;
    double most = kBeginDeviations;
    for (int64_t delta = -kWindow; delta <= kWindow; ++delta) {
      const int64_t at = static_cast<int64_t>(predicted) + delta;
      if (at <= static_cast<int64_t>(piece.at) || at >= static_cast<int64_t>(samples_)) continue;
      const auto begin = static_cast<size_t>(at);
      const double deviations =
          BareAgreement(*marks, 0, bits_, begin, std::min(kBeginSamples, samples_ - begin))
              .deviations();
      if (deviations > most) {
        most = deviations;
        best = begin;
      }
    }
    return best;
  }

  StreamMarks& marks_;
  const AduLayout& layout_;
  const BitRow& bits_;
  const size_t samples_;
  const AlignmentSettings& settings_;
  const ProbeSize probe_;
  PlaneSearch search_;
  size_t cursor_ = 0;
  size_t next_search_ = 0;  // of everything
  size_t step_ = 0;
  int whole_searches_ = 0;
  int misses_ = 0;
  std::optional<std::pair<uint64_t, AduMarks>> loaded_;
  std::vector<Piece> pieces_;
};

}  // namespace

absl::StatusOr<std::vector<Piece>> AlignByLsb(StreamMarks& marks, const AduLayout& layout,
                                              const BitRow& bits, size_t samples,
                                              const AlignmentSettings& settings) {
  ASSIGN_OR_RETURN(std::vector<Piece> pieces,
                   Aligner(marks, layout, bits, samples, settings, kQuick).Align());
  if (!pieces.empty() || settings.effort == Effort::kQuick || samples < kClose.first) {
    return pieces;
  }
  return Aligner(marks, layout, bits, samples, settings, kClose).Align();
}

}  // namespace nark::trace
