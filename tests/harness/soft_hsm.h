#ifndef NARK_TESTS_HARNESS_SOFT_HSM_H_
#define NARK_TESTS_HARNESS_SOFT_HSM_H_

#include <string>
#include <vector>

namespace nark::harness {

// SoftHSM 2, a token in software behind PKCS#11: its tokens in a new temporary folder, for
// this process and its children (SOFTHSM2_CONF) as long as this lives. Throws where it can
// not be set up. One at a time; one thread only.
class SoftHsm {
 public:
  // With one token for each label.
  explicit SoftHsm(const std::vector<std::string>& labels);
  ~SoftHsm();
  SoftHsm(const SoftHsm&) = delete;
  SoftHsm& operator=(const SoftHsm&) = delete;

  static std::string module() { return "/usr/lib/softhsm/libsofthsm2.so"; }
  // The same for all tokens; found nowhere but in its file.
  const std::string& pin() const { return pin_; }
  std::string pin_file() const { return folder_ + "/pin"; }
  const std::string& folder() const { return folder_; }

  // Takes all tokens away, as a cable that is pulled, and puts them back.
  void Remove();
  void PutBack();

  // What to put on a command line.
  std::vector<std::string> flags() const {
    return {"--pkcs11-module", module(), "--pkcs11-pin-file", pin_file()};
  }

 private:
  std::string folder_;
  std::string pin_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_SOFT_HSM_H_
