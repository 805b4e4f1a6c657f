#include "load/chart.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/markup.h"

namespace nark::load {
namespace {

constexpr double kWidth = 900;
constexpr double kLeft = 84, kRight = 28;  // of the plot
constexpr double kPlotHeight = 240;
constexpr double kAbove = 62, kBelow = 56;  // of a plot: title and legend, axis
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr std::array<const char*, 8> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                 "#E69F00", "#56B4E9", "#000000", "#7F7F7F"};

std::string Number(double value) { return absl::StrFormat("%.1f", value); }

// 1, 2 or 5 times a power of ten.
double RoundStep(double rough) {
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// "0.05", "2,500": no more digits than it takes.
std::string Label(double value) {
  if (value < 1000) return absl::StrFormat("%.6g", value);
  std::string digits = absl::StrFormat("%.0f", value);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::vector<Tick> LinearTicks(double step, double to) {
  std::vector<Tick> ticks;
  for (int i = 0; i * step <= to * (1 + 1e-9); ++i) ticks.push_back({i * step, Label(i * step)});
  return ticks;
}

// Where a value lies on its axis, 0 to 1 on it.
double PlaceOf(const Axis& axis, double value) {
  if (axis.scale == Scale::kLinear) return (value - axis.from) / (axis.to - axis.from);
  return std::log(value / axis.from) / std::log(axis.to / axis.from);
}

bool CanShow(const Axis& axis, double value) {
  return std::isfinite(value) && (axis.scale == Scale::kLinear || value > 0);
}

double X(const Chart& chart, double value) {
  return kLeft + kPlotWidth * std::clamp(PlaceOf(chart.x, value), 0.0, 1.0);
}
double Y(const Chart& chart, double top, double value) {
  return top + kPlotHeight * (1 - std::clamp(PlaceOf(chart.y, value), 0.0, 1.0));
}

void Text(std::string& svg, double x, double y, const std::string& attributes,
          const std::string& text) {
  absl::StrAppend(&svg, "<text x=\"", Number(x), "\" y=\"", Number(y), "\" ", attributes, ">",
                  EscapeMarkup(text), "</text>\n");
}

void Rule(std::string& svg, double x1, double y1, double x2, double y2, const char* stroke) {
  absl::StrAppend(&svg, "<line x1=\"", Number(x1), "\" y1=\"", Number(y1), "\" x2=\"", Number(x2),
                  "\" y2=\"", Number(y2), "\" stroke=\"", stroke, "\"/>\n");
}

void DrawAxes(std::string& svg, const Chart& chart, double top) {
  const double bottom = top + kPlotHeight, right = kLeft + kPlotWidth;
  for (const Tick& tick : chart.y.ticks) {
    const double y = Y(chart, top, tick.value);
    Rule(svg, kLeft, y, right, y, tick.label.empty() ? "#F0F0F0" : "#D9D9D9");
    if (!tick.label.empty()) {
      Text(svg, kLeft - 8, y + 4, "text-anchor=\"end\"", tick.label);
    }
  }
  for (const Tick& tick : chart.x.ticks) {
    const double x = X(chart, tick.value);
    Rule(svg, x, top, x, bottom, tick.label.empty() ? "#F0F0F0" : "#D9D9D9");
    if (!tick.label.empty()) {
      Text(svg, x, bottom + 18, "text-anchor=\"middle\"", tick.label);
    }
  }
  Rule(svg, kLeft, top, kLeft, bottom, "#404040");
  Rule(svg, kLeft, bottom, right, bottom, "#404040");
  Text(svg, kLeft + kPlotWidth / 2, bottom + 40, "text-anchor=\"middle\"", chart.x.label);
  const double middle = top + kPlotHeight / 2;
  Text(svg, 18, middle,
       absl::StrCat("text-anchor=\"middle\" transform=\"rotate(-90 18 ", Number(middle), ")\""),
       chart.y.label);
}

std::string StrokeOf(const Line& line, size_t index) {
  std::string stroke = absl::StrCat("fill=\"none\" stroke=\"", kColours[index % kColours.size()],
                                    "\" stroke-width=\"2\" stroke-linejoin=\"round\"");
  if (line.look == Line::Look::kDashed) stroke += " stroke-dasharray=\"8 4\"";
  if (line.look == Line::Look::kDotted) stroke += " stroke-dasharray=\"2 4\"";
  return stroke;
}

void DrawLine(std::string& svg, const Chart& chart, double top, size_t index) {
  const Line& line = chart.lines[index];
  std::string path, marks;
  bool pen_down = false;
  for (size_t i = 0; i < line.points.size(); ++i) {
    const auto& [x, y] = line.points[i];
    if (!CanShow(chart.x, x) || !CanShow(chart.y, y)) {
      pen_down = false;
      continue;
    }
    const std::string at = absl::StrCat(Number(X(chart, x)), " ", Number(Y(chart, top, y)));
    absl::StrAppend(&path, pen_down ? "L" : "M", at, " ");
    // What stands alone has no line to be seen by.
    const bool next = i + 1 < line.points.size() && CanShow(chart.y, line.points[i + 1].second);
    if (line.marks == Line::Marks::kPoints || (!pen_down && !next)) {
      absl::StrAppend(&marks, "<circle cx=\"", Number(X(chart, x)), "\" cy=\"",
                      Number(Y(chart, top, y)), "\" r=\"3\" fill=\"",
                      kColours[index % kColours.size()], "\"/>\n");
    }
    pen_down = true;
  }
  if (path.empty()) return;
  path.pop_back();
  absl::StrAppend(&svg, "<path d=\"", path, "\" ", StrokeOf(line, index), "/>\n", marks);
}

void DrawLegend(std::string& svg, const Chart& chart, double y) {
  double x = kLeft;
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    absl::StrAppend(&svg, "<path d=\"M", Number(x), " ", Number(y - 4), " L", Number(x + 26), " ",
                    Number(y - 4), "\" ", StrokeOf(chart.lines[i], i), "/>\n");
    Text(svg, x + 32, y, "", chart.lines[i].name);
    // Some 6.7 units a character at this size.
    x += 32 + 6.7 * static_cast<double>(chart.lines[i].name.size()) + 24;
  }
}

}  // namespace

Axis Axis::Linear(std::string label, double most) {
  const double step = RoundStep(std::max(most, 1e-9) / 5);
  const double to = step * std::max(1.0, std::ceil(most / step * (1 - 1e-9)));
  return {std::move(label), Scale::kLinear, 0, to, LinearTicks(step, to)};
}

Axis Axis::Upto(std::string label, double most) {
  const double to = std::max(most, 1e-9);
  return {std::move(label), Scale::kLinear, 0, to, LinearTicks(RoundStep(to / 10), to)};
}

Axis Axis::Logarithmic(std::string label, double least, double most) {
  const int first = static_cast<int>(std::floor(std::log10(std::max(least, 1e-9))));
  const int last =
      std::max(first + 1, static_cast<int>(std::ceil(std::log10(std::max(most, 1e-9)) - 1e-9)));
  Axis axis{std::move(label), Scale::kLogarithmic, std::pow(10, first), std::pow(10, last), {}};
  for (int decade = first; decade <= last; ++decade) {
    const double power = std::pow(10, decade);
    axis.ticks.push_back({power, Label(power)});
    for (int digit = 2; digit < 10 && decade < last; ++digit) {
      const bool told = last - first <= 2 && (digit == 2 || digit == 5);
      axis.ticks.push_back({digit * power, told ? Label(digit * power) : ""});
    }
  }
  return axis;
}

Axis Axis::Percentiles(std::string label, double count) {
  Axis axis{std::move(label), Scale::kLogarithmic, 1, std::clamp(count, 100.0, 1e7), {}};
  axis.ticks = {{1, "0 %"}, {2, "50 %"}, {4, "75 %"}, {10, "90 %"}};
  std::string nines = "99";
  for (double at = 100; at <= axis.to; at *= 10) {
    axis.ticks.push_back({at, nines + " %"});
    nines += nines.size() == 2 ? ".9" : "9";
  }
  return axis;
}

std::string DrawSvg(const std::string& heading, const std::vector<std::string>& notes,
                    const std::vector<Chart>& charts) {
  const double head = 44 + 18 * static_cast<double>(notes.size());
  const double each = kAbove + kPlotHeight + kBelow;
  const double height = head + each * static_cast<double>(charts.size()) + 12;
  std::string svg = absl::StrCat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"", Number(kWidth),
      "\" height=\"", Number(height), "\" viewBox=\"0 0 ", Number(kWidth), " ", Number(height),
      "\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n<title>",
      EscapeMarkup(heading), "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n");
  Text(svg, kLeft, 30, "font-size=\"18\" font-weight=\"bold\"", heading);
  for (size_t i = 0; i < notes.size(); ++i) {
    Text(svg, kLeft, 50 + 18 * static_cast<double>(i), "fill=\"#404040\"", notes[i]);
  }
  double top = head;
  for (const Chart& chart : charts) {
    Text(svg, kLeft, top + 28, "font-size=\"15\" font-weight=\"bold\"", chart.title);
    DrawLegend(svg, chart, top + 50);
    DrawAxes(svg, chart, top + kAbove);
    for (size_t i = 0; i < chart.lines.size(); ++i) DrawLine(svg, chart, top + kAbove, i);
    top += each;
  }
  return svg + "</svg>\n";
}

}  // namespace nark::load
