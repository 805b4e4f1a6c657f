#include "tests/harness/swtpm.h"

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>

namespace nark::harness {

Swtpm::Swtpm() {
  // Short: a Unix socket's path lies in it.
  char pattern[] = "/tmp/tpmXXXXXX";
  if (mkdtemp(pattern) == nullptr) throw std::runtime_error("no folder for swtpm");
  folder_ = pattern;
  Start();
}

Swtpm::~Swtpm() {
  process_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string Swtpm::tcti() const { return "swtpm:path=" + socket(); }

void Swtpm::Start() {
  const std::string control = socket() + ".ctrl";
  std::filesystem::remove(socket());
  std::filesystem::remove(control);
  process_ = std::make_unique<Process>(
      CommandLine{"/usr/bin/swtpm",
                  {"socket", "--tpm2", "--tpmstate", "dir=" + folder_, "--server",
                   "type=unixio,path=" + socket(), "--ctrl", "type=unixio,path=" + control,
                   "--flags", "not-need-init,startup-clear"},
                  "",
                  {}},
      folder_);
  // Made in whichever order, both before it answers.
  const bool serves = Eventually([&] {
    return !process_->running() ||
           (std::filesystem::exists(socket()) && std::filesystem::exists(control));
  });
  if (!serves || !process_->running()) {
    throw std::runtime_error("swtpm does not start: " + process_->Kill().ToString());
  }
}

void Swtpm::Crash() {
  process_->Kill();
  process_.reset();
}

}  // namespace nark::harness
