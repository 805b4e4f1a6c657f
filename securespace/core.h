#ifndef NARK_SECURESPACE_CORE_H_
#define NARK_SECURESPACE_CORE_H_

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/fec/coder.h"
#include "common/object/session.h"
#include "common/schedule/generator.h"
#include "common/wire/cipher.h"
#include "common/wire/control_block.h"
#include "common/wire/header.h"
#include "securespace/emulation.h"
#include "securespace/freshness.h"
#include "securespace/grant_exchange.h"
#include "securespace/journal.h"
#include "securespace/session_tools.h"
#include "securespace/state.h"

namespace nark::securespace {

class ReleaseList;

// A (sub-)session's name on the wire, and the batch roots seen in it.
struct SubSession {
  SubSession(const SessionName& session, uint32_t id, bool wants_digests)
      : context(SessionContext(session, id)),
        tag(SessionTag(context)),
        demands_digest(wants_digests),
        verifier(context) {}
  Digest context;
  uint64_t tag;
  bool demands_digest;
  wire::HeaderVerifier verifier;
};

// A session that was joined: its durable state, and what follows from it. One
// thread only.
class Session {
 public:
  // Over a state that is consistent.
  static absl::StatusOr<std::unique_ptr<Session>> Create(VerifiedSession verified,
                                                         SessionState state, Journal journal);

  const VerifiedSession& verified() const { return verified_; }
  const SessionTools& tools() const { return tools_; }
  SessionState& state() { return state_; }
  const SessionState& state() const { return state_; }
  Journal& journal() { return journal_; }

  // INVALID_ARGUMENT where `other`, of the same name, has other terms: a provider can sign
  // two, and what is kept fits those it was joined under alone.
  absl::Status CheckSameTerms(const VerifiedSession& other) const;
  // A later descriptor under the same terms; else CheckSameTerms' error, and nothing changes.
  absl::Status SetDescriptor(VerifiedSession verified, uint64_t verified_at_us);
  // Whether refusals were counted since the state was last written.
  bool has_unwritten_counts() const { return state_.refusals != written_refusals_; }
  void MarkWritten() { written_refusals_ = state_.refusals; }
  // Opens the key sources anew, after grants were added or stopped.
  absl::Status OpenKeySources();

  SubSession* FindSubSession(uint32_t id);                       // nullptr where there is none
  schedule::KeySource* FindKeySource(const StreamName& stream);  // the same
  // The cipher with its context, for decryption inside.
  absl::StatusOr<wire::AduCipher*> Cipher();
  // Whether its cipher wants a block that is not open yet.
  bool WantsBlock() const { return tools_.suite->properties().marks && block_ == nullptr; }
  void SetBlock(std::shared_ptr<const ChameleonBlock> block);
  // Of parity, for judging ciphertexts inside.
  fec::Coder& coder();

 private:
  Session(VerifiedSession verified, SessionTools tools, SessionState state, Journal journal);

  VerifiedSession verified_;
  SessionTools tools_;
  SessionState state_;
  RefusalCounts written_refusals_;
  Journal journal_;
  std::map<uint32_t, SubSession> sub_sessions_;
  std::map<StreamName, std::unique_ptr<schedule::KeySource>> key_sources_;
  std::shared_ptr<const ChameleonBlock> block_;  // not kept: opened anew each time
  std::unique_ptr<wire::AduCipher> cipher_;
  std::unique_ptr<fec::Coder> coder_;
};

// What a FINAL note is to name though it was never granted, verified.
struct UnservedVouchers {
  VerifiedSession session;
  uint64_t verified_at_us = 0;
  std::vector<v1::SignedEnvelope> vouchers;  // each once, none that was granted
};

// The secure space behind Emulation's lock. One thread only.
class Emulation::Core {
 public:
  Core(SecureSpaceKeys keys, std::vector<Certificate> chain, const Surroundings& surroundings);
  absl::Status Load();

  v1::GetIdentityResponse GetIdentity() const;
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest& request);
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(const v1::InstallGrantRequest& request);
  absl::StatusOr<std::vector<KeyDecision>> ReleaseKeys(const ReleaseRequest& request);
  absl::StatusOr<std::vector<OpenDecision>> OpenAdus(const OpenRequest& request);
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName& session,
                                                                        ByteView sealed);
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest& request);
  absl::Status Flush();

 private:
  // Exchange (exchange.cc).
  absl::StatusOr<Exchange> BeginExchange(const v1::AttestRequest& request);
  absl::Status Remember(Exchange exchange, v1::ExchangeLife life);
  // The one of the session that `grant` claims to answer, else any of it; nullptr where
  // none is pending.
  Exchange* FindExchange(const SessionName& name, const v1::SignedEnvelope& grant);
  // Its grant is installed. A kept one goes; of another the grant can be installed again,
  // for who did not hear that it was.
  absl::Status EndExchange(Exchange& exchange);
  absl::Status InstallInto(Session& session, const Exchange& exchange, OpenedGrant opened);
  absl::StatusOr<std::unique_ptr<Session>> NewSession(const Exchange& exchange) const;

  // Exchanges that are kept durably (pending_exchanges.cc).
  absl::Status LoadKeptExchanges();
  absl::Status CommitKeptExchanges();

  // Releases (release_calls.cc).
  absl::StatusOr<KeyDecision> ReleaseOne(ReleaseList& list, ByteView header);
  absl::StatusOr<OpenDecision> OpenOne(ReleaseList& list, Session* session, const SealedAdu& adu);

  // Delivery notes (note.cc).
  absl::StatusOr<v1::DeliveryNote> MakeNote(Session& session, v1::NoteStatus status);
  absl::StatusOr<v1::SignedEnvelope> InterimNote(Session& session);
  absl::StatusOr<v1::SignedEnvelope> FinalNote(const SessionName& name,
                                               const v1::GetDeliveryNoteRequest& request);
  absl::StatusOr<UnservedVouchers> VerifyUnserved(const SessionName& name,
                                                  const v1::GetDeliveryNoteRequest& request);
  absl::Status Close(Session& session, const std::vector<v1::SignedEnvelope>& unserved);
  absl::Status CloseUnjoined(UnservedVouchers unserved);

  // State (core.cc). Both write durably and count one change. An error stays: it
  // is in doubt what the storage holds.
  absl::Status Commit(Session& session, const ReleaseRecord& record);
  absl::Status CommitWhole(Session& session);
  absl::Status CommitSessions();
  absl::Status CheckUsable() const;
  bool Permits(const SessionTools& tools) const;
  absl::Status CheckPermitted(const SessionTools& tools) const;
  // Makes every later call fail.
  absl::Status Fail(const absl::Status& cause);
  static absl::Status NoCertificate();
  // Counts what was written and not yet counted; nothing may leave before.
  absl::Status CountWritten(const Journal& journal, const std::string& file);
  Session* FindSession(const SessionName& name);
  Journal JournalOf(const SessionName& name) const;
  absl::Status LoadSession(const SessionName& name);

  SecureSpaceKeys keys_;
  std::vector<Certificate> chain_;
  Surroundings surroundings_;
  Freshness freshness_;
  Digest id_;
  v1::AssuranceClass assurance_ = v1::ASSURANCE_CLASS_EMULATED;
  std::unique_ptr<wire::ControlCipher> control_cipher_;
  Journal sessions_journal_;
  Journal kept_journal_;
  std::map<SessionName, std::unique_ptr<Session>> sessions_;
  std::map<Digest, uint64_t> counters_;  // by provider
  // At most one a session in either list; oldest first.
  std::list<Exchange> exchanges_;  // until this is closed
  std::list<Exchange> kept_;       // EXCHANGE_LIFE_KEPT
  absl::Status failure_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_CORE_H_
