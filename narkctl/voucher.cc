#include "narkctl/voucher.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/cli/units.h"
#include "common/object/envelope.h"
#include "common/object/file.h"
#include "common/object/money.h"
#include "narkctl/folder.h"
#include "narkctl/issued_list.h"
#include "narkctl/provider.h"
#include "narkctl/session.h"

namespace nark::narkctl {
namespace {

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status ParseGroups(const VoucherFlags& flags, VoucherOptions& options) {
  for (const std::string& group : flags.groups) {
    Bytes id = FromHex(group);
    if (id.size() < 16 || id.size() > 32) {
      return Bad(absl::StrCat("--group is 32 to 64 hexadecimal digits, not '", group, "'"));
    }
    options.group_ids.push_back(std::move(id));
  }
  return absl::OkStatus();
}

absl::Status ParsePrice(const VoucherFlags& flags, const v1::Terms& terms,
                        VoucherOptions& options) {
  if (flags.price.empty()) {
    return flags.currency.empty() ? absl::OkStatus() : Bad("--currency goes with --price");
  }
  const std::string currency =
      flags.currency.empty() ? terms.price_per_adu().currency() : flags.currency;
  if (currency.empty()) {
    return Bad("--price needs --currency: the session publishes no price");
  }
  absl::StatusOr<v1::Money> price = ParseMoney(flags.price, currency);
  if (!price.ok()) return Annotate(price.status(), "--price");
  options.price = *std::move(price);
  return absl::OkStatus();
}

absl::Status ParsePolicy(const VoucherFlags& flags, Timestamp now, v1::Policy& policy) {
  absl::StatusOr<cli::NumberRange> range = cli::ParseRange(flags.range);
  if (!range.ok()) return Annotate(range.status(), "--range");
  policy.mutable_range()->set_first(range->first);
  policy.mutable_range()->set_last(range->last);
  if (flags.count.has_value()) {
    if (*flags.count == 0) return Bad("--count is at least 1");
    policy.set_count(*flags.count);
  }
  for (const std::string& sender : flags.senders) {
    absl::StatusOr<uint64_t> id = cli::ParseNumber(sender);
    if (!id.ok() || *id == 0 || *id > std::numeric_limits<uint32_t>::max()) {
      return Bad(absl::StrCat("--sender is the id of a sender, not '", sender, "'"));
    }
    policy.add_sender_ids(static_cast<uint32_t>(*id));
  }
  for (const std::string& sub_session : flags.sub_sessions) {
    absl::StatusOr<uint64_t> id = cli::ParseNumber(sub_session);
    if (!id.ok() || *id > std::numeric_limits<uint32_t>::max()) {
      return Bad(absl::StrCat("--sub-session is the id of a sub-session, not '", sub_session, "'"));
    }
    policy.add_sub_sessions(static_cast<uint32_t>(*id));
  }
  if (flags.expires.count() < 0 || flags.lease.count() < 0) {
    return Bad("--expires and --lease are not negative");
  }
  if (flags.expires.count() > 0) policy.set_expires_us(ToMicros(now + flags.expires));
  policy.set_lease_ms(static_cast<uint64_t>(flags.lease.count()) / 1000);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<VoucherOptions> ParseVoucherFlags(const VoucherFlags& flags,
                                                 const VerifiedSession& session, Timestamp now) {
  VoucherOptions options;
  absl::StatusOr<Digest> id = ParseSecureSpaceId(flags.secure_space);
  if (!id.ok()) return Annotate(id.status(), "--secure-space");
  options.secure_space_id = *id;
  RETURN_IF_ERROR(ParsePolicy(flags, now, options.policy));
  RETURN_IF_ERROR(CheckPolicy(options.policy, session.terms()));
  RETURN_IF_ERROR(ParseGroups(flags, options));
  RETURN_IF_ERROR(ParsePrice(flags, session.terms(), options));
  options.payer_reference = flags.payer;
  return options;
}

absl::StatusOr<v1::Voucher> IssueVoucher(const VoucherFlags& flags, Timestamp now, Random& random) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(flags.provider));
  ASSIGN_OR_RETURN(SigningIdentity till,
                   ReadRole(flags.provider, CertificateRole::kTill, root, now));
  ASSIGN_OR_RETURN(VerifiedSession session, ReadSession(flags.session, now));
  if (session.name().provider != root.public_key().id()) {
    return Bad(
        absl::StrCat(flags.session, " is a session of another provider than ", flags.provider));
  }
  ASSIGN_OR_RETURN(VoucherOptions options, ParseVoucherFlags(flags, session, now));
  ASSIGN_OR_RETURN(v1::SignedEnvelope envelope, MakeVoucher(options, session, till, now, random));
  ASSIGN_OR_RETURN(v1::Voucher voucher, PayloadOf<v1::Voucher>(envelope, "the voucher"));
  if (session.terms().has_audit()) {
    RETURN_IF_ERROR(AppendIssued(flags.provider, session, voucher));
  }
  RETURN_IF_ERROR(WriteNarkFile(flags.out, VoucherFile(std::move(envelope)), FileMode::kPublic));
  return voucher;
}

}  // namespace nark::narkctl
