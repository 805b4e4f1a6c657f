#ifndef NARK_COMMON_BASE_CALL_IDS_H_
#define NARK_COMMON_BASE_CALL_IDS_H_

#include <string>

namespace nark {

// What a call is known by outside the process that answers it, for logs. Empty: unknown.
struct CallIds {
  std::string request_id;  // at most 64 letters, digits and of "-_."
  std::string trace_id;    // of a W3C trace context: 32 hexadecimal digits
};

}  // namespace nark

#endif  // NARK_COMMON_BASE_CALL_IDS_H_
