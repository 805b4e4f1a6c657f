#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "narkctl/commands.h"
#include "narkctl/pool.h"

namespace nark::narkctl {
namespace {

using cli::Need;

struct Flags {
  std::string folder;
  std::string provider;
  std::vector<std::string> reseal;
  std::string out;
};

void AddInit(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("init", "Founds a key-manager pool; prints the id of its key.")
      .Text("DIR", &flags->folder, "a new folder", Need::kRequired)
      .Text("--provider", &flags->provider, "the provider's folder", Need::kRequired)
      .Examples("narkctl pool init pool --provider provider")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(Digest id,
                         InitPool(flags->folder, flags->provider, SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRotate(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("rotate",
                  "Adds a key to the pool, keeps the old ones, and seals sessions to all of "
                  "them; prints the id of the new key.")
      .Text("DIR", &flags->folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->provider, "the provider's folder", Need::kRequired)
      .Texts("--reseal", &flags->reseal, "session file to rewrite; repeatable")
      .Examples("narkctl pool rotate pool --provider provider --reseal news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(Digest id, RotatePool(flags->folder, flags->provider, flags->reseal,
                                               SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddReplica(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("replica",
                  "Makes a folder for one replica, with a signing and a TLS key of its own; "
                  "prints the folder.")
      .Text("DIR", &flags->folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->provider, "the provider's folder", Need::kRequired)
      .Text("--out", &flags->out, "a new folder", Need::kRequired)
      .Examples("narkctl pool replica pool --provider provider --out pool-2")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(
            MakeReplica(flags->folder, flags->provider, flags->out, SystemClock().Now()));
        std::cout << flags->out << "\n";
        return absl::OkStatus();
      });
}

}  // namespace

void AddPoolCommands(cli::Command& program) {
  cli::Command& pool = program.Subcommand("pool", "Make the folders of key managers.");
  AddInit(pool);
  AddRotate(pool);
  AddReplica(pool);
}

}  // namespace nark::narkctl
