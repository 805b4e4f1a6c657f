#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "narkctl/commands.h"
#include "narkctl/folder.h"
#include "narkctl/provider.h"

namespace nark::narkctl {
namespace {

using cli::Need;

struct Flags {
  std::string folder;
  std::string name = "Nark provider";
  std::vector<std::string> secure_spaces;
  std::string out;
};

absl::Status RunDeny(const Flags& flags) {
  std::vector<Digest> ids;
  for (const std::string& text : flags.secure_spaces) {
    absl::StatusOr<Digest> id = ParseSecureSpaceId(text);
    if (!id.ok()) return Annotate(id.status(), "--secure-space");
    ids.push_back(*id);
  }
  const std::string out = flags.out.empty() ? DenyListOf(flags.folder) : flags.out;
  ASSIGN_OR_RETURN(size_t denied, Deny(flags.folder, ids, out, SystemClock().Now()));
  std::cout << denied << " denied, in " << out << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddProviderCommands(cli::Command& program) {
  cli::Command& provider = program.Subcommand("provider", "Found a provider; deny secure spaces.");
  auto init = std::make_shared<Flags>();
  provider
      .Subcommand("init",
                  "Founds a provider; prints its id. DIR/root may go offline, the other "
                  "commands never read it.")
      .Text("DIR", &init->folder, "a new folder", Need::kRequired)
      .Text("--name", &init->name, "name in the provider's certificates")
      .Examples("narkctl provider init provider --name \"News at Ten\"")
      .Action([init]() -> absl::Status {
        ASSIGN_OR_RETURN(Digest id, InitProvider(init->folder, init->name, SystemClock().Now()));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
  auto deny = std::make_shared<Flags>();
  provider
      .Subcommand("deny",
                  "Adds secure spaces to the signed deny list, which holds for 30 days; without "
                  "--secure-space only renews it. Prints the file.")
      .Text("DIR", &deny->folder, "the provider's folder", Need::kRequired)
      .Texts("--secure-space", &deny->secure_spaces, "id of a secure space; repeatable")
      .Text("--out", &deny->out,
            "the list, DIR/deny.nark unless given; who is denied in either stays so")
      .Examples("narkctl provider deny provider --secure-space ID --out deny.nark")
      .Action([deny] { return RunDeny(*deny); });
}

}  // namespace nark::narkctl
