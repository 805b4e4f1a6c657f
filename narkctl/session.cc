#include "narkctl/session.h"

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/cli/units.h"
#include "common/net/datagram_io.h"
#include "common/object/file.h"
#include "common/object/money.h"
#include "common/object/sealed_session.h"
#include "common/schedule/generator.h"
#include "common/wire/cipher.h"
#include "narkctl/pool.h"
#include "narkctl/provider.h"

namespace nark::narkctl {
namespace {

using std::chrono::microseconds;

constexpr uint64_t kMaxAduBytes = 16 << 20;

absl::Status Bad(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<uint32_t> Milliseconds(microseconds duration, std::string_view flag) {
  if (duration.count() <= 0 || duration.count() % 1000 != 0 ||
      duration.count() / 1000 > std::numeric_limits<uint32_t>::max()) {
    return Bad(absl::StrCat(Absl(flag), " is not a number of milliseconds from 1ms to 49 days"));
  }
  return static_cast<uint32_t>(duration.count() / 1000);
}

absl::StatusOr<v1::AduTiming> ParseAdu(const std::string& text) {
  v1::AduTiming timing;
  if (text == "gop") {
    timing.set_gop(true);
    return timing;
  }
  if (absl::StatusOr<microseconds> duration = cli::ParseDuration(text); duration.ok()) {
    ASSIGN_OR_RETURN(uint32_t milliseconds, Milliseconds(*duration, "--adu"));
    timing.set_duration_ms(milliseconds);
    return timing;
  }
  absl::StatusOr<uint64_t> bytes = cli::ParseBytes(text);
  if (!bytes.ok()) {
    return Bad(absl::StrCat("--adu is 'gop', a duration (1s) or a size (64KiB), not '", text, "'"));
  }
  if (*bytes == 0 || *bytes > kMaxAduBytes) return Bad("--adu is not 1 byte to 16MiB");
  timing.set_bytes(static_cast<uint32_t>(*bytes));
  return timing;
}

absl::Status CheckTransport(const std::string& uri) {
  if (uri.starts_with("file:")) {
    return uri.size() > 5 ? absl::OkStatus() : Bad("--transport file: names no file");
  }
  if (!uri.starts_with("udp://")) {
    return Bad(absl::StrCat("--transport is udp://GROUP:PORT or file:PATH, not '", uri, "'"));
  }
  absl::StatusOr<net::UdpAddress> address = net::UdpAddress::Parse(uri);
  if (!address.ok()) return Annotate(address.status(), "--transport");
  if (!address->multicast()) {
    return Bad(absl::StrCat("--transport: ", address->address,
                            " is no multicast group; choose one of 239.0.0.0/8 or ff00::/8"));
  }
  return absl::OkStatus();
}

absl::Status CheckSecure(const SessionFlags& flags, const wire::CipherSuite& suite,
                         const schedule::Generator& generator) {
  std::string insecure;
  if (!suite.properties().secure) {
    insecure = absl::StrCat("--cipher ", flags.cipher);
  } else if (!generator.properties().secure) {
    insecure = absl::StrCat("--generator ", flags.generator);
  }
  if (insecure.empty() || flags.insecure_parts == InsecureParts::kAllow) return absl::OkStatus();
  return Bad(absl::StrCat(insecure,
                          " is insecure, for comparison only; choose another, or say "
                          "--allow-insecure"));
}

absl::Status ParseRegistered(const SessionFlags& flags, SessionOptions& options) {
  absl::StatusOr<const wire::CipherSuite*> cipher = wire::FindCipher(flags.cipher);
  if (!cipher.ok()) return Annotate(cipher.status(), "--cipher");
  absl::StatusOr<const schedule::Generator*> generator = schedule::FindGenerator(flags.generator);
  if (!generator.ok()) return Annotate(generator.status(), "--generator");
  const schedule::Properties properties = (*generator)->properties();
  RETURN_IF_ERROR(CheckSecure(flags, **cipher, **generator));
  if (properties.range_grants == schedule::RangeGrants::kEverything &&
      flags.unbounded_grants == UnboundedGrants::kRefuse) {
    return Bad(absl::StrCat("--generator ", flags.generator,
                            " cannot grant a range without other ADUs; use marks, or say "
                            "--allow-unbounded-grants"));
  }
  const uint64_t depth = flags.depth.value_or(schedule::DefaultDepth(**generator));
  options.depth =
      static_cast<uint32_t>(std::min<uint64_t>(depth, std::numeric_limits<uint32_t>::max()));
  absl::Status checked = (*generator)->Check({flags.generator, options.depth});
  return checked.ok() ? checked : Annotate(checked, "--depth");
}

absl::Status ParseChoices(const SessionFlags& flags, SessionOptions& options) {
  if (!v1::ReceiptType_Parse(absl::StrCat("RECEIPT_TYPE_", absl::AsciiStrToUpper(flags.receipts)),
                             &options.receipts) ||
      options.receipts == v1::RECEIPT_TYPE_UNSPECIFIED) {
    return Bad("--receipts is ordered, bitmap or tree");
  }
  if (!v1::Timeliness_Parse(absl::StrCat("TIMELINESS_", absl::AsciiStrToUpper(flags.timeliness)),
                            &options.timeliness) ||
      options.timeliness == v1::TIMELINESS_UNSPECIFIED) {
    return Bad("--timeliness is live or none");
  }
  if (!v1::ReleaseMode_Parse(absl::StrCat("RELEASE_MODE_", absl::AsciiStrToUpper(flags.release)),
                             &options.release) ||
      options.release == v1::RELEASE_MODE_UNSPECIFIED) {
    return Bad("--release is key or plaintext");
  }
  return absl::OkStatus();
}

absl::Status ParsePrice(const SessionFlags& flags, SessionOptions& options) {
  if (flags.price_per_adu.empty() != flags.currency.empty()) {
    return Bad("--price-per-adu and --currency go together");
  }
  const uint64_t emulated_cap = flags.emulated_refund_cap.value_or(flags.refund_cap);
  if (flags.refund_cap > 100) return Bad("--refund-cap is not 0 to 100 percent");
  if (emulated_cap > 100) return Bad("--emulated-refund-cap is not 0 to 100 percent");
  if (flags.refund_tolerance > 1000) return Bad("--refund-tolerance is not 0 to 1000 per mille");
  options.refund.set_cap_percent(static_cast<uint32_t>(flags.refund_cap));
  options.refund.set_emulated_cap_percent(static_cast<uint32_t>(emulated_cap));
  options.refund.set_tolerance_per_mille(static_cast<uint32_t>(flags.refund_tolerance));
  options.refund.set_minimum_minor(flags.refund_minimum);
  options.refund.set_refund_unspent_counts(flags.unspent_counts == UnspentCounts::kRefund);
  if (flags.currency.empty()) return absl::OkStatus();
  absl::StatusOr<v1::Money> price = ParseMoney(flags.price_per_adu, flags.currency);
  if (!price.ok()) return Annotate(price.status(), "--price-per-adu");
  options.price_per_adu = *std::move(price);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> ParseSenderId(const std::string& text) {
  absl::StatusOr<uint64_t> id = cli::ParseNumber(text);
  if (!id.ok() || *id == 0 || *id > std::numeric_limits<uint32_t>::max()) {
    return Bad(absl::StrCat("--sender-id is 1 to 4294967295, not '", text, "'"));
  }
  return static_cast<uint32_t>(*id);
}

// "ID" and what is behind "ID=".
absl::StatusOr<std::pair<uint32_t, std::string>> ParseNumbered(const std::string& text,
                                                               std::string_view flag) {
  const size_t equals = text.find('=');
  const absl::StatusOr<uint64_t> id = cli::ParseNumber(text.substr(0, equals));
  if (!id.ok() || *id == 0 || *id > std::numeric_limits<uint32_t>::max()) {
    return Bad(absl::StrCat(Absl(flag), " begins with the sub-session's id, 1 to 4294967295, not '",
                            text, "'"));
  }
  return std::pair(static_cast<uint32_t>(*id),
                   equals == std::string::npos ? std::string() : text.substr(equals + 1));
}

absl::Status ParseSubSessions(const SessionFlags& flags, SessionOptions& options) {
  for (const std::string& text : flags.sub_sessions) {
    ASSIGN_OR_RETURN(const auto numbered, ParseNumbered(text, "--sub-session"));
    v1::SubSession& sub = options.sub_sessions.emplace_back();
    sub.set_id(numbered.first);
    sub.set_title(numbered.second);
    if (!options.transports.emplace(numbered.first, flags.transport).second) {
      return Bad(absl::StrCat("--sub-session ", numbered.first, " is given twice"));
    }
  }
  for (const std::string& text : flags.sub_session_transports) {
    ASSIGN_OR_RETURN(const auto numbered, ParseNumbered(text, "--sub-session-transport"));
    RETURN_IF_ERROR(CheckTransport(numbered.second));
    if (!options.transports.contains(numbered.first)) {
      return Bad(absl::StrCat("--sub-session-transport ", numbered.first,
                              " goes with --sub-session ", numbered.first));
    }
    options.transports[numbered.first] = numbered.second;
  }
  for (const std::string& text : flags.demanded_digests) {
    ASSIGN_OR_RETURN(const auto numbered, ParseNumbered(text, "--demand-digest"));
    bool found = false;
    for (v1::SubSession& sub : options.sub_sessions) {
      if (sub.id() != numbered.first) continue;
      sub.set_demands_digest(true);
      found = true;
    }
    if (!found) {
      return Bad(absl::StrCat("--demand-digest ", numbered.first, " goes with --sub-session ",
                              numbered.first));
    }
  }
  return absl::OkStatus();
}

// A sender for each file.
absl::Status ParseSenders(const SessionFlags& flags, SessionOptions& options) {
  if (!flags.sender_ids.empty() && flags.sender_ids.size() != flags.sender_outs.size()) {
    return Bad(absl::StrCat("--sender-out was given ", flags.sender_outs.size(),
                            " times, --sender-id ", flags.sender_ids.size(),
                            " times; each sender has one file"));
  }
  options.senders.clear();
  for (size_t i = 0; i < flags.sender_outs.size(); ++i) {
    uint32_t id = static_cast<uint32_t>(i + 1);
    if (!flags.sender_ids.empty()) {
      ASSIGN_OR_RETURN(id, ParseSenderId(flags.sender_ids[i]));
    }
    v1::PermittedSender& sender = options.senders.emplace_back(flags.sender);
    sender.set_sender_id(id);
  }
  options.open_to_senders = flags.open_to_senders;
  return absl::OkStatus();
}

absl::Status CheckAuditFlags(const SessionFlags& flags, const SessionOptions& options) {
  ASSIGN_OR_RETURN(const wire::CipherSuite* suite, wire::FindCipher(options.cipher));
  if (!suite->properties().marks) {
    if (!flags.audit.any()) return absl::OkStatus();
    return Bad(
        "--colluders, --false-accusation, --audit-block and --audit-family go with "
        "--cipher chameleon");
  }
  if (options.timing.gop()) {
    return Bad(
        "--cipher chameleon marks sound, which has no groups of pictures: --adu is a "
        "duration or a size");
  }
  if (!flags.demanded_digests.empty()) {
    return Bad(
        "--demand-digest does not go with --cipher chameleon: every receiver decrypts "
        "something else");
  }
  return absl::OkStatus();
}

absl::Status RefuseExisting(const std::string& path) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0) return absl::OkStatus();
  // The sealed seed has no other copy.
  return absl::AlreadyExistsError(
      absl::StrCat(path, " exists; name another file, or say --force to replace it"));
}

// No file twice, and none that would be replaced unasked.
absl::Status CheckOutputs(const SessionFlags& flags) {
  std::set<std::string> paths = {flags.out};
  for (const std::string& path : flags.sender_outs) {
    if (!paths.insert(path).second) {
      return Bad(absl::StrCat(path, " is named twice by --out and --sender-out"));
    }
  }
  if (flags.existing == ExistingFiles::kReplace) return absl::OkStatus();
  for (const std::string& path : paths) RETURN_IF_ERROR(RefuseExisting(path));
  return absl::OkStatus();
}

// What certifies senders.
struct SenderSigners {
  Certificate root;
  SigningIdentity descriptor;
  SigningIdentity senders;
  SigningIdentity tls_ca;
  SessionSigners borrowed() const { return {root, descriptor, senders, tls_ca.certificate}; }
};

absl::StatusOr<SenderSigners> ReadSigners(const std::string& provider, Timestamp now) {
  ASSIGN_OR_RETURN(Certificate root, ReadProviderRoot(provider));
  ASSIGN_OR_RETURN(SigningIdentity descriptor,
                   ReadRole(provider, CertificateRole::kDescriptor, root, now));
  ASSIGN_OR_RETURN(SigningIdentity senders,
                   ReadRole(provider, CertificateRole::kSenders, root, now));
  ASSIGN_OR_RETURN(SigningIdentity tls_ca, ReadTlsCa(provider));
  return SenderSigners{std::move(root), std::move(descriptor), std::move(senders),
                       std::move(tls_ca)};
}

absl::Status WriteSenderFile(const NewSession& session, uint32_t sender_id,
                             const SenderSigners& signers, const std::string& path, Timestamp now) {
  ASSIGN_OR_RETURN(SigningIdentity tls, MakeTlsServer("sender.nark", signers.tls_ca, now));
  ASSIGN_OR_RETURN(v1::SignedEnvelope file,
                   MakeSenderFile(session, sender_id, signers.senders, tls));
  return WriteNarkFile(path, SenderNarkFile(std::move(file)), FileMode::kSecret);
}

}  // namespace

absl::StatusOr<SessionOptions> ParseSessionFlags(const SessionFlags& flags) {
  SessionOptions options;
  options.title = flags.title;
  options.cipher = flags.cipher;
  options.generator = flags.generator;
  RETURN_IF_ERROR(ParseRegistered(flags, options));
  RETURN_IF_ERROR(ParseChoices(flags, options));
  ASSIGN_OR_RETURN(options.timing, ParseAdu(flags.adu));
  if (options.timeliness == v1::TIMELINESS_LIVE) {
    ASSIGN_OR_RETURN(options.deadline_ms, Milliseconds(flags.deadline, "--deadline"));
  }
  RETURN_IF_ERROR(ParsePrice(flags, options));
  RETURN_IF_ERROR(ParseSenders(flags, options));
  RETURN_IF_ERROR(CheckTransport(flags.transport));
  options.transports = {{0, flags.transport}};
  RETURN_IF_ERROR(ParseSubSessions(flags, options));
  options.key_managers = flags.key_managers;
  if (!flags.refunds.empty()) options.refund_desks = {flags.refunds};
  RETURN_IF_ERROR(CheckAuditFlags(flags, options));
  return options;
}

absl::StatusOr<VerifiedSession> CreateSession(const SessionFlags& flags, Timestamp now,
                                              Random& random) {
  ASSIGN_OR_RETURN(SessionOptions options, ParseSessionFlags(flags));
  RETURN_IF_ERROR(CheckOutputs(flags));
  if ((*wire::FindCipher(options.cipher))->properties().marks) {
    ASSIGN_OR_RETURN(options.audit, ChooseAudit(flags.audit, flags.provider, random));
  }
  ASSIGN_OR_RETURN(SenderSigners signers, ReadSigners(flags.provider, now));
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolOf(flags.pool, signers.root, now, flags.token));
  ASSIGN_OR_RETURN(NewSession session,
                   MakeSession(options, signers.borrowed(), SessionPoolOf(pool), now, random));
  // First: no trace finds anything in a session whose secret was lost.
  if (options.audit.has_value()) RETURN_IF_ERROR(KeepFamily(*options.audit, flags.provider));
  for (size_t i = 0; i < flags.sender_outs.size(); ++i) {
    RETURN_IF_ERROR(WriteSenderFile(session, options.senders[i].sender_id(), signers,
                                    flags.sender_outs[i], now));
  }
  RETURN_IF_ERROR(WriteNarkFile(flags.out, SessionFile(session.descriptor), FileMode::kPublic));
  return std::move(session.session);
}

absl::StatusOr<uint32_t> AddSenderTo(const AddSenderFlags& flags, Timestamp now) {
  ASSIGN_OR_RETURN(const uint32_t sender_id, ParseSenderId(flags.sender_id));
  const std::string& out = flags.out.empty() ? flags.session : flags.out;
  if (out == flags.sender_out) return Bad("--sender-out and the session are the same file");
  if (flags.existing == ExistingFiles::kRefuse) {
    if (!flags.out.empty()) RETURN_IF_ERROR(RefuseExisting(out));
    RETURN_IF_ERROR(RefuseExisting(flags.sender_out));
  }
  ASSIGN_OR_RETURN(SenderSigners signers, ReadSigners(flags.provider, now));
  ASSIGN_OR_RETURN(PoolFolder pool, LoadPoolOf(flags.pool, signers.root, now, flags.token));
  ASSIGN_OR_RETURN(VerifiedSession session, ReadSession(flags.session, now));
  if (session.name().provider != signers.root.public_key().id()) {
    return Bad(
        absl::StrCat(flags.session, " is a session of another provider than ", flags.provider));
  }
  absl::StatusOr<SessionSecrets> secrets = OpenSessionSecrets(session, pool.hpke_keys);
  if (!secrets.ok()) return Annotate(secrets.status(), flags.session);
  absl::StatusOr<NewSession> extended =
      AddSender(session, *secrets, sender_id, signers.borrowed(), now);
  if (!extended.ok()) return Annotate(extended.status(), flags.session);
  // The secret first: a descriptor that names a sender without a file helps nobody.
  RETURN_IF_ERROR(WriteSenderFile(*extended, sender_id, signers, flags.sender_out, now));
  RETURN_IF_ERROR(WriteNarkFile(out, SessionFile(extended->descriptor), FileMode::kPublic));
  return sender_id;
}

absl::StatusOr<VerifiedSession> ReadSession(const std::string& path, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
  absl::StatusOr<VerifiedSession> session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), path);
  return session;
}

}  // namespace nark::narkctl
