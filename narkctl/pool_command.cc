#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "narkctl/commands.h"
#include "narkctl/pool.h"
#include "narkctl/token_flags.h"

namespace nark::narkctl {
namespace {

using cli::Need;

struct Flags {
  PoolChange change;
  std::chrono::microseconds challenges_after{std::chrono::minutes(10)};
  std::chrono::microseconds older_than{std::chrono::hours(24 * 7)};
  std::string out;
  std::string certificate;
  std::vector<std::string> folders;
  TokenFlags token;

  std::unique_ptr<pkcs11::TokenKeys> keys;

  // Lets `change` refer to the token's keys.
  absl::Status OpenToken() {
    ASSIGN_OR_RETURN(keys, narkctl::OpenToken(token, pkcs11::Access::kWrite));
    change.token = {.keys = keys.get(), .label = token.label};
    return absl::OkStatus();
  }
};

void AddInit(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& init =
      pool.Subcommand("init",
                      "Founds a key-manager pool, its keys (but for TLS) in a token where one is "
                      "named; prints the id of its key.");
  DeclareNewToken(flags->token, init);
  init.Text("DIR", &flags->change.folder, "a new folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Examples(
          "narkctl pool init pool --provider provider\n"
          "narkctl pool init pool --provider provider --pkcs11-token pool \\\n"
          "    --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-pin-file pin")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(Digest id, InitPool(flags->change.folder, flags->change.provider,
                                             SystemClock().Now(), random, flags->change.token));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRotate(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& rotate =
      pool.Subcommand("rotate",
                      "Adds an HPKE and a challenge key to the pool, keeps the old ones, makes new "
                      "signing and TLS keys, and seals sessions to all HPKE keys; prints the id of "
                      "the new one.");
  DeclareNewToken(flags->token, rotate);
  rotate.Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Texts("--reseal", &flags->change.reseal, "session file to rewrite; repeatable")
      .Duration("--challenges-after", &flags->challenges_after,
                "when replicas begin to make challenges with the new key: by then all of them "
                "must have it")
      .Examples("narkctl pool rotate pool --provider provider --reseal news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(Digest id, RotatePool(flags->change, flags->challenges_after,
                                               SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRetire(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& retire = pool.Subcommand(
      "retire",
      "Takes old HPKE and challenge keys away from the pool, and seals sessions to "
      "the rest; prints how many keys went. Sessions that are sealed to none of the "
      "rest get no more grants: name them all. Keys in a token stay there until 'pool sweep'.");
  DeclareToken(flags->token, retire);
  retire.Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Texts("--reseal", &flags->change.reseal, "session file to rewrite; repeatable")
      .Duration("--older-than", &flags->older_than, "the age of keys that go")
      .Examples("narkctl pool retire pool --provider provider --older-than 30d --reseal news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(const int retired,
                         RetireKeys(flags->change, flags->older_than, SystemClock().Now(), random));
        std::cout << retired << "\n";
        return absl::OkStatus();
      });
}

void AddReplica(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& replica =
      pool.Subcommand("replica",
                      "Makes a folder for one replica, with a signing and a TLS key of its own, or "
                      "brings the one that is there up to date with the pool; prints the folder.");
  DeclareNewToken(flags->token, replica);
  replica.Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Text("--out", &flags->out, "a new folder, or that of a replica of this pool",
            Need::kRequired)
      .Examples("narkctl pool replica pool --provider provider --out pool-2")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(flags->OpenToken());
        RETURN_IF_ERROR(MakeReplica(flags->change.folder, flags->change.provider, flags->out,
                                    SystemClock().Now(), flags->change.token));
        std::cout << flags->out << "\n";
        return absl::OkStatus();
      });
}

void AddRevoke(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& revoke = pool.Subcommand(
      "revoke",
      "Revokes the signing certificate of one replica: sessions say so, and secure "
      "spaces take none of its grants; prints the id of its key. The pool remembers "
      "it for every session that is made or sealed again later. Sessions that are "
      "not named still trust it: name them all. Who has a replica's folder can also "
      "open what was sealed to the pool: rotate, and retire the old keys.");
  DeclareToken(flags->token, revoke);
  revoke.Text("DIR", &flags->change.folder, "the pool's folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Text("--certificate", &flags->certificate,
            "the replica's folder, or a copy of its signing-*.pem", Need::kRequired)
      .Texts("--session", &flags->change.reseal, "session file to rewrite; repeatable")
      .Examples(
          "narkctl pool revoke pool --provider provider --certificate pool-2 "
          "--session news.nark")
      .Action([flags]() -> absl::Status {
        SystemRandom random;
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(const Digest id, RevokeReplica(flags->change, flags->certificate,
                                                        SystemClock().Now(), random));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddImport(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& from_files = pool.Subcommand(
      "import",
      "Brings the keys in a pool's or a replica's files, but for the TLS key, into a token and "
      "removes the files; prints how many keys went.");
  DeclareThisToken(flags->token, from_files);
  from_files.Text("DIR", &flags->change.folder, "the folder", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Examples(
          "narkctl pool import pool --provider provider --pkcs11-token pool \\\n"
          "    --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-pin-file pin")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(const int imported, ImportPool(flags->change, SystemClock().Now()));
        std::cout << imported << "\n";
        return absl::OkStatus();
      });
}

void AddSweep(cli::Command& pool) {
  auto flags = std::make_shared<Flags>();
  cli::Command& sweep = pool.Subcommand(
      "sweep",
      "Destroys the provider's keys in a token that no folder names any more, for good; prints "
      "how many. Name the folder of every pool and replica that uses the token.");
  DeclareThisToken(flags->token, sweep);
  sweep.Texts("--folder", &flags->folders, "of a pool or a replica; repeatable", Need::kRequired)
      .Text("--provider", &flags->change.provider, "the provider's folder", Need::kRequired)
      .Examples(
          "narkctl pool sweep --folder pool --folder pool-2 --provider provider \\\n"
          "    --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-pin-file pin \\\n"
          "    --pkcs11-token pool")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(flags->OpenToken());
        ASSIGN_OR_RETURN(const int destroyed, SweepToken(flags->folders, flags->change.provider,
                                                         SystemClock().Now(), flags->change.token));
        std::cout << destroyed << "\n";
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
  AddImport(pool);
  AddSweep(pool);
}

}  // namespace nark::narkctl
