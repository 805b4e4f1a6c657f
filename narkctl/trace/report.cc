#include "narkctl/trace/report.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/bytes.h"
#include "common/base/markup.h"

namespace nark::trace {
namespace {

using Json = nlohmann::ordered_json;

// Pieces that follow each other in the leak and in the stream.
struct Stretch {
  size_t stream;
  size_t at, count;
  Place first;
  uint64_t last_adu;
};

std::vector<Stretch> StretchesOf(const std::vector<TracedPiece>& pieces) {
  std::vector<Stretch> stretches;
  for (const auto& [stream, piece] : pieces) {
    if (!stretches.empty()) {
      Stretch& last = stretches.back();
      if (last.stream == stream && last.at + last.count == piece.at &&
          last.last_adu + 1 == piece.place.adu_id && piece.place.sample == 0) {
        last.count += piece.count;
        last.last_adu = piece.place.adu_id;
        continue;
      }
    }
    stretches.push_back({stream, piece.at, piece.count, piece.place, piece.place.adu_id});
  }
  return stretches;
}

const char* MethodText(TraceMethod method) {
  switch (method) {
    case TraceMethod::kNone:
      return "nothing of the recording was found in the session";
    case TraceMethod::kLeastSignificant:
      return "least significant bits of the recording itself";
    case TraceMethod::kLessGain:
      return "least significant bits of the recording, its gain undone";
    case TraceMethod::kAgainstMaster:
      return "the recording less the master";
  }
  return "";
}

const char* MethodWord(TraceMethod method) {
  switch (method) {
    case TraceMethod::kNone:
      return "none";
    case TraceMethod::kLeastSignificant:
      return "bits";
    case TraceMethod::kLessGain:
      return "bits-less-gain";
    case TraceMethod::kAgainstMaster:
      return "master";
  }
  return "";
}

uint64_t AlignedSamples(const Examination& shown) {
  uint64_t aligned = 0;
  for (const TracedPiece& traced : shown.pieces) aligned += traced.piece.count;
  return aligned;
}

double Seconds(const Report& report, uint64_t samples) {
  return static_cast<double>(samples) / report.channels / report.sample_rate;
}

std::string Chance(double probability) {
  return probability > InnocentBound::kLeastProbability
             ? absl::StrFormat("%.2g", probability)
             : absl::StrFormat("below %.0e", InnocentBound::kLeastProbability);
}

std::string SearchedText(const Report& report) {
  const AduRange &searched = report.searched, &all = report.all;
  std::string text = absl::StrFormat("ADU %d to %d", searched.first, searched.last);
  if (searched.first > all.first || searched.last < all.last) {
    absl::StrAppendFormat(&text, " of %d to %d; --adus names others", all.first, all.last);
  }
  return text;
}

std::string StretchesText(const Report& report) {
  constexpr size_t kMost = 20;
  std::string text;
  const std::vector<Stretch> stretches = StretchesOf(report.shown.pieces);
  for (size_t i = 0; i < std::min(stretches.size(), kMost); ++i) {
    const Stretch& stretch = stretches[i];
    absl::StrAppendFormat(&text, "From %8.3f s, %.3f s: ADU %d to %d", Seconds(report, stretch.at),
                          Seconds(report, stretch.count), stretch.first.adu_id, stretch.last_adu);
    if (report.streams.size() > 1) {
      absl::StrAppendFormat(&text, " of sender %d, sub-session %d",
                            report.streams[stretch.stream].sender_id,
                            report.streams[stretch.stream].sub_session);
    }
    text += "\n";
  }
  if (stretches.size() > kMost) {
    absl::StrAppendFormat(&text, "and %d stretches more\n", stretches.size() - kMost);
  }
  return text;
}

// The score of every candidate, from left to right by id, so that a place says nothing.
class ScorePlot {
 public:
  explicit ScorePlot(const Report& report)
      : report_(report), most_(1.15 * report.accusation.threshold) {
    const Accusation& accusation = report.accusation;
    for (size_t i = 0; i < accusation.candidates.size(); ++i) {
      const Candidate& candidate = accusation.candidates[i];
      marks_.push_back({candidate, i < accusation.accused});
      least_ = std::min(least_, 1.1 * candidate.score);
      most_ = std::max(most_, 1.1 * candidate.score);
    }
    std::sort(marks_.begin(), marks_.end(),
              [](const Mark& a, const Mark& b) { return a.candidate.id < b.candidate.id; });
  }

  std::string ToSvg() {
    svg_ = absl::StrFormat(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
        "version=\"1.1\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
        "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>Scores of all "
        "candidates</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#FFFFFF\"/>\n",
        kWidth, kHeight, kWidth, kHeight);
    AddTitle();
    AddScale();
    // Those accused lie above the rest.
    for (const bool accused : {false, true}) {
      for (size_t i = 0; i < marks_.size(); ++i) {
        if (marks_[i].accused == accused) AddMark(i);
      }
    }
    AddThreshold();
    return std::move(svg_) + "</svg>\n";
  }

 private:
  static constexpr double kWidth = 900, kHeight = 420;
  static constexpr double kLeft = 70, kRight = 30, kTop = 84, kBottom = 60;
  // So many can be named without their names touching.
  static constexpr size_t kMostNames = 12;

  struct Mark {
    Candidate candidate;
    bool accused;
  };

  double XOf(size_t i) const {
    return kLeft + (kWidth - kLeft - kRight) * (static_cast<double>(i) + 0.5) /
                       static_cast<double>(std::max<size_t>(marks_.size(), 1));
  }
  double YOf(double score) const {
    return kTop + (kHeight - kTop - kBottom) * (most_ - score) / (most_ - least_);
  }

  void AddText(double x, double y, const std::string& attributes, const std::string& what) {
    absl::StrAppendFormat(&svg_, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes,
                          EscapeMarkup(what));
  }
  void AddLine(double y, const char* attributes) {
    absl::StrAppendFormat(&svg_, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
                          kLeft, y, kWidth - kRight, y, attributes);
  }

  void AddTitle() {
    const Examination& shown = report_.shown;
    AddText(
        kLeft, 30, "font-size=\"18\" font-weight=\"bold\"",
        absl::StrFormat("%d of %d candidates accused", report_.accusation.accused, marks_.size()));
    AddText(
        kLeft, 52, "fill=\"#404040\"",
        absl::StrFormat("%d observations of %d of %d symbols; %s", shown.evidence.observations,
                        shown.symbols_seen, shown.evidence.sums.size(), MethodText(shown.method)));
  }

  void AddScale() {
    double step = 1;
    while ((most_ - least_) / step > 12) step *= step == 2 || step == 20 ? 2.5 : 2;
    // Less a sign of nought.
    for (double tick = std::ceil(least_ / step) * step + 0.0; tick <= most_; tick += step) {
      AddLine(YOf(tick), "stroke=\"#D9D9D9\"");
      AddText(kLeft - 8, YOf(tick) + 4, "text-anchor=\"end\"", absl::StrFormat("%.0f", tick));
    }
    AddText(kLeft + (kWidth - kLeft - kRight) / 2, kHeight - 22, "text-anchor=\"middle\"",
            "candidates, by secure-space id");
    const double middle = (kTop + kHeight - kBottom) / 2;
    AddText(20, middle,
            absl::StrFormat("text-anchor=\"middle\" transform=\"rotate(-90 20 %.1f)\"", middle),
            "score, standard deviations of an innocent");
  }

  void AddMark(size_t i) {
    const auto& [candidate, accused] = marks_[i];
    const double x = XOf(i), y = YOf(candidate.score);
    absl::StrAppendFormat(&svg_, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"/>\n", x, y,
                          accused ? 5 : 2, accused ? "#D55E00" : "#0072B2");
    if (!accused || report_.accusation.accused > kMostNames) return;
    const bool right = x < kWidth / 2;
    AddText(x + (right ? 9 : -9), y + 4, right ? "" : "text-anchor=\"end\"",
            ToHex(candidate.id).substr(0, 12));
  }

  void AddThreshold() {
    const Accusation& accusation = report_.accusation;
    const double y = YOf(accusation.threshold);
    AddLine(y, "stroke=\"#D55E00\" stroke-width=\"1.5\" stroke-dasharray=\"8 4\"");
    AddText(kWidth - kRight, y - 6, "text-anchor=\"end\" fill=\"#D55E00\"",
            absl::StrFormat("threshold %.2f: any innocent above it with probability %s at most",
                            accusation.threshold, Chance(accusation.error_probability)));
  }

  const Report& report_;
  std::vector<Mark> marks_;
  double least_ = -4, most_;
  std::string svg_;
};

}  // namespace

Json ReportJson(const Report& report) {
  const Accusation& accusation = report.accusation;
  Json json = {{"accused", Json::array()},
               {"threshold", accusation.threshold},
               {"error_probability", accusation.error_probability},
               {"candidates", Json::array()}};
  for (size_t i = 0; i < accusation.accused; ++i) {
    json["accused"].push_back(ToHex(accusation.candidates[i].id));
  }
  for (size_t i = 0; i < accusation.candidates.size(); ++i) {
    const Candidate& candidate = accusation.candidates[i];
    Json entry = {{"id", ToHex(candidate.id)}, {"score", candidate.score}};
    if (i < accusation.accused) entry["chance_of_an_innocent"] = accusation.chances[i];
    json["candidates"].push_back(std::move(entry));
  }
  const Examination& shown = report.shown;
  json["method"] = MethodWord(shown.method);
  json["gain"] = shown.gain;
  json["seconds"] = Seconds(report, shown.samples);
  json["aligned_seconds"] = Seconds(report, AlignedSamples(shown));
  json["observations"] = shown.evidence.observations;
  json["symbols_seen"] = shown.symbols_seen;
  json["symbols"] = shown.evidence.sums.size();
  json["searched_adus"] = {report.searched.first, report.searched.last};
  json["stretches"] = Json::array();
  for (const Stretch& stretch : StretchesOf(shown.pieces)) {
    json["stretches"].push_back({{"at_seconds", Seconds(report, stretch.at)},
                                 {"seconds", Seconds(report, stretch.count)},
                                 {"sub_session", report.streams[stretch.stream].sub_session},
                                 {"sender", report.streams[stretch.stream].sender_id},
                                 {"first_adu", stretch.first.adu_id},
                                 {"first_sample", stretch.first.sample},
                                 {"last_adu", stretch.last_adu}});
  }
  return json;
}

std::string ReportText(const Report& report) {
  const Examination& shown = report.shown;
  const Accusation& accusation = report.accusation;
  std::string text =
      absl::StrFormat("Recording    %.3f s, of which %.3f s are of the session\nBy           %s\n",
                      Seconds(report, shown.samples), Seconds(report, AlignedSamples(shown)),
                      MethodText(shown.method));
  if (shown.gain != 1) absl::StrAppendFormat(&text, "Gain         %.4f\n", shown.gain);
  absl::StrAppend(&text, "Searched     ", SearchedText(report), "\n", StretchesText(report));
  absl::StrAppendFormat(&text, "Evidence     %d observations of %d of %d symbols\n",
                        shown.evidence.observations, shown.symbols_seen,
                        shown.evidence.sums.size());
  absl::StrAppendFormat(&text, "Candidates   %d\n", accusation.candidates.size());
  absl::StrAppendFormat(
      &text, "Threshold    %.3f, which any innocent passes with probability %s at most\n",
      accusation.threshold, Chance(accusation.error_probability));
  if (accusation.accused < accusation.candidates.size()) {
    absl::StrAppendFormat(&text, "%s  %.3f\n",
                          accusation.accused > 0 ? "Next score " : "Best score ",
                          accusation.candidates[accusation.accused].score);
  }
  if (accusation.accused == 0) return text + "Accused      nobody\n";
  for (size_t i = 0; i < accusation.accused; ++i) {
    absl::StrAppendFormat(&text, "Accused      %s  score %.3f; an innocent's chance of it %s\n",
                          ToHex(accusation.candidates[i].id), accusation.candidates[i].score,
                          Chance(accusation.chances[i]));
  }
  return text;
}

std::string ReportSvg(const Report& report) { return ScorePlot(report).ToSvg(); }

}  // namespace nark::trace
