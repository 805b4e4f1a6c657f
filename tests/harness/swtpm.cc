#include "tests/harness/swtpm.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

namespace nark::harness {
namespace {

bool Listens(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return connected;
}

}  // namespace

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
  // Made in whichever order, and there a moment before anybody listens.
  const bool serves =
      Eventually([&] { return !process_->running() || (Listens(socket()) && Listens(control)); });
  if (!serves || !process_->running()) {
    throw std::runtime_error("swtpm does not start: " + process_->Kill().ToString());
  }
}

void Swtpm::Crash() {
  process_->Kill();
  process_.reset();
}

}  // namespace nark::harness
