#ifndef NARK_LOAD_XML_TESTING_H_
#define NARK_LOAD_XML_TESTING_H_

#include <regex>
#include <string>
#include <vector>

namespace nark::load {

// Why `text` is no well-formed XML document, as far as what a program writes goes wrong:
// tags that do not match, attributes without quotes or twice, bare & and <, several roots,
// control characters. Empty where it is.
inline std::string WhyNotWellFormed(const std::string& text) {
  static const std::regex kTag(
      R"re(<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z][A-Za-z0-9:-]*="[^"<]*")*)\s*(/?)>)re");
  static const std::regex kAttribute(R"re(([A-Za-z][A-Za-z0-9:-]*)=")re");
  static const std::regex kEntity(R"re(&(?!(amp|lt|gt|quot|apos);))re");
  if (std::regex_search(text, kEntity)) return "a bare &";
  std::vector<std::string> open;
  size_t roots = 0;
  size_t at = text.rfind("<?xml ", 0) == 0 ? text.find("?>") + 2 : 0;
  while (at < text.size()) {
    if (text[at] != '<') {
      const auto c = static_cast<unsigned char>(text[at]);
      if (c < 0x20 && c != '\n' && c != '\t') return "a control character";
      if (open.empty() && c != '\n') return "text outside the root";
      ++at;
      continue;
    }
    std::smatch match;
    const std::string rest = text.substr(at, 20'000);
    if (!std::regex_search(rest, match, kTag, std::regex_constants::match_continuous)) {
      return "no tag: " + rest.substr(0, 60);
    }
    std::vector<std::string> names;
    const std::string attributes = match[3];
    for (std::sregex_iterator i(attributes.begin(), attributes.end(), kAttribute), end; i != end;
         ++i) {
      for (const std::string& name : names) {
        if (name == (*i)[1]) return "attribute twice: " + name;
      }
      names.push_back((*i)[1]);
    }
    if (match[1] == "/") {
      if (open.empty() || open.back() != match[2])
        return "</" + match[2].str() + "> closes nothing";
      open.pop_back();
    } else {
      if (open.empty() && ++roots > 1) return "two roots";
      if (match[4] != "/") open.push_back(match[2]);
    }
    at += static_cast<size_t>(match[0].length());
  }
  if (!open.empty()) return "<" + open.back() + "> is not closed";
  return roots == 1 ? "" : "no root";
}

}  // namespace nark::load

#endif  // NARK_LOAD_XML_TESTING_H_
