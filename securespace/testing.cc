#include "securespace/testing.h"

#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/crypto/hpke.h"
#include "common/fec/coder.h"
#include "common/object/envelope.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/cipher.h"
#include "common/wire/control_block.h"
#include "common/wire/fragment.h"
#include "common/wire/marked_testing.h"
#include "nark/v1/attestation.pb.h"
#include "securespace/journal.h"

namespace nark::securespace {
namespace {

constexpr uint16_t kFragmentBytes = 512;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "securespace/testing: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

void Must(const absl::Status& status) { Must(status.ok() ? absl::StatusOr<int>(0) : status); }

schedule::Parameters ParametersOf(const TestSession& session) {
  const v1::GeneratorParameters& generator = session.session().terms().generator();
  return {generator.id(), generator.depth()};
}

SecretBytes LeafOf(const TestSession& session, const AduOptions& options) {
  const schedule::Generator* generator = Must(schedule::FindGenerator(ParametersOf(session).id));
  std::vector<schedule::Node> nodes =
      Must(generator->Cover(session.SenderRoot(options.sender_id, options.sub_session),
                            ParametersOf(session), options.id, options.id));
  auto keys = Must(generator->Open(ParametersOf(session), std::move(nodes)));
  SecretBytes leaf(32);
  Must(keys->Leaf(options.id, leaf));
  return leaf;
}

wire::Header PlainHeader(const TestSession& session, const AduOptions& options,
                         const wire::CipherSuite& suite) {
  const v1::Terms& terms = session.session().terms();
  wire::Header header;
  header.cipher = suite.wire_number();
  header.session_tag = SessionTag(SessionContext(session.name(), options.sub_session));
  header.sender_id = options.sender_id;
  header.adu_id = options.id;
  header.signed_time_us = options.signed_time_us;
  if (terms.timeliness() == v1::TIMELINESS_LIVE) {
    header.deadline_us = options.signed_time_us + options.lifetime_us;
  }
  header.clear_map = options.clear;
  header.plaintext_bytes = static_cast<uint32_t>(
      options.plaintext.empty() ? options.plaintext_bytes : options.plaintext.size());
  header.ciphertext_bytes =
      static_cast<uint32_t>(suite.CiphertextBytes(header.plaintext_bytes, options.clear));
  header.fragment_bytes = kFragmentBytes;
  header.source_fragments =
      static_cast<uint16_t>(wire::SourceFragments(header.ciphertext_bytes, kFragmentBytes));
  header.parity_fragments = options.parity_fragments;
  header.fresh = {1, 2, 3};
  return header;
}

std::vector<wire::FragmentHash> HashesOf(ByteView ciphertext, uint32_t fragments,
                                         uint32_t parity_fragments) {
  std::vector<wire::FragmentHash> hashes;
  for (uint32_t i = 0; i < fragments; ++i) {
    hashes.push_back(wire::HashFragment(wire::SourceFragment(ciphertext, kFragmentBytes, i)));
  }
  if (parity_fragments > 0) {
    Bytes source = ToBytes(ciphertext);
    source.resize(size_t{fragments} * kFragmentBytes);
    Bytes parity(size_t{parity_fragments} * kFragmentBytes);
    fec::Coder().Encode(fec::Spread(fragments, parity_fragments), kFragmentBytes, source, parity);
    for (uint32_t i = 0; i < parity_fragments; ++i) {
      hashes.push_back(wire::HashFragment(wire::SourceFragment(parity, kFragmentBytes, i)));
    }
  }
  return wire::BuildHashPages(std::move(hashes), kFragmentBytes).root;
}

void AddSeeds(const TestSession& session, uint32_t sender, uint32_t sub_session, v1::Grant& grant) {
  const schedule::Generator* generator = Must(schedule::FindGenerator(ParametersOf(session).id));
  v1::SenderSeeds& seeds = *grant.add_seeds();
  seeds.set_sender_id(sender);
  seeds.set_sub_session(sub_session);
  for (const schedule::Node& node :
       Must(generator->Cover(session.SenderRoot(sender, sub_session), ParametersOf(session),
                             grant.policy().range().first(), grant.policy().range().last()))) {
    v1::SeedNode& to = *seeds.add_nodes();
    to.set_level(node.level);
    to.set_prefix(node.prefix);
    to.set_key(ToText(node.key.Reveal()));
  }
}

}  // namespace

SecureSpaceKeys KeysOf(const TestSecureSpace& identity) {
  SecretBytes state(32);
  state.RevealMutable()[0] = 7;
  return {Must(PrivateKey::FromPkcs8(Must(identity.attestation_key.ToPkcs8()))),
          Must(PrivateKey::FromPkcs8(Must(identity.note_key.ToPkcs8()))), std::move(state)};
}

TestAdu MakeAdu(const TestSession& session, uint64_t id) {
  AduOptions options;
  options.id = id;
  return MakeAdu(session, options);
}

namespace {

// All but the signature; `header` is what is signed.
TestAdu UnsignedAdu(const TestSession& session, const AduOptions& options) {
  const v1::Terms& terms = session.session().terms();
  const wire::CipherSuite* suite = Must(wire::FindCipher(terms.cipher()));
  Digest context = SessionContext(session.name(), options.sub_session);
  SecretBytes leaf = LeafOf(session, options);
  wire::Header header = PlainHeader(session, options, *suite);

  TestAdu adu;
  adu.plaintext = options.plaintext;
  adu.plaintext.resize(header.plaintext_bytes, static_cast<uint8_t>(options.id));
  adu.claim = {options.sender_id, options.id, wire::AduDigest(context, header, adu.plaintext)};
  std::vector<wire::ControlEntry> entries = options.control;
  if (DemandsDigest(terms, options.sub_session) &&
      options.digest == AduOptions::Digest::kAsDemanded) {
    entries.push_back({wire::kControlDigest, options.id, ToBytes(adu.claim.digest)});
  }
  Bytes control = Must(wire::SerialiseControlBlock(entries, terms.control_block_bytes()));
  Bytes core = wire::SerialiseCore(header, static_cast<uint16_t>(control.size() + 16));
  header.control_block = Must(Must(wire::ControlCipher::Create())
                                  ->Seal(Must(schedule::ControlKey(leaf, context, core)), control));
  adu.data_key =
      Must(schedule::DataKey(leaf, context, core, header.control_block, suite->key_bytes()));
  adu.ciphertext.resize(header.ciphertext_bytes);
  Must(wire::SealingCipher(session, {options.sub_session, options.sender_id, options.id},
                           adu.plaintext.size())
           ->Seal(adu.data_key, header.clear_map, adu.plaintext, adu.ciphertext));
  header.hashes = HashesOf(adu.ciphertext, header.source_fragments, header.parity_fragments);
  if (options.spoil) options.spoil(header);
  adu.header = wire::SerialiseHeader(header);
  return adu;
}

}  // namespace

TestAdu MakeAdu(const TestSession& session, const AduOptions& options) {
  TestAdu adu = UnsignedAdu(session, options);
  adu.header = Must(wire::SignSingle(SessionContext(session.name(), options.sub_session),
                                     adu.header, session.sender_key(options.sender_id)));
  return adu;
}

std::vector<TestAdu> MakeBatch(const TestSession& session, uint64_t first_id, size_t count,
                               uint32_t sender_id) {
  std::vector<TestAdu> adus;
  std::vector<Bytes> headers;
  for (size_t i = 0; i < count; ++i) {
    AduOptions options;
    options.id = first_id + i;
    options.sender_id = sender_id;
    adus.push_back(UnsignedAdu(session, options));
    headers.push_back(adus.back().header);
  }
  std::vector<Bytes> signed_headers = Must(wire::SignBatch(
      SessionContext(session.name(), 0), sender_id, headers, session.sender_key(sender_id)));
  for (size_t i = 0; i < count; ++i) adus[i].header = std::move(signed_headers[i]);
  return adus;
}

v1::AttestRequest AttestRequestFor(const v1::SignedEnvelope& descriptor,
                                   const v1::SignedEnvelope& voucher) {
  v1::AttestRequest request;
  *request.mutable_session_descriptor() = descriptor;
  *request.mutable_voucher() = voucher;
  request.mutable_challenge()->set_body("some challenge");
  return request;
}

absl::StatusOr<v1::SignedEnvelope> MakeGrant(TestProvider& provider, const TestSession& session,
                                             const v1::SignedEnvelope& voucher_envelope,
                                             const v1::AttestRequest& request,
                                             const v1::AttestResponse& response,
                                             const GrantOptions& options) {
  v1::Evidence evidence;
  v1::Voucher voucher;
  if (!evidence.ParseFromString(response.evidence().payload()) ||
      !voucher.ParseFromString(voucher_envelope.payload())) {
    return absl::InternalError("evidence or voucher does not parse");
  }
  Digest secure_space{};
  std::copy(evidence.secure_space_id().begin(), evidence.secure_space_id().end(),
            secure_space.begin());
  Digest voucher_identity = ObjectIdentity(voucher_envelope);

  v1::Grant grant;
  grant.set_grant_id(ToText(GrantId(voucher_identity, secure_space)));
  *grant.mutable_session() = session.name().ToProto();
  grant.set_voucher_identity(ToText(voucher_identity));
  grant.set_secure_space_id(ToText(secure_space));
  grant.set_terms_identity(ToText(session.session().terms_identity()));
  *grant.mutable_policy() = voucher.policy();
  *grant.mutable_group_ids() = voucher.group_ids();
  grant.set_contact_sequence(evidence.contact_sequence());
  grant.set_issue_time_us(ToMicros(provider.now()));
  grant.set_release_mode(session.session().terms().release_mode());
  for (const auto& [sub, sender] : StreamsOf(voucher.policy(), session.session().terms())) {
    AddSeeds(session, sender, sub, grant);
  }
  if (session.session().terms().has_audit()) {
    Digest id{};
    std::copy_n(AsBytes(voucher.secure_space_id()).begin(), id.size(), id.begin());
    grant.set_block_key(ToText(Must(session.family().BlockKey(id)).Reveal()));
  }
  if (options.spoil_grant) options.spoil_grant(grant);

  Digest transcript =
      GrantTranscript(session.session().descriptor_identity(),
                      ObjectIdentity(payload_type::kChallenge, AsBytes(request.challenge().body())),
                      ObjectIdentity(response.evidence()), voucher_identity);
  X25519PublicKey key{};
  std::copy(evidence.hpke_public_key().begin(), evidence.hpke_public_key().end(), key.begin());
  ASSIGN_OR_RETURN(HpkeSealed sealed,
                   HpkeSeal(key, transcript, {}, AsBytes(Serialise(grant)), provider.random()));
  v1::SealedGrant message;
  message.set_transcript(ToText(transcript));
  message.set_enc(ToText(sealed.enc));
  message.set_ciphertext(ToText(sealed.ciphertext));
  if (options.spoil_sealed) options.spoil_sealed(message);
  const SigningIdentity& signer =
      options.signer != nullptr ? *options.signer : provider.key_manager;
  return SignEnvelope(payload_type::kGrant, Serialise(message), signer.key, signer.Chain());
}

TestWorld::TestWorld(SessionOptions options)
    : session(provider.MakeSession(std::move(options))), identity(provider.MakeSecureSpace()) {
  state_key = KeysOf(identity).state.Clone();
  Must(Emulation::Initialise(state_key, storage, random));
  Must(Reopen());
}

void TestWorld::UseStorage(Storage& other) {
  space_.reset();
  used_ = &other;
}

void TestWorld::UseCounter(RollbackCounter* counter) {
  space_.reset();
  counter_ = counter;
}

absl::Status TestWorld::EditState(const std::function<void(SessionState&)>& edit) {
  space_.reset();
  const Digest hash =
      LabelledHash("nark session file v1", {session.name().provider, session.name().session_id});
  Journal journal(state_key, *used_, random, "session-" + ToHex(ByteView(hash).first(16)));
  ASSIGN_OR_RETURN(std::vector<SecretBytes> records, journal.Read());
  ASSIGN_OR_RETURN(SessionState state, ParseState(records.front().Reveal()));
  for (size_t i = 1; i < records.size(); ++i) {
    RETURN_IF_ERROR(Replay(records[i].Reveal(), state));
  }
  edit(state);
  Writer writer;
  RETURN_IF_ERROR(Write(state, writer));
  RETURN_IF_ERROR(journal.Rewrite(writer.bytes()));
  return Reopen();
}

absl::Status TestWorld::Reopen() {
  space_.reset();
  ASSIGN_OR_RETURN(space_, Emulation::Open(KeysOf(identity), {identity.certificate},
                                           {*used_, clock, random, counter_, insecure_}));
  return absl::OkStatus();
}

absl::StatusOr<v1::InstallGrantResponse> TestWorld::Join(SecureSpace& space,
                                                         const v1::SignedEnvelope& voucher,
                                                         const GrantOptions& options) {
  v1::AttestRequest request = AttestRequestFor(session.descriptor(), voucher);
  ASSIGN_OR_RETURN(v1::AttestResponse response, space.Attest(request));
  v1::InstallGrantRequest install;
  *install.mutable_session() = session.name().ToProto();
  ASSIGN_OR_RETURN(*install.mutable_grant(),
                   MakeGrant(provider, session, voucher, request, response, options));
  return space.InstallGrant(install);
}

absl::StatusOr<KeyDecision> TestWorld::Release(const TestAdu& adu, uint32_t sub_session) {
  ASSIGN_OR_RETURN(std::vector<KeyDecision> decisions,
                   space_->ReleaseKeys({session.name(), sub_session, {adu.header}}));
  if (decisions.size() != 1) return absl::InternalError("not one decision for one header");
  return std::move(decisions.front());
}

v1::RefusalReason TestWorld::Reason(const TestAdu& adu, uint32_t sub_session) {
  KeyDecision decision = Must(Release(adu, sub_session));
  if (decision.refusal == v1::REFUSAL_REASON_UNSPECIFIED && !(decision.data_key == adu.data_key)) {
    Must(absl::InternalError("the key released is not the ADU's"));
  }
  return decision.refusal;
}

absl::StatusOr<v1::DeliveryNote> TestWorld::Note(v1::NoteStatus status) {
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = session.name().ToProto();
  request.set_status(status);
  ASSIGN_OR_RETURN(v1::GetDeliveryNoteResponse response, space_->GetDeliveryNote(request));
  RETURN_IF_ERROR(
      VerifyEnvelope(response.note(), payload_type::kDeliveryNote, identity.note_key.public_key()));
  return PayloadOf<v1::DeliveryNote>(response.note(), "the note");
}

}  // namespace nark::securespace
