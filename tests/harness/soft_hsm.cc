#include "tests/harness/soft_hsm.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <stdexcept>

#include "tests/harness/process.h"

// SoftHSM 2.6.1 forgets two strings of OpenSSL's for each key that it agrees on. Its frames
// are found by the slow way through the stack only. (Called by the sanitizers' run time.)
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libsofthsm2.so\n"; }
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "fast_unwind_on_malloc=0"; }
// NOLINTEND(bugprone-reserved-identifier)

namespace nark::harness {

SoftHsm::SoftHsm(const std::vector<std::string>& labels) {
  char pattern[] = "/tmp/softhsmXXXXXX";
  if (mkdtemp(pattern) == nullptr) throw std::runtime_error("no folder for SoftHSM");
  folder_ = pattern;
  std::random_device random;
  pin_ = "pin-" + std::to_string(random()) + std::to_string(random());
  WriteAll(pin_file(), pin_ + "\n");
  std::filesystem::permissions(
      pin_file(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_directory(folder_ + "/tokens");
  WriteAll(folder_ + "/conf", "directories.tokendir = " + folder_ +
                                  "/tokens\nobjectstore.backend = file\nlog.level = ERROR\n");
  setenv("SOFTHSM2_CONF", (folder_ + "/conf").c_str(), 1);
  for (const std::string& label : labels) {
    const Outcome made = Execute({"/usr/bin/softhsm2-util",
                                  {"--init-token", "--free", "--label", label, "--pin", pin_,
                                   "--so-pin", "security officer"},
                                  "",
                                  {}},
                                 folder_);
    if (made.status != 0) throw std::runtime_error("softhsm2-util: " + made.ToString());
  }
}

SoftHsm::~SoftHsm() {
  unsetenv("SOFTHSM2_CONF");
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SoftHsm::Remove() { std::filesystem::rename(folder_ + "/tokens", folder_ + "/away"); }

void SoftHsm::PutBack() { std::filesystem::rename(folder_ + "/away", folder_ + "/tokens"); }

}  // namespace nark::harness
