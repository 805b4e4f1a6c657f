#include "narkctl/trace/report.h"

#include <algorithm>
#include <cmath>

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

// What a double can not tell from nothing is still no certainty.
std::string Chance(double probability) {
  return probability < 1e-300 ? "below 1e-300" : absl::StrFormat("%.2g", probability);
}

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
  constexpr size_t kMostStretches = 20;
  const std::vector<Stretch> stretches = StretchesOf(shown.pieces);
  for (size_t i = 0; i < std::min(stretches.size(), kMostStretches); ++i) {
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
  if (stretches.size() > kMostStretches) {
    absl::StrAppendFormat(&text, "and %d stretches more\n", stretches.size() - kMostStretches);
  }
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

std::string ReportSvg(const Report& report) {
  constexpr double kWidth = 900, kHeight = 420, kLeft = 70, kRight = 30, kTop = 84, kBottom = 60;
  const Accusation& accusation = report.accusation;
  std::vector<std::pair<Candidate, bool>> all;  // accused or not
  double least = -4, most = 1.15 * accusation.threshold;
  for (size_t i = 0; i < accusation.candidates.size(); ++i) {
    const Candidate& candidate = accusation.candidates[i];
    all.emplace_back(candidate, i < accusation.accused);
    least = std::min(least, 1.1 * candidate.score);
    most = std::max(most, 1.1 * candidate.score);
  }
  // By id, so that a place says nothing.
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.first.id < b.first.id; });
  const auto y_of = [&](double score) {
    return kTop + (kHeight - kTop - kBottom) * (most - score) / (most - least);
  };
  const auto x_of = [&](size_t i) {
    return kLeft + (kWidth - kLeft - kRight) * (static_cast<double>(i) + 0.5) /
                       static_cast<double>(std::max<size_t>(all.size(), 1));
  };
  std::string svg = absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
      "version=\"1.1\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
      "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>Scores of all "
      "candidates</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#FFFFFF\"/>\n",
      kWidth, kHeight, kWidth, kHeight);
  const auto text = [&](double x, double y, const char* attributes, const std::string& what) {
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes,
                          EscapeMarkup(what));
  };
  const auto line = [&](double y, const char* attributes) {
    absl::StrAppendFormat(&svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
                          kLeft, y, kWidth - kRight, y, attributes);
  };
  text(kLeft, 30, "font-size=\"18\" font-weight=\"bold\"",
       absl::StrFormat("%d of %d candidates accused", accusation.accused, all.size()));
  text(kLeft, 52, "fill=\"#404040\"",
       absl::StrFormat("%d observations of %d of %d symbols; %s",
                       report.shown.evidence.observations, report.shown.symbols_seen,
                       report.shown.evidence.sums.size(), MethodText(report.shown.method)));
  double step = 1;
  while ((most - least) / step > 12) step *= step == 2 || step == 20 ? 2.5 : 2;
  // Less a sign of nought.
  for (double tick = std::ceil(least / step) * step + 0.0; tick <= most; tick += step) {
    line(y_of(tick), "stroke=\"#D9D9D9\"");
    text(kLeft - 8, y_of(tick) + 4, "text-anchor=\"end\"", absl::StrFormat("%.0f", tick));
  }
  for (const bool accused : {false, true}) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].second != accused) continue;
      absl::StrAppendFormat(&svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"/>\n",
                            x_of(i), y_of(all[i].first.score), accused ? 5 : 2,
                            accused ? "#D55E00" : "#0072B2");
      if (accused && accusation.accused <= 12) {
        const bool right = x_of(i) < kWidth / 2;
        text(x_of(i) + (right ? 9 : -9), y_of(all[i].first.score) + 4,
             right ? "" : "text-anchor=\"end\"", ToHex(all[i].first.id).substr(0, 12));
      }
    }
  }
  line(y_of(accusation.threshold),
       "stroke=\"#D55E00\" stroke-width=\"1.5\" stroke-dasharray=\"8 4\"");
  text(kWidth - kRight, y_of(accusation.threshold) - 6, "text-anchor=\"end\" fill=\"#D55E00\"",
       absl::StrFormat("threshold %.2f: any innocent above it with probability %s at most",
                       accusation.threshold, Chance(accusation.error_probability)));
  text(kLeft + (kWidth - kLeft - kRight) / 2, kHeight - 22, "text-anchor=\"middle\"",
       "candidates, by secure-space id");
  const double middle = (kTop + kHeight - kBottom) / 2;
  text(20, middle,
       absl::StrFormat("text-anchor=\"middle\" transform=\"rotate(-90 20 %.1f)\"", middle).c_str(),
       "score, standard deviations of an innocent");
  return svg + "</svg>\n";
}

}  // namespace nark::trace
