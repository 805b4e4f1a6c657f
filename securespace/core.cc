#include "securespace/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::securespace {
namespace {

constexpr char kSessionsFile[] = "sessions";
constexpr char kExchangesFile[] = "exchanges";

std::string FileOf(const SessionName& name) {
  Digest hash = LabelledHash("nark session file v1", {name.provider, name.session_id});
  return "session-" + ToHex(ByteView(hash).first(16));
}

absl::StatusOr<std::vector<SecretBytes>> ReadListed(Journal& journal, const std::string& name) {
  absl::StatusOr<std::vector<SecretBytes>> records = journal.Read();
  if (absl::IsNotFound(records.status())) {
    return absl::NotFoundError(
        absl::StrCat("the secure space's file ", name,
                     " is missing; restore the folder it was in, or begin a new secure space"));
  }
  return records;
}

}  // namespace

Session::Session(VerifiedSession verified, SessionTools tools, SessionState state, Journal journal)
    : verified_(std::move(verified)),
      tools_(std::move(tools)),
      state_(std::move(state)),
      written_refusals_(state_.refusals),
      journal_(std::move(journal)) {
  sub_sessions_.try_emplace(0, verified_.name(), 0, false);
  for (const v1::SubSession& sub : verified_.terms().sub_sessions()) {
    sub_sessions_.try_emplace(sub.id(), verified_.name(), sub.id(),
                              DemandsDigest(verified_.terms(), sub.id()));
  }
}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(VerifiedSession verified,
                                                         SessionState state, Journal journal) {
  ASSIGN_OR_RETURN(SessionTools tools, SessionTools::Find(verified.terms()));
  if (state.streams.empty()) state.receipt_type = verified.terms().receipt_type();
  if (state.receipt_type != verified.terms().receipt_type()) {
    return absl::DataLossError("the secure space's state keeps receipts as its terms do not");
  }
  std::unique_ptr<Session> session(
      new Session(std::move(verified), std::move(tools), std::move(state), std::move(journal)));
  RETURN_IF_ERROR(session->OpenKeySources());
  return session;
}

absl::Status Session::CheckSameTerms(const VerifiedSession& other) const {
  if (verified_.terms_identity() == other.terms_identity()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("session ", verified_.name().ToString(),
                   " was joined under other terms; use the session descriptor it was joined with"));
}

absl::Status Session::SetDescriptor(VerifiedSession verified, uint64_t verified_at_us) {
  RETURN_IF_ERROR(CheckSameTerms(verified));
  state_.descriptor = verified.envelope();
  state_.verified_at_us = verified_at_us;
  verified_ = std::move(verified);
  return absl::OkStatus();
}

absl::Status Session::OpenKeySources() {
  std::map<StreamName, std::vector<schedule::Node>> nodes;
  for (const Grant& grant : state_.grants) {
    if (grant.stopped) continue;
    for (const Seeds& seeds : grant.seeds) {
      for (const schedule::Node& node : seeds.nodes) {
        nodes[seeds.stream].push_back({node.level, node.prefix, node.key.Clone()});
      }
    }
  }
  std::map<StreamName, std::unique_ptr<schedule::KeySource>> sources;
  for (auto& [stream, all] : nodes) {
    ASSIGN_OR_RETURN(sources[stream], tools_.generator->Open(tools_.parameters, std::move(all)));
  }
  key_sources_ = std::move(sources);
  return absl::OkStatus();
}

SubSession* Session::FindSubSession(uint32_t id) {
  auto found = sub_sessions_.find(id);
  return found == sub_sessions_.end() ? nullptr : &found->second;
}

schedule::KeySource* Session::FindKeySource(const StreamName& stream) {
  auto found = key_sources_.find(stream);
  return found == key_sources_.end() ? nullptr : found->second.get();
}

absl::StatusOr<wire::AduCipher*> Session::Cipher() {
  if (cipher_ == nullptr) {
    ASSIGN_OR_RETURN(cipher_, tools_.suite->Create(block_));
  }
  return cipher_.get();
}

void Session::SetBlock(std::shared_ptr<const ChameleonBlock> block) {
  block_ = std::move(block);
  cipher_ = nullptr;
}

fec::Coder& Session::coder() {
  if (coder_ == nullptr) coder_ = std::make_unique<fec::Coder>();
  return *coder_;
}

Emulation::Core::Core(SecureSpaceKeys keys, std::vector<Certificate> chain,
                      const Surroundings& surroundings)
    : keys_(std::move(keys)),
      chain_(std::move(chain)),
      surroundings_(surroundings),
      freshness_(surroundings.counter),
      id_(SecureSpaceId(keys_.attestation.public_key().spki(), keys_.note.public_key().spki())),
      sessions_journal_(keys_.state, surroundings.storage, surroundings.random, kSessionsFile),
      kept_journal_(keys_.state, surroundings.storage, surroundings.random, kExchangesFile) {}

absl::Status Emulation::Core::Load() {
  // What its request asks for, until an issuer has said.
  if (freshness_.counts()) assurance_ = v1::ASSURANCE_CLASS_TPM;
  if (!chain_.empty()) {
    const auto& scope = chain_.front().secure_space_scope();
    if (!scope.has_value() ||
        !Equal(chain_.front().public_key().spki(), keys_.attestation.public_key().spki()) ||
        !Equal(scope->note_spki, keys_.note.public_key().spki())) {
      return absl::InvalidArgumentError("the certificate is not one for this secure space's keys");
    }
    assurance_ = static_cast<v1::AssuranceClass>(scope->assurance);
  }
  ASSIGN_OR_RETURN(control_cipher_, wire::ControlCipher::Create());
  ASSIGN_OR_RETURN(std::vector<SecretBytes> records, ReadListed(sessions_journal_, kSessionsFile));
  ASSIGN_OR_RETURN(ByteView list, freshness_.TakeStamp(kSessionsFile, records.front().Reveal()));
  freshness_.EndsAt(kSessionsFile, sessions_journal_.position());
  ASSIGN_OR_RETURN(std::set<SessionName> names, ParseSessions(list));
  for (const SessionName& name : names) {
    RETURN_IF_ERROR(LoadSession(name));
  }
  RETURN_IF_ERROR(freshness_.Check(kSessionsFile));
  RETURN_IF_ERROR(LoadKeptExchanges());
  // The record of this opening; see Freshness.
  return freshness_.counts() ? CommitSessions() : absl::OkStatus();
}

absl::Status Emulation::Core::LoadSession(const SessionName& name) {
  Journal journal = JournalOf(name);
  const std::string file = FileOf(name);
  ASSIGN_OR_RETURN(std::vector<SecretBytes> records, ReadListed(journal, file));
  ASSIGN_OR_RETURN(ByteView snapshot, freshness_.TakeStamp(file, records.front().Reveal()));
  ASSIGN_OR_RETURN(SessionState state, ParseState(snapshot));
  for (size_t i = 1; i < records.size(); ++i) {
    ASSIGN_OR_RETURN(ByteView record, freshness_.TakeStamp(file, records[i].Reveal()));
    RETURN_IF_ERROR(Replay(record, state));
  }
  freshness_.EndsAt(file, journal.position());
  // At the time when it was verified first: a session outlives certificates.
  ASSIGN_OR_RETURN(VerifiedSession verified,
                   VerifiedSession::Verify(state.descriptor, FromMicros(state.verified_at_us)));
  uint64_t& counter = counters_[name.provider];
  counter = std::max(counter, state.counter);
  ASSIGN_OR_RETURN(sessions_[name],
                   Session::Create(std::move(verified), std::move(state), std::move(journal)));
  return absl::OkStatus();
}

Journal Emulation::Core::JournalOf(const SessionName& name) const {
  return Journal(keys_.state, surroundings_.storage, surroundings_.random, FileOf(name));
}

Session* Emulation::Core::FindSession(const SessionName& name) {
  auto found = sessions_.find(name);
  return found == sessions_.end() ? nullptr : found->second.get();
}

absl::Status Emulation::Core::CheckUsable() const {
  if (failure_.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "the secure space cannot tell what its state is and must be opened again, after this: ",
      failure_.message()));
}

bool Emulation::Core::Permits(const SessionTools& tools) const {
  return tools.secure() || surroundings_.insecure == InsecureSessions::kAllow;
}

absl::Status Emulation::Core::CheckPermitted(const SessionTools& tools) const {
  if (Permits(tools)) return absl::OkStatus();
  return Refusal(absl::StatusCode::kFailedPrecondition, "INSECURE_SESSION",
                 absl::StrCat("the session's ",
                              tools.suite->properties().secure
                                  ? absl::StrCat("generator ", Absl(tools.generator->id()))
                                  : absl::StrCat("cipher ", Absl(tools.suite->id())),
                              " is insecure; the secure space plays it only where it was opened "
                              "with --allow-insecure"));
}

absl::Status Emulation::Core::NoCertificate() {
  return absl::FailedPreconditionError(
      "the secure space has no certificate; have its request.pem certified and run "
      "nark-securespace install");
}

absl::Status Emulation::Core::Fail(const absl::Status& cause) {
  failure_ = cause;
  return CheckUsable();
}

absl::Status Emulation::Core::Commit(Session& session, const ReleaseRecord& record) {
  if (session.journal().WantsRewriting()) return CommitWhole(session);
  const std::string file = FileOf(session.verified().name());
  session.state().counter = ++counters_[session.verified().name().provider];
  Writer writer;
  freshness_.Stamp(file, writer);
  Write(record, session.state(), writer);
  absl::Status status = session.journal().Append(writer.bytes());
  if (status.ok()) status = CountWritten(session.journal(), file);
  if (!status.ok()) return Fail(status);
  session.MarkWritten();
  return status;
}

absl::Status Emulation::Core::CommitWhole(Session& session) {
  const SessionName& name = session.verified().name();
  const std::string file = FileOf(name);
  session.state().counter = ++counters_[name.provider];
  Writer writer;
  freshness_.Stamp(file, writer);
  absl::Status status = Write(session.state(), writer);
  if (status.ok()) status = session.journal().Rewrite(writer.bytes());
  if (status.ok()) {
    // The file of a session that is not listed yet counts with the list.
    if (FindSession(name) == &session) {
      status = CountWritten(session.journal(), file);
    } else {
      freshness_.EndsAt(file, session.journal().position());
    }
  }
  if (!status.ok()) return Fail(status);
  session.MarkWritten();
  return status;
}

absl::Status Emulation::Core::CountWritten(const Journal& journal, const std::string& file) {
  freshness_.EndsAt(file, journal.position());
  return freshness_.Count();
}

absl::Status Emulation::Core::Flush() {
  RETURN_IF_ERROR(CheckUsable());
  for (const auto& [name, session] : sessions_) {
    if (!session->has_unwritten_counts()) continue;
    ReleaseRecord counts_alone;
    counts_alone.touched = true;
    RETURN_IF_ERROR(Commit(*session, counts_alone));
  }
  return absl::OkStatus();
}

absl::Status Emulation::Core::CommitSessions() {
  std::set<SessionName> names;
  for (const auto& [name, session] : sessions_) names.insert(name);
  Writer writer;
  freshness_.Stamp(kSessionsFile, writer);
  Write(names, writer);
  absl::Status status = sessions_journal_.Rewrite(writer.bytes());
  if (status.ok()) status = CountWritten(sessions_journal_, kSessionsFile);
  return status.ok() ? status : Fail(status);
}

}  // namespace nark::securespace
