#ifndef NARK_COMMON_BASE_MARKUP_H_
#define NARK_COMMON_BASE_MARKUP_H_

#include <string>
#include <string_view>

namespace nark {

// Text as the content of an element or of a quoted attribute, of HTML or XML. Control
// characters, of which XML has none, are left out.
std::string EscapeMarkup(std::string_view text);

}  // namespace nark

#endif  // NARK_COMMON_BASE_MARKUP_H_
