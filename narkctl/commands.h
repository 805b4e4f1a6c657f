#ifndef NARK_NARKCTL_COMMANDS_H_
#define NARK_NARKCTL_COMMANDS_H_

#include "common/cli/program.h"

// One function a command group: its flags, its help, and what it prints. The last
// word on stdout is what a script wants.
namespace nark::narkctl {

void AddIssuerCommands(cli::Command& program);
void AddProviderCommands(cli::Command& program);
void AddPoolCommands(cli::Command& program);
void AddSessionCommands(cli::Command& program);
void AddVoucherCommands(cli::Command& program);
void AddNoteCommands(cli::Command& program);
void AddTraceCommands(cli::Command& program);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_COMMANDS_H_
