#ifndef NARK_NARKCTL_TRACE_REAL_FFT_H_
#define NARK_NARKCTL_TRACE_REAL_FFT_H_

#include <kissfft/kiss_fftr.h>

#include <complex>
#include <memory>
#include <vector>

namespace nark::trace {

// Fourier transforms of real sequences of one even length. One thread only.
class RealFft {
 public:
  explicit RealFft(size_t size);

  size_t size() const { return size_; }
  // `size` values to size / 2 + 1.
  void Forward(const std::vector<float>& in, std::vector<std::complex<float>>& out);
  // Back, `size` times as large.
  void Inverse(const std::vector<std::complex<float>>& in, std::vector<float>& out);

 private:
  struct Free {
    void operator()(kiss_fftr_cfg plan) const { kiss_fftr_free(plan); }
  };
  using Plan = std::unique_ptr<kiss_fftr_state, Free>;

  size_t size_;
  Plan forward_, inverse_;
};

}  // namespace nark::trace

#endif  // NARK_NARKCTL_TRACE_REAL_FFT_H_
