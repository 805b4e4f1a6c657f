#include <chrono>
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
  PoolChange change;
  std::chrono::microseconds challenges_after{std::chrono::minutes(10)};
  std::chrono::microseconds older_than{std::chrono::hours(24 * 7)};
  std::string out;
  std::string certificate;
};

void AddInit(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("init", "Founds a key-manager pool; prints the id of its key.")
      .Text("DIR", &flags->change.folder, "a new folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Examples("narkctl pool init pool --provider provider")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(Digest id, InitPool(flags->change.folder, flags->change.provider,
                                             SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRotate(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("rotate",
                  "Adds an HPKE and a challenge key to the pool, keeps the old ones, makes new "
                  "signing and TLS keys, and seals sessions to all HPKE keys; prints the id of "
                  "the new one.")
      .Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Texts("--reseal", &flags->change.reseal, "session file to rewrite; repeatable")
      .Duration("--challenges-after", &flags->challenges_after,
                "when replicas begin to make challenges with the new key: by then all of them "
                "must have it")
      .Examples("narkctl pool rotate pool --provider provider --reseal news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(Digest id, RotatePool(flags->change, flags->challenges_after,
                                               SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRetire(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("retire",
                  "Takes old HPKE and challenge keys away from the pool, and seals sessions to "
                  "the rest; prints how many keys went. Sessions that are sealed to none of the "
                  "rest get no more grants: name them all.")
      .Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Texts("--reseal", &flags->change.reseal, "session file to rewrite; repeatable")
      .Duration("--older-than", &flags->older_than, "the age of keys that go")
      .Examples("narkctl pool retire pool --provider provider --older-than 30d --reseal news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(const int retired,
                         RetireKeys(flags->change, flags->older_than, SystemClock().Now(), random));
        std::cout << retired << "\n";
        return absl::OkStatus();
      });
}

void AddReplica(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("replica",
                  "Makes a folder for one replica, with a signing and a TLS key of its own, or "
                  "brings the one that is there up to date with the pool; prints the folder.")
      .Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Text("--out", &flags->out, "a new folder, or that of a replica of this pool",
            Need::kRequired)
      .Examples("narkctl pool replica pool --provider provider --out pool-2")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(MakeReplica(flags->change.folder, flags->change.provider, flags->out,
                                    SystemClock().Now()));
        std::cout << flags->out << "\n";
        return absl::OkStatus();
      });
}

void AddRevoke(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  pool.Subcommand("revoke",
                  "Revokes the signing certificate of one replica: sessions say so, and secure "
                  "spaces take none of its grants; prints the id of its key. The pool remembers "
                  "it for every session that is made or sealed again later. Sessions that are "
                  "not named still trust it: name them all. Who has a replica's folder can also "
                  "open what was sealed to the pool: rotate, and retire the old keys.")
      .Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Text("--certificate", &flags->certificate,
            "the replica's signing.pem, of its folder or a copy of it", Need::kRequired)
      .Texts("--session", &flags->change.reseal, "session file to rewrite; repeatable")
      .Examples(
          "narkctl pool revoke pool --provider provider --certificate pool-2/signing.pem "
          "--session news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        ASSIGN_OR_RETURN(const Digest id, RevokeReplica(flags->change, flags->certificate,
                                                        SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

}  // namespace

void AddPoolCommands(cli::Command& program) {
  cli::Command& pool = program.Subcommand("pool", "Make the folders of key managers.");
  AddInit(pool);
  AddRotate(pool);
  AddRetire(pool);
  AddReplica(pool);
  AddRevoke(pool);
}

}  // namespace nark::narkctl
