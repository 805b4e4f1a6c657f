#include "narkctl/show.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/cli/units.h"
#include "common/crypto/pem.h"
#include "common/object/envelope.h"
#include "common/object/money.h"
#include "narkctl/audit.h"

namespace nark::narkctl {
namespace {

using Json = nlohmann::ordered_json;

Json MoneyJson(const v1::Money& money) {
  return {{"amount_minor", money.amount_minor()}, {"currency", money.currency()}};
}

std::string Hex(const std::string& bytes) { return ToHex(AsBytes(bytes)); }

std::string Milliseconds(uint64_t ms) {
  return cli::FormatDuration(std::chrono::milliseconds(static_cast<int64_t>(ms)));
}

Json TimingJson(const v1::AduTiming& timing) {
  if (timing.has_gop()) return {{"gop", true}};
  if (timing.has_duration_ms()) return {{"duration_ms", timing.duration_ms()}};
  return {{"bytes", timing.bytes()}};
}

std::string TimingText(const v1::AduTiming& timing) {
  if (timing.has_gop()) return "a GOP";
  if (timing.has_duration_ms()) return Milliseconds(timing.duration_ms());
  return absl::StrCat(timing.bytes(), " bytes");
}

std::string Receipts(const v1::Terms& terms) {
  return EnumWord(v1::ReceiptType_Name(terms.receipt_type()), "RECEIPT_TYPE_");
}
std::string Release(const v1::Terms& terms) {
  return EnumWord(v1::ReleaseMode_Name(terms.release_mode()), "RELEASE_MODE_");
}
std::string TimelinessOf(const v1::Terms& terms) {
  return EnumWord(v1::Timeliness_Name(terms.timeliness()), "TIMELINESS_");
}

// The file decides what a terminal is told, so control characters are shown, not
// obeyed.
std::string Printable(const std::string& text) {
  std::string safe;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    safe += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return safe;
}

Json AuditJson(const v1::AuditTrail& audit) {
  return {{"block_id", ToHex(AsBytes(audit.block_id()))},
          {"block_bytes", uint64_t{8} << audit.block_words_log2()},
          {"symbols", uint64_t{1} << audit.block_words_log2()},
          {"colluders", audit.colluders()},
          {"false_accusation_one_in", audit.false_accusation_one_in()}};
}

// What the terms say: each session's for good.
void AddTerms(const v1::Terms& terms, Json& json) {
  json["cipher"] = terms.cipher();
  json["generator"] = {{"id", terms.generator().id()}, {"depth", terms.generator().depth()}};
  json["adu"] = TimingJson(terms.adu_timing());
  json["receipts"] = Receipts(terms);
  json["release"] = Release(terms);
  json["timeliness"] = TimelinessOf(terms);
  json["deadline_ms"] = terms.deadline_ms();
  json["control_block_bytes"] = terms.control_block_bytes();
  if (terms.has_audit()) json["audit"] = AuditJson(terms.audit());
  json["price_per_adu"] =
      terms.has_price_per_adu() ? MoneyJson(terms.price_per_adu()) : Json(nullptr);
  json["refund"] = {{"tolerance_per_mille", terms.refund().tolerance_per_mille()},
                    {"cap_percent", terms.refund().cap_percent()},
                    {"emulated_cap_percent", terms.refund().emulated_cap_percent()},
                    {"refund_unspent_counts", terms.refund().refund_unspent_counts()},
                    {"minimum_minor", terms.refund().minimum_minor()}};
  json["senders"] = Json::array();
  for (const v1::PermittedSender& sender : terms.senders()) {
    json["senders"].push_back({{"id", sender.sender_id()}, {"may_control", sender.may_control()}});
  }
  json["open_to_senders"] = terms.open_to_senders();
}

// What the descriptor says: how to receive it, and from whom to have grants.
void AddDescriptor(const v1::SessionDescriptor& descriptor, Json& json) {
  json["transports"] = Json::array();
  for (const v1::Transport& transport : descriptor.transports()) {
    json["transports"].push_back(
        {{"sub_session", transport.sub_session()}, {"uri", transport.uri()}});
  }
  json["key_managers"] = descriptor.key_managers();
  json["refund_desks"] = descriptor.refund_desks();
  json["tls_ca_pem"] = EncodePem("CERTIFICATE", AsBytes(descriptor.tls_ca_certificate()));
  json["pool_keys"] = Json::array();
  for (const v1::PoolKey& key : descriptor.pool_keys()) {
    json["pool_keys"].push_back(Hex(key.key_id()));
  }
  json["revoked_key_managers"] = Json::array();
  for (const std::string& id : descriptor.revoked_key_managers()) {
    json["revoked_key_managers"].push_back(Hex(id));
  }
  json["issue_time"] = FormatTime(descriptor.issue_time_us());
}

Json SessionJson(const VerifiedSession& session) {
  const v1::Terms& terms = session.terms();
  Json json = {{"provider", ToHex(session.name().provider)},
               {"provider_name", session.root().subject()},
               {"session_id", ToHex(session.name().session_id)},
               {"title", terms.title()},
               {"terms_identity", ToHex(session.terms_identity())}};
  AddTerms(terms, json);
  json["certified_senders"] = session.sender_ids();
  json["sub_sessions"] = Json::array();
  for (const v1::SubSession& sub : terms.sub_sessions()) {
    json["sub_sessions"].push_back(
        {{"id", sub.id()}, {"title", sub.title()}, {"demands_digest", sub.demands_digest()}});
  }
  AddDescriptor(session.descriptor(), json);
  return json;
}

std::string Senders(const v1::Terms& terms) {
  std::vector<std::string> senders;
  for (const v1::PermittedSender& sender : terms.senders()) {
    senders.push_back(
        absl::StrCat(sender.sender_id(), sender.may_control() ? " (may control)" : ""));
  }
  return absl::StrJoin(senders, ", ");
}

void AddDescriptorLines(const v1::SessionDescriptor& descriptor,
                        std::vector<std::pair<std::string, std::string>>& lines) {
  for (const v1::Transport& transport : descriptor.transports()) {
    lines.emplace_back(transport.sub_session() == 0
                           ? "Transport"
                           : absl::StrCat("Transport ", transport.sub_session()),
                       transport.uri());
  }
  for (const std::string& endpoint : descriptor.key_managers()) {
    lines.emplace_back("Key manager", endpoint);
  }
  for (const std::string& endpoint : descriptor.refund_desks()) {
    lines.emplace_back("Refunds", endpoint);
  }
  for (const v1::PoolKey& key : descriptor.pool_keys()) {
    lines.emplace_back("Pool key", Hex(key.key_id()));
  }
  for (const std::string& id : descriptor.revoked_key_managers()) {
    lines.emplace_back("Revoked key manager", Hex(id));
  }
}

}  // namespace

std::string Shown::ToJson() const {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Shown::ToText() const {
  size_t width = 0;
  for (const auto& [label, text] : lines) width = std::max(width, label.size());
  std::string all;
  for (const auto& [label, text] : lines) {
    absl::StrAppend(&all, label, std::string(width + 2 - label.size(), ' '), Printable(text), "\n");
  }
  return all;
}

Shown ShowSession(const VerifiedSession& session) {
  const v1::Terms& terms = session.terms();
  const v1::SessionDescriptor& descriptor = session.descriptor();
  Shown shown{.json = SessionJson(session), .lines = {}};
  shown.lines = {
      {"Session", ToHex(session.name().session_id)},
      {"Title", terms.title()},
      {"Provider", absl::StrCat(session.root().subject(), " ", ToHex(session.name().provider))},
      {"Terms", ToHex(session.terms_identity())},
      {"Cipher", terms.cipher()},
      {"Generator", absl::StrCat(terms.generator().id(), ", depth ", terms.generator().depth())},
      {"ADU", TimingText(terms.adu_timing())},
      {"Receipts", Receipts(terms)},
      {"Release", Release(terms)},
      {"Timeliness", terms.timeliness() == v1::TIMELINESS_LIVE
                         ? absl::StrCat("live, deadline ", Milliseconds(terms.deadline_ms()))
                         : TimelinessOf(terms)},
      {"Price", terms.has_price_per_adu() ? FormatMoney(terms.price_per_adu()) + " per ADU" : "-"},
      {"Refund cap", absl::StrCat(terms.refund().cap_percent(), "%")},
      {"Senders", Senders(terms)},
      {"Certified", absl::StrCat(absl::StrJoin(session.sender_ids(), ", "),
                                 terms.open_to_senders() ? " (others may follow)" : "")}};
  if (terms.has_audit()) {
    shown.lines.emplace_back("Audit trail", DescribeAudit(terms.audit()));
    shown.lines.emplace_back("Block id", ToHex(AsBytes(terms.audit().block_id())));
  }
  for (const v1::SubSession& sub : terms.sub_sessions()) {
    shown.lines.emplace_back(
        absl::StrCat("Sub-session ", sub.id()),
        absl::StrCat(sub.title(), sub.demands_digest() ? " (demands digests)" : ""));
  }
  AddDescriptorLines(descriptor, shown.lines);
  shown.lines.emplace_back("Issued", FormatTime(descriptor.issue_time_us()));
  return shown;
}

Shown ShowVoucher(const v1::Voucher& voucher, const Digest& identity, VoucherTrust trust) {
  const v1::Policy& policy = voucher.policy();
  const bool verified = trust == VoucherTrust::kVerified;
  Json range = {policy.range().first(), policy.range().last()};
  Json groups = Json::array();
  for (const std::string& group : voucher.group_ids()) groups.push_back(Hex(group));
  Shown shown;
  shown.json = {
      {"voucher_id", Hex(voucher.voucher_id())},
      {"identity", ToHex(identity)},
      {"provider", Hex(voucher.session().provider())},
      {"session_id", Hex(voucher.session().session_id())},
      {"terms_identity", Hex(voucher.terms_identity())},
      {"secure_space_id", Hex(voucher.secure_space_id())},
      {"range", range},
      {"count", policy.count() ? Json(policy.count()) : Json(nullptr)},
      {"sender_ids", policy.sender_ids()},
      {"sub_sessions", policy.sub_sessions()},
      {"expires", policy.expires_us() ? Json(FormatTime(policy.expires_us())) : Json(nullptr)},
      {"lease_ms", policy.lease_ms() ? Json(policy.lease_ms()) : Json(nullptr)},
      {"price", voucher.has_price() ? MoneyJson(voucher.price()) : Json(nullptr)},
      {"group_ids", groups},
      {"payer_reference", voucher.payer_reference()},
      {"issue_time", FormatTime(voucher.issue_time_us())},
      {"provider_verified", verified}};
  shown.lines = {{"Voucher", Hex(voucher.voucher_id())},
                 {"Session", Hex(voucher.session().session_id())},
                 {"Provider", Hex(voucher.session().provider())},
                 {"Secure space", Hex(voucher.secure_space_id())},
                 {"Range", FormatRanges({policy.range()})}};
  if (policy.count()) shown.lines.emplace_back("Count", absl::StrCat(policy.count()));
  if (policy.sender_ids_size() > 0) {
    shown.lines.emplace_back("Senders", absl::StrJoin(policy.sender_ids(), ", "));
  }
  if (policy.sub_sessions_size() > 0) {
    shown.lines.emplace_back("Sub-sessions", absl::StrJoin(policy.sub_sessions(), ", "));
  }
  if (policy.expires_us()) shown.lines.emplace_back("Expires", FormatTime(policy.expires_us()));
  if (policy.lease_ms()) shown.lines.emplace_back("Lease", Milliseconds(policy.lease_ms()));
  for (const Json& group : groups) shown.lines.emplace_back("Group", group.get<std::string>());
  shown.lines.emplace_back("Price", voucher.has_price() ? FormatMoney(voucher.price()) : "-");
  if (!voucher.payer_reference().empty()) {
    shown.lines.emplace_back("Payer", voucher.payer_reference());
  }
  shown.lines.emplace_back("Issued", FormatTime(voucher.issue_time_us()));
  shown.lines.emplace_back("Verified",
                           verified ? "yes" : "signature only; name --session to verify the till");
  return shown;
}

absl::StatusOr<Shown> ShowVoucherAlone(const v1::SignedEnvelope& envelope,
                                       const std::string& path) {
  absl::StatusOr<std::vector<Certificate>> chain = ParseCertificates(envelope.certificates());
  if (!chain.ok()) return Annotate(chain.status(), path);
  if (chain->size() != 1 || chain->front().role() != CertificateRole::kTill) {
    return absl::UnauthenticatedError(absl::StrCat(path, " was not signed by a till"));
  }
  v1::SignedEnvelope bare = envelope;
  bare.clear_certificates();
  absl::Status verified = VerifyEnvelope(bare, payload_type::kVoucher, chain->front().public_key());
  if (!verified.ok()) return Annotate(verified, path);
  ASSIGN_OR_RETURN(v1::Voucher voucher, PayloadOf<v1::Voucher>(envelope, path));
  return ShowVoucher(voucher, ObjectIdentity(envelope), VoucherTrust::kWithoutSession);
}

std::string FormatTime(uint64_t time_us) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMicros(static_cast<int64_t>(time_us)),
                          absl::UTCTimeZone());
}

std::string FormatRanges(const std::vector<v1::AduRange>& ranges) {
  std::vector<std::string> texts;
  for (const v1::AduRange& range : ranges) {
    texts.push_back(range.first() == range.last() ? absl::StrCat(range.first())
                                                  : absl::StrCat(range.first(), "-", range.last()));
  }
  return absl::StrJoin(texts, ", ");
}

std::string EnumWord(const std::string& value_name, const std::string& prefix) {
  std::string word = value_name.starts_with(prefix) ? value_name.substr(prefix.size()) : value_name;
  absl::AsciiStrToLower(&word);
  return absl::StrReplaceAll(word, {{"_", "-"}});
}

}  // namespace nark::narkctl
