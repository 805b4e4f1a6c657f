#ifndef NARK_TESTS_HARNESS_SWTPM_H_
#define NARK_TESTS_HARNESS_SWTPM_H_

#include <memory>
#include <string>

#include "tests/harness/process.h"

namespace nark::harness {

// A software TPM 2.0 of its own: its state in a new temporary folder, on a Unix
// socket in it. Throws where it does not start. One thread only.
class Swtpm {
 public:
  Swtpm();
  ~Swtpm();
  Swtpm(const Swtpm&) = delete;
  Swtpm& operator=(const Swtpm&) = delete;

  // For --tpm.
  std::string tcti() const;
  // SIGKILL; what it has answered stands. Start() begins from there, as a TPM does
  // after its power was cut.
  void Crash();
  void Start();

 private:
  std::string socket() const { return folder_ + "/s"; }
  std::string folder_;
  std::unique_ptr<Process> process_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_SWTPM_H_
