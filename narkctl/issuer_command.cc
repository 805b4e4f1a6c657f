#include <iostream>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/base/status.h"
#include "narkctl/commands.h"
#include "narkctl/issuer.h"

namespace nark::narkctl {
namespace {

using cli::Need;

struct Flags {
  std::string folder;
  std::string name = "Nark issuer";
  std::string request;
  std::string certificate;
  std::string out;
  std::string assurance = "emulated";
};

v1::AssuranceClass ClassOf(const std::string& name) {
  for (v1::AssuranceClass known : {v1::ASSURANCE_CLASS_TPM, v1::ASSURANCE_CLASS_CARD}) {
    if (AssuranceName(known) == name) return known;
  }
  return v1::ASSURANCE_CLASS_EMULATED;
}

void AddInit(cli::Command& issuer) {
  auto flags = std::make_shared<Flags>();
  issuer.Subcommand("init", "Founds an issuer: DIR/issuer.pem, its key, and DIR/crl.pem.")
      .Text("DIR", &flags->folder, "a new folder", Need::kRequired)
      .Text("--name", &flags->name, "name in the issuer's certificate")
      .Examples("narkctl issuer init issuer --name \"Card works\"")
      .Action([flags]() -> absl::Status {
        RETURN_IF_ERROR(InitIssuer(flags->folder, flags->name, SystemClock().Now()));
        std::cout << flags->folder << "/issuer.pem\n";
        return absl::OkStatus();
      });
}

void AddCertify(cli::Command& issuer) {
  auto flags = std::make_shared<Flags>();
  issuer.Subcommand("certify", "Certifies a secure space; prints its id.")
      .Text("DIR", &flags->folder, "the issuer's folder", Need::kRequired)
      .Text("--request", &flags->request, "the secure space's request.pem", Need::kRequired)
      .Text("--out", &flags->out, "where the certificate goes", Need::kRequired)
      .Choice("--class", &flags->assurance, {"emulated", "tpm", "card"},
              "how well it resists tampering, by your own examination")
      .Examples("narkctl issuer certify issuer --request card/request.pem --out card.pem")
      .Action([flags]() -> absl::Status {
        ASSIGN_OR_RETURN(Digest id, Certify(flags->folder,
                                            {flags->request, flags->out, ClassOf(flags->assurance)},
                                            SystemClock().Now()));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

void AddRevoke(cli::Command& issuer) {
  auto flags = std::make_shared<Flags>();
  issuer
      .Subcommand(
          "revoke",
          "Revokes all certificates of a secure space and signs DIR/crl.pem anew; prints the id. "
          "Without --certificate only renews the list; prints until when it holds.")
      .Text("DIR", &flags->folder, "the issuer's folder", Need::kRequired)
      .Text("--certificate", &flags->certificate, "one of its certificates")
      .Examples(
          "narkctl issuer revoke issuer --certificate card.pem\n"
          "narkctl issuer revoke issuer")
      .Action([flags]() -> absl::Status {
        if (flags->certificate.empty()) {
          ASSIGN_OR_RETURN(const Timestamp until,
                           RenewRevocations(flags->folder, SystemClock().Now()));
          std::cout << absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(until),
                                        absl::UTCTimeZone())
                    << "\n";
          return absl::OkStatus();
        }
        ASSIGN_OR_RETURN(Digest id, Revoke(flags->folder, flags->certificate, SystemClock().Now()));
        std::cout << ToHex(id) << "\n";
        return absl::OkStatus();
      });
}

}  // namespace

void AddIssuerCommands(cli::Command& program) {
  cli::Command& issuer = program.Subcommand("issuer", "Certify and revoke secure spaces.");
  AddInit(issuer);
  AddCertify(issuer);
  AddRevoke(issuer);
}

}  // namespace nark::narkctl
