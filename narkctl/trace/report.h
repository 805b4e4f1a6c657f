#ifndef NARK_NARKCTL_TRACE_REPORT_H_
#define NARK_NARKCTL_TRACE_REPORT_H_

#include <string>
#include <vector>

#include "narkctl/trace/evidence.h"
#include "narkctl/trace/trace.h"
#include "nlohmann/json.hpp"

namespace nark::trace {

// What a trace found.
struct Report {
  const Examination& shown;
  const Accusation& accusation;
  const std::vector<StreamToSearch>& streams;
  uint32_t sample_rate = 0;
  uint32_t channels = 0;
  AduRange searched;  // unless the master's first ADU was given
  AduRange all;       // that there was reason to search
};

// "accused", "threshold", "error_probability", "candidates", highest score first, and what the
// trace rests on.
nlohmann::ordered_json ReportJson(const Report& report);
// The same for people. The last line says who is accused, or nobody.
std::string ReportText(const Report& report);
// The score of every candidate against the threshold, as a standalone SVG document.
std::string ReportSvg(const Report& report);

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_REPORT_H_
