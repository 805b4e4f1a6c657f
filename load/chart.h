#ifndef NARK_LOAD_CHART_H_
#define NARK_LOAD_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace nark::load {

// A place on an axis that is marked.
struct Tick {
  double value = 0;
  std::string label;  // empty: a fine line alone
};

enum class Scale { kLinear, kLogarithmic };

// One axis: what it shows, with its unit, and from where to where.
struct Axis {
  std::string label;
  Scale scale = Scale::kLinear;
  double from = 0;
  double to = 1;
  std::vector<Tick> ticks;

  // From 0 to a round number not below `most`, with some five round ticks.
  static Axis Linear(std::string label, double most);
  // As Linear, but ending at `most` itself.
  static Axis Upto(std::string label, double most);
  // Whole decades around what is shown; `least` and `most` above 0.
  static Axis Logarithmic(std::string label, double least, double most);
  // For points at 1 / (1 - part): 0 %, 90 %, 99 %, ... up to where `count` values can tell.
  static Axis Percentiles(std::string label, double count);
};

// A line through points; a point whose y is not finite, or not above 0 on a logarithmic
// axis, parts it.
struct Line {
  std::string name;  // in the legend
  std::vector<std::pair<double, double>> points;
  enum class Look { kSolid, kDashed, kDotted } look = Look::kSolid;
  enum class Marks { kNone, kPoints } marks = Marks::kNone;
};

struct Chart {
  std::string title;
  Axis x, y;
  std::vector<Line> lines;  // at most eight, each in a colour of its own
};

// Charts one below the other under a heading, as a standalone SVG 1.1 document without
// scripts, styles or fonts from elsewhere. Colours are of the palette of Okabe and Ito,
// which the colour-blind tell apart. `notes` stand below the heading, a line each.
std::string DrawSvg(const std::string& heading, const std::vector<std::string>& notes,
                    const std::vector<Chart>& charts);

}  // namespace nark::load

#endif  // NARK_LOAD_CHART_H_
