#include "tests/harness/postgres.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace nark::harness {
namespace {

const char kPrograms[] = "/usr/lib/postgresql/15/bin/";

// PostgreSQL refuses to run as root, which a sandbox's one user may be.
CommandLine AsNobodySpecial(const std::string& program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kPrograms + program);
  if (geteuid() != 0) return {arguments[0], {arguments.begin() + 1, arguments.end()}, "", {}};
  arguments.insert(arguments.begin(), {"-U", "--map-user=1000", "--map-group=1000"});
  return {"/usr/bin/unshare", arguments, "", {}};
}

}  // namespace

Postgres::Postgres() {
  // Short: a Unix socket's path lies in it.
  char pattern[] = "/tmp/pgXXXXXX";
  if (mkdtemp(pattern) == nullptr) throw std::runtime_error("no folder for PostgreSQL");
  folder_ = pattern;
  const Outcome made = Execute(
      AsNobodySpecial("initdb", {"-D", folder_ + "/data", "-A", "trust", "-U", "desk", "-N"}),
      folder_);
  if (made.status != 0) throw std::runtime_error("initdb: " + made.ToString());
  Start();
}

Postgres::~Postgres() {
  if (process_) {
    process_->Signal(SIGINT);
    process_->Wait();
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string Postgres::url() const { return "postgresql://desk@/postgres?host=" + folder_; }

void Postgres::Start() {
  process_ = std::make_unique<Process>(
      AsNobodySpecial("postgres", {"-D", folder_ + "/data", "-k", folder_, "-c",
                                   "listen_addresses=", "-c", "max_connections=50"}),
      folder_);
  const bool serves = Eventually([&] {
    return !process_->running() ||
           Execute({std::string(kPrograms) + "pg_isready", {"-q", "-h", folder_}, "", {}}, folder_)
                   .status == 0;
  });
  if (!serves || !process_->running()) {
    throw std::runtime_error("PostgreSQL does not start: " + process_->Kill().ToString());
  }
}

void Postgres::Crash() {
  process_->Signal(SIGQUIT);
  process_->Wait();
  process_.reset();
}

}  // namespace nark::harness
