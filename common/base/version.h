#ifndef NARK_COMMON_BASE_VERSION_H_
#define NARK_COMMON_BASE_VERSION_H_

namespace nark {

// What every program answers to --version.
inline constexpr char kProgramVersion[] = "0.1.0";

}  // namespace nark

#endif  // NARK_COMMON_BASE_VERSION_H_
