#include <iostream>

#include "common/cli/program.h"
#include "common/crypto/secret_bytes.h"
#include "narkctl/commands.h"

int main(int argc, char** argv) {
  if (absl::Status status = nark::DisableCoreDumps(); !status.ok()) {
    std::cerr << "narkctl: " << status.message() << std::endl;
    return 1;
  }
  nark::cli::Program program("narkctl",
                             "The desk of a provider and of an issuer of secure spaces.");
  nark::cli::Command& command = program.command();
  nark::narkctl::AddIssuerCommands(command);
  nark::narkctl::AddProviderCommands(command);
  nark::narkctl::AddPoolCommands(command);
  nark::narkctl::AddSessionCommands(command);
  nark::narkctl::AddVoucherCommands(command);
  nark::narkctl::AddNoteCommands(command);
  nark::narkctl::AddTraceCommands(command);
  command.Examples(
      "narkctl issuer init issuer\n"
      "narkctl provider init provider\n"
      "narkctl pool init pool --provider provider\n"
      "narkctl session create --provider provider --pool pool \\\n"
      "    --transport 'udp://239.255.10.1:5004?adapter=lo' --adu gop \\\n"
      "    --key-manager 127.0.0.1:7443 --out news.nark --sender-out news.sender\n"
      "narkctl issuer certify issuer --request card/request.pem --out card.pem\n"
      "narkctl voucher issue --provider provider --session news.nark \\\n"
      "    --secure-space ID --range 0-3599 --out alice.voucher");
  return program.Run(argc, argv);
}
