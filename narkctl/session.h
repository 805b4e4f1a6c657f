#ifndef NARK_NARKCTL_SESSION_H_
#define NARK_NARKCTL_SESSION_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/key_store.h"
#include "common/crypto/random.h"
#include "common/object/provider.h"
#include "common/object/session.h"
#include "narkctl/audit.h"

namespace nark::narkctl {

// Whether what a session or its registered parts cannot promise was asked for.
enum class UnboundedGrants { kRefuse, kAllow };
enum class InsecureParts { kRefuse, kAllow };
// Whether the unspent part of a count is refunded.
enum class UnspentCounts { kKeep, kRefund };
enum class ExistingFiles { kRefuse, kReplace };

// The flags of `session create`, as written.
struct SessionFlags {
  std::string provider;
  std::string pool;
  KeyStore* token = nullptr;  // of a pool whose keys lie in one; borrowed
  std::string out;
  std::vector<std::string> sender_outs;
  std::string transport;
  std::string title;
  std::string generator = "marks";
  std::optional<uint64_t> depth;  // absent: the generator's usual one
  std::string cipher = "aes-128-gcm";
  AuditFlags audit;                 // with cipher chameleon alone
  std::string receipts = "tree";    // ordered bitmap tree
  std::string adu = "1s";           // gop, a duration or a size
  std::string timeliness = "live";  // live none
  std::chrono::microseconds deadline = std::chrono::seconds(10);
  std::string release = "key";  // key plaintext
  uint64_t refund_cap = 100;    // percent
  // The same for secure spaces in software; absent: as refund_cap.
  std::optional<uint64_t> emulated_refund_cap;
  uint64_t refund_tolerance = 0;  // per mille of the ADUs bought
  uint64_t refund_minimum = 0;    // minor units
  UnspentCounts unspent_counts = UnspentCounts::kKeep;
  std::string price_per_adu;  // decimal; empty publishes no price
  std::string currency;
  std::vector<std::string> key_managers;
  std::string refunds;
  // One sender for each file; ids 1, 2, ... unless given.
  std::vector<std::string> sender_ids;
  v1::PermittedSender sender;  // only may_control is read
  OpenToSenders open_to_senders = OpenToSenders::kNo;
  std::vector<std::string> sub_sessions;            // ID=TITLE
  std::vector<std::string> sub_session_transports;  // ID=URI; the main stream's unless given
  std::vector<std::string> demanded_digests;        // ids
  UnboundedGrants unbounded_grants = UnboundedGrants::kRefuse;
  InsecureParts insecure_parts = InsecureParts::kRefuse;
  ExistingFiles existing = ExistingFiles::kRefuse;
};

// What the flags mean, but for the audit trail (ChooseAudit); INVALID_ARGUMENT names the flag.
absl::StatusOr<SessionOptions> ParseSessionFlags(const SessionFlags& flags);

// Makes a session and writes its files, the senders' with mode 0600.
absl::StatusOr<VerifiedSession> CreateSession(const SessionFlags& flags, Timestamp now,
                                              Random& random);

// The flags of `session add-sender`, as written.
struct AddSenderFlags {
  std::string session;  // replaced by the later descriptor, where out is empty
  std::string provider;
  std::string pool;
  KeyStore* token = nullptr;  // as in SessionFlags
  std::string sender_id;
  std::string out;
  std::string sender_out;
  ExistingFiles existing = ExistingFiles::kRefuse;
};
// Certifies one more sender. Nothing that was written stays where it fails.
absl::StatusOr<uint32_t> AddSenderTo(const AddSenderFlags& flags, Timestamp now);

// Reads and verifies a session file. The message names it.
absl::StatusOr<VerifiedSession> ReadSession(const std::string& path, Timestamp now);

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_SESSION_H_
