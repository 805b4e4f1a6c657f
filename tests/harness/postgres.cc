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

// Short: a Unix socket's path lies in it.
std::string NewFolder() {
  char pattern[] = "/tmp/pgXXXXXX";
  if (mkdtemp(pattern) == nullptr) throw std::runtime_error("no folder for PostgreSQL");
  return pattern;
}

std::string Url(const std::string& folder) { return "postgresql://desk@/postgres?host=" + folder; }

void WaitUntilItServes(Process& process, const std::string& folder) {
  const bool serves = Eventually([&] {
    return !process.running() ||
           Execute({std::string(kPrograms) + "pg_isready", {"-q", "-h", folder}, "", {}}, folder)
                   .status == 0;
  });
  if (!serves || !process.running()) {
    throw std::runtime_error("PostgreSQL does not start: " + process.Kill().ToString());
  }
}

void End(Process* process, const std::string& folder) {
  if (process != nullptr) {
    process->Signal(SIGINT);
    process->Wait();
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

}  // namespace

Postgres::Postgres() : folder_(NewFolder()) {
  const Outcome made = Execute(
      AsNobodySpecial("initdb", {"-D", folder_ + "/data", "-A", "trust", "-U", "desk", "-N"}),
      folder_);
  if (made.status != 0) throw std::runtime_error("initdb: " + made.ToString());
  Start();
}

Postgres::~Postgres() { End(process_.get(), folder_); }

std::string Postgres::url() const { return Url(folder_); }

void Postgres::Start() {
  process_ = std::make_unique<Process>(
      AsNobodySpecial("postgres", {"-D", folder_ + "/data", "-k", folder_, "-c",
                                   "listen_addresses=", "-c", "max_connections=50"}),
      folder_);
  WaitUntilItServes(*process_, folder_);
}

void Postgres::Crash() {
  process_->Signal(SIGQUIT);
  process_->Wait();
  process_.reset();
}

// Only the mount lives in the namespaces of its own; the socket's folder is everybody's.
SmallDisk::SmallDisk() : folder_(NewFolder()) {
  std::filesystem::create_directory(folder_ + "/disk");
  const std::string script =
      "set -e\n"
      "mount -t tmpfs -o size=80m,mode=0700 tmpfs \"$1/disk\"\n"
      "exec unshare -U --map-user=1000 --map-group=1000 sh -c '\n"
      "\"$2/initdb\" -D \"$1/disk/data\" -A trust -U desk -N && "
      "exec \"$2/postgres\" -D \"$1/disk/data\" -k \"$1\" -c listen_addresses= "
      "-c max_connections=20 -c shared_buffers=4MB -c wal_recycle=off' sh \"$1\" \"$2\"\n";
  process_ = std::make_unique<Process>(
      CommandLine{
          "/usr/bin/unshare", {"-Urm", "sh", "-c", script, "sh", folder_, kPrograms}, "", {}},
      folder_);
  WaitUntilItServes(*process_, folder_);
}

SmallDisk::~SmallDisk() { End(process_.get(), folder_); }

std::string SmallDisk::url() const { return Url(folder_); }

std::string SmallDisk::filler() const {
  return "/proc/" + std::to_string(process_->pid()) + "/root" + folder_ + "/disk/filler";
}

void SmallDisk::Fill() {
  std::ofstream file(filler(), std::ios::binary);
  const std::string page(4096, 'x');
  while (file.write(page.data(), static_cast<std::streamsize>(page.size())).flush()) {
  }
  if (!std::filesystem::exists(filler())) throw std::runtime_error(filler() + " can not be made");
}

void SmallDisk::Empty() { std::filesystem::remove(filler()); }

}  // namespace nark::harness
