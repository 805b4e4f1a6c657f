#ifndef NARK_BAZEL_TSAN_ORIGINAL_H_
#define NARK_BAZEL_TSAN_ORIGINAL_H_

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace nark::tsan {

// A function of a shared library, before which one of the program's stands.
template <typename Result, typename... Arguments>
class Original {
 public:
  constexpr explicit Original(const char* symbol) : symbol_(symbol) {}

  Result operator()(Arguments... arguments) { return Find()(arguments...); }

 private:
  using Function = Result (*)(Arguments...);

  // Relaxed, as an acquisition here would order what the program does not.
  Function Find() {
    Function found = found_.load(std::memory_order_relaxed);
    if (found == nullptr) {
      found = reinterpret_cast<Function>(dlsym(RTLD_NEXT, symbol_));
      if (found == nullptr) {
        std::fprintf(stderr, "bazel/tsan: no library has %s\n", symbol_);
        std::abort();
      }
      found_.store(found, std::memory_order_relaxed);
    }
    return found;
  }

  const char* const symbol_;
  std::atomic<Function> found_{nullptr};
};

}  // namespace nark::tsan

#endif  // NARK_BAZEL_TSAN_ORIGINAL_H_
