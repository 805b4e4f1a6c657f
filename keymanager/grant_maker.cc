#include "keymanager/grant_maker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"

namespace nark::keymanager {
namespace {

constexpr size_t kMaxGrantBytes = 64 << 10;
constexpr size_t kAeadTag = 16;

// A Grant whose keys are wiped when it goes, on every path.
class SecretGrant {
 public:
  SecretGrant() = default;
  SecretGrant(const SecretGrant&) = delete;
  SecretGrant& operator=(const SecretGrant&) = delete;
  ~SecretGrant() {
    for (v1::SenderSeeds& seeds : *message.mutable_seeds()) {
      for (v1::SeedNode& node : *seeds.mutable_nodes()) WipeField(*node.mutable_key());
    }
    WipeField(*message.mutable_block_key());
  }
  v1::Grant message;

 private:
  static void WipeField(std::string& field) {
    Wipe({reinterpret_cast<uint8_t*>(field.data()), field.size()});
  }
};

absl::Status AddSeeds(const AttestedJoin& join, const SecretBytes& session_seed, v1::Grant& grant) {
  const v1::Terms& terms = join.session.terms();
  const v1::Policy& policy = join.voucher.voucher.policy();
  const schedule::Parameters parameters = {.id = terms.generator().id(),
                                           .depth = terms.generator().depth()};
  ASSIGN_OR_RETURN(const schedule::Generator* generator, schedule::FindGenerator(parameters.id));
  for (const auto& [sub_session, sender_id] : StreamsOf(policy, terms)) {
    ASSIGN_OR_RETURN(const SecretBytes root,
                     schedule::SenderRoot(session_seed, join.session.name(), sub_session,
                                          parameters, sender_id));
    ASSIGN_OR_RETURN(
        const std::vector<schedule::Node> cover,
        generator->Cover(root, parameters, policy.range().first(), policy.range().last()));
    v1::SenderSeeds& seeds = *grant.add_seeds();
    seeds.set_sender_id(sender_id);
    seeds.set_sub_session(sub_session);
    for (const schedule::Node& node : cover) {
      v1::SeedNode& made = *seeds.add_nodes();
      made.set_level(node.level);
      made.set_prefix(node.prefix);
      made.set_key(node.key.Reveal().data(), node.key.size());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SecretBytes> MakeGrant(const AttestedJoin& join, const GrantSecrets& secrets,
                                      Timestamp now) {
  const v1::Voucher& voucher = join.voucher.voucher;
  SecretGrant secret;
  v1::Grant& grant = secret.message;
  grant.set_grant_id(ToText(GrantId(join.voucher.identity, join.secure_space_id)));
  *grant.mutable_session() = join.session.name().ToProto();
  grant.set_voucher_identity(ToText(join.voucher.identity));
  grant.set_secure_space_id(ToText(join.secure_space_id));
  grant.set_terms_identity(ToText(join.session.terms_identity()));
  *grant.mutable_policy() = voucher.policy();
  *grant.mutable_group_ids() = voucher.group_ids();
  grant.set_contact_sequence(join.evidence.contact_sequence());
  grant.set_issue_time_us(ToMicros(now));
  grant.set_release_mode(join.session.terms().release_mode());
  RETURN_IF_ERROR(AddSeeds(join, secrets.seed, grant));
  if (secrets.family != nullptr) {
    ASSIGN_OR_RETURN(const SecretBytes key, secrets.family->BlockKey(join.secure_space_id));
    grant.set_block_key(ToText(key.Reveal()));
  }

  const size_t size = grant.ByteSizeLong();
  if (size + kAeadTag > kMaxGrantBytes) {
    return absl::OutOfRangeError(absl::StrCat(
        "a grant of ", size, " bytes: too many senders and sub-sessions for one voucher"));
  }
  SecretBytes bytes(size);
  if (!grant.SerializeToArray(bytes.RevealMutable().data(), static_cast<int>(size))) {
    return absl::InternalError("a grant does not serialise");
  }
  return bytes;
}

absl::StatusOr<v1::SealedGrant> SealGrant(const AttestedJoin& join, const SecretBytes& grant,
                                          Random& random) {
  const Digest transcript =
      GrantTranscript(join.session.descriptor_identity(), join.challenge_identity,
                      join.evidence_identity, join.voucher.identity);
  X25519PublicKey recipient;
  std::copy_n(AsBytes(join.evidence.hpke_public_key()).begin(), recipient.size(),
              recipient.begin());
  ASSIGN_OR_RETURN(const HpkeSealed sealed,
                   HpkeSeal(recipient, transcript, {}, grant.Reveal(), random));
  v1::SealedGrant message;
  message.set_transcript(ToText(transcript));
  message.set_enc(ToText(sealed.enc));
  message.set_ciphertext(ToText(sealed.ciphertext));
  return message;
}

}  // namespace nark::keymanager
