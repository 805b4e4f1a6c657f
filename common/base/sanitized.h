#ifndef NARK_COMMON_BASE_SANITIZED_H_
#define NARK_COMMON_BASE_SANITIZED_H_

namespace nark {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NARK_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NARK_SANITIZED
#endif
#endif

// Whether this is a sanitized build, in which an unoptimized signature takes ten times as
// long: tests that go through every case there is take some of them.
#ifdef NARK_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace nark

#endif  // NARK_COMMON_BASE_SANITIZED_H_
