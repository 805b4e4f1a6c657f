#include "narkctl/audit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/audit/code_length.h"
#include "common/audit/family.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/cli/units.h"
#include "common/crypto/chameleon.h"
#include "narkctl/audit_secrets.h"
#include "narkctl/folder.h"

namespace nark::narkctl {
namespace {

constexpr uint32_t kUsualColluders = 8;
constexpr uint64_t kUsualOneIn = 1'000'000;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<uint32_t> ParseBlock(const std::string& text) {
  if (text.empty()) return ChameleonBlock::kMaxWordsLog2;
  const absl::StatusOr<uint64_t> bytes = cli::ParseBytes(text);
  const uint64_t least = uint64_t{8} << ChameleonBlock::kMinWordsLog2;
  const uint64_t most = uint64_t{8} << ChameleonBlock::kMaxWordsLog2;
  if (!bytes.ok() || !std::has_single_bit(*bytes) || *bytes < least || *bytes > most) {
    return Bad(
        absl::StrCat("--audit-block is a power of two from 8KiB to 512KiB, not '", text, "'"));
  }
  return static_cast<uint32_t>(std::countr_zero(*bytes) - 3);
}

absl::StatusOr<uint64_t> ParseFalseAccusation(const std::string& text) {
  if (text.empty()) return kUsualOneIn;
  double probability = 0;
  if (!absl::SimpleAtod(text, &probability) || !(probability >= 1e-12) || probability > 0.01) {
    return Bad(
        absl::StrCat("--false-accusation is a probability from 1e-12 to 0.01, not '", text, "'"));
  }
  // Rounded to the innocent's side.
  return static_cast<uint64_t>(std::ceil(1 / probability - 1e-6));
}

absl::StatusOr<uint32_t> ChooseColluders(const std::optional<uint64_t>& asked,
                                         uint32_t words_log2) {
  const uint32_t most = audit::ColludersFor(uint64_t{1} << words_log2);
  if (!asked.has_value()) return std::min(kUsualColluders, most);
  if (*asked >= 1 && *asked <= most) return static_cast<uint32_t>(*asked);
  return Bad(absl::StrCat(
      "blocks of ", 8u << words_log2 >> 10, " KiB suffice for --colluders ",
      most > 1 ? "1 to " : "", most, ", not ", *asked,
      words_log2 < ChameleonBlock::kMaxWordsLog2 ? "; a larger --audit-block finds more" : ""));
}

absl::StatusOr<audit::Family> MakeFamily(uint32_t words_log2, Random& random) {
  SecretBytes secret(audit::kAuditSecretBytes);
  RETURN_IF_ERROR(random.Fill(secret.RevealMutable()));
  return audit::Family::Of(std::move(secret), words_log2);
}

absl::StatusOr<audit::Family> ChooseFamily(const std::string& flag, const std::string& provider,
                                           uint32_t words_log2, Random& random) {
  if (flag == "new") return MakeFamily(words_log2, random);
  if (!flag.empty()) {
    const absl::StatusOr<Digest> id = ParseDigest(flag);
    if (!id.ok()) {
      return Bad(
          absl::StrCat("--audit-family is 'new' or 64 hexadecimal digits, not '", flag, "'"));
    }
    absl::StatusOr<audit::Family> family = ReadAuditSecret(provider, *id, words_log2);
    return family.ok() ? std::move(family) : Annotate(family.status(), "--audit-family");
  }
  ASSIGN_OR_RETURN(const std::vector<Digest> kept, ListAuditSecrets(provider, words_log2));
  if (kept.empty()) return MakeFamily(words_log2, random);
  if (kept.size() == 1) return ReadAuditSecret(provider, kept.front(), words_log2);
  return Bad(absl::StrCat(provider, "/audit keeps ", kept.size(),
                          " families of marked blocks of this size; name one with "
                          "--audit-family, or say --audit-family new: ",
                          absl::StrJoin(kept, ", ", [](std::string* text, const Digest& id) {
                            text->append(ToHex(id));
                          })));
}

}  // namespace

absl::StatusOr<AuditOptions> ChooseAudit(const AuditFlags& flags, const std::string& provider,
                                         Random& random) {
  ASSIGN_OR_RETURN(const uint32_t words_log2, ParseBlock(flags.block));
  AuditOptions options;
  ASSIGN_OR_RETURN(options.colluders, ChooseColluders(flags.colluders, words_log2));
  ASSIGN_OR_RETURN(options.false_accusation_one_in, ParseFalseAccusation(flags.false_accusation));
  ASSIGN_OR_RETURN(audit::Family family, ChooseFamily(flags.family, provider, words_log2, random));
  options.family = std::make_shared<const audit::Family>(std::move(family));
  return options;
}

absl::Status KeepFamily(const AuditOptions& options, const std::string& provider) {
  const absl::Status kept = WriteAuditSecret(provider, *options.family);
  return absl::IsAlreadyExists(kept) ? absl::OkStatus() : kept;
}

std::string DescribeAudit(const v1::AuditTrail& trail) {
  const uint64_t symbols = uint64_t{1} << trail.block_words_log2();
  return absl::StrCat(
      "codewords of ", symbols, " symbols in blocks of ", symbols * 8 >> 10, " KiB find ",
      trail.colluders() == 1 ? "a single leaker"
                             : absl::StrCat("up to ", trail.colluders(), " colluders"),
      " of a million receivers (", audit::SymbolsFor(trail.colluders()),
      " symbols are needed); a trace accuses ", "an innocent at most once in ",
      trail.false_accusation_one_in());
}

}  // namespace nark::narkctl
