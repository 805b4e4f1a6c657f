#ifndef NARK_COMMON_OBJECT_PROVIDER_H_
#define NARK_COMMON_OBJECT_PROVIDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/audit/family.h"
#include "common/base/clock.h"
#include "common/crypto/hpke.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/identity.h"
#include "common/object/sealed_session.h"
#include "common/object/session.h"
#include "nark/v1/envelope.pb.h"
#include "nark/v1/file.pb.h"

// What a provider makes, from keys in memory. narkctl adds folders and flags, the
// tests' fixture (testing.h) neither.
namespace nark {

// Whether senders that the terms do not name may be certified later.
enum class OpenToSenders { kNo, kYes };

// How receivers' copies are marked.
struct AuditOptions {
  std::shared_ptr<const audit::Family> family;
  uint32_t colluders = 8;
  uint64_t false_accusation_one_in = 1'000'000;
};

// Everything about a session that its provider decides. The defaults are those of
// `narkctl session create`.
struct SessionOptions {
  std::string title;
  std::string cipher = "aes-128-gcm";
  std::optional<AuditOptions> audit;  // goes with the cipher "chameleon" alone
  std::string generator = "marks";
  uint32_t depth = 32;
  v1::ReceiptType receipts = v1::RECEIPT_TYPE_TREE;
  v1::ReleaseMode release = v1::RELEASE_MODE_KEY;
  v1::AduTiming timing = DefaultTiming();  // one second
  v1::Timeliness timeliness = v1::TIMELINESS_LIVE;
  uint32_t deadline_ms = 10'000;  // left out where timeliness is NONE
  std::optional<v1::Money> price_per_adu;
  v1::RefundRules refund = DefaultRefund();  // caps of 100 percent
  std::vector<v1::SubSession> sub_sessions;
  std::vector<v1::PermittedSender> senders = DefaultSenders();  // id 1, no control
  OpenToSenders open_to_senders = OpenToSenders::kNo;
  uint32_t control_block_bytes = 128;
  // URI by sub-session. To be set.
  std::map<uint32_t, std::string> transports;
  std::vector<std::string> key_managers;
  std::vector<std::string> refund_desks;

  static v1::AduTiming DefaultTiming();
  static v1::RefundRules DefaultRefund();
  static std::vector<v1::PermittedSender> DefaultSenders();
};

// The keys that make a session. All borrowed.
struct SessionSigners {
  const Certificate& root;
  const SigningIdentity& descriptor;
  const SigningIdentity& senders;
  const Certificate& tls_ca;
};

// A session that was just made.
struct NewSession {
  v1::SignedEnvelope descriptor;
  VerifiedSession session;
  SessionSecrets secrets;                       // live on in the descriptor, sealed
  std::map<uint32_t, SigningIdentity> senders;  // those just made, by sender id
};

// What a session says of the pool of its key managers.
struct SessionPool {
  std::vector<X25519PublicKey> keys;         // to which its secrets are sealed
  std::vector<Digest> revoked_key_managers;  // ascending, each once
};

// Makes a session with a random id and seed, sealed to every pool key, and a
// signing key for every sender. INVALID_ARGUMENT where the options contradict
// each other. What it returns has been verified as a receiver would.
absl::StatusOr<NewSession> MakeSession(const SessionOptions& options, const SessionSigners& signers,
                                       const SessionPool& pool, Timestamp now, Random& random);

// The same session with one more sender, in a later descriptor: what it returns has
// that sender alone. The terms keep their bytes, so nothing that was sold is touched;
// who holds the earlier descriptor does not hear the sender. ALREADY_EXISTS where it is
// certified, INVALID_ARGUMENT where the terms do not let it be.
absl::StatusOr<NewSession> AddSender(const VerifiedSession& session, const SessionSecrets& secrets,
                                     uint32_t sender_id, const SessionSigners& signers,
                                     Timestamp now);

// The same session, its secrets sealed to the keys of `pool` instead, naming as revoked whom it
// names and nobody else, and signed anew; the terms keep their bytes, so nothing that was sold
// is touched.
absl::StatusOr<v1::SignedEnvelope> ResealSession(const VerifiedSession& session,
                                                 const SessionSecrets& secrets,
                                                 const SigningIdentity& descriptor_role,
                                                 const SessionPool& pool, Timestamp now,
                                                 Random& random);

// What a purchase says.
struct VoucherOptions {
  Digest secure_space_id{};
  v1::Policy policy;               // the range is to be set
  std::optional<v1::Money> price;  // where absent: list price times ADUs bought, if any
  std::string payer_reference;
  std::vector<Bytes> group_ids;  // 16 to 32 bytes each
};

// Sells. What it returns has been verified as a receiver would.
absl::StatusOr<v1::SignedEnvelope> MakeVoucher(const VoucherOptions& options,
                                               const VerifiedSession& session,
                                               const SigningIdentity& till, Timestamp now,
                                               Random& random);

// All that one sender needs, signed. Secret.
absl::StatusOr<v1::SignedEnvelope> MakeSenderFile(const NewSession& session, uint32_t sender_id,
                                                  const SigningIdentity& senders_role,
                                                  const SigningIdentity& tls_server);

// A key manager that the provider has revoked.
struct RevokedKeyManager {
  Digest key_id{};
  Timestamp not_after;  // of its certificate
};

// Whose folder it is: the pool's, or that of one of its replicas.
enum class PoolFolderKind { kPool, kReplica };

// What a pool's folder holds. `revoked`: ascending by key id, each once.
struct PoolContent {
  PoolFolderKind kind = PoolFolderKind::kPool;
  std::vector<v1::PoolFile> files;
  std::vector<RevokedKeyManager> revoked;
};

// It, signed.
absl::StatusOr<v1::SignedEnvelope> MakePoolManifest(const Digest& provider,
                                                    const PoolContent& content,
                                                    const SigningIdentity& pool_role,
                                                    Timestamp now);

// The ids of denied secure spaces, signed; duplicates are dropped.
absl::StatusOr<v1::SignedEnvelope> MakeDenyList(const Digest& provider, std::vector<Digest> ids,
                                                const SigningIdentity& control_role, Timestamp now,
                                                Timestamp next_update);

// A file that holds one envelope.
v1::NarkFile SessionFile(v1::SignedEnvelope descriptor);
v1::NarkFile VoucherFile(v1::SignedEnvelope voucher);
v1::NarkFile SenderNarkFile(v1::SignedEnvelope sender_file);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_PROVIDER_H_
