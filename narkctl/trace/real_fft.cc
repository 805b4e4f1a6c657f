#include "narkctl/trace/real_fft.h"

namespace nark::trace {

RealFft::RealFft(size_t size)
    : size_(size),
      forward_(kiss_fftr_alloc(static_cast<int>(size), 0, nullptr, nullptr)),
      inverse_(kiss_fftr_alloc(static_cast<int>(size), 1, nullptr, nullptr)) {}

// A complex number is its two parts, one after the other, in both types.
void RealFft::Forward(const std::vector<float>& in, std::vector<std::complex<float>>& out) {
  out.resize(size_ / 2 + 1);
  kiss_fftr(forward_.get(), in.data(), reinterpret_cast<kiss_fft_cpx*>(out.data()));
}

void RealFft::Inverse(const std::vector<std::complex<float>>& in, std::vector<float>& out) {
  out.resize(size_);
  kiss_fftri(inverse_.get(), reinterpret_cast<const kiss_fft_cpx*>(in.data()), out.data());
}

}  // namespace nark::trace
