#ifndef NARK_COMMON_OBJECT_DELIVERY_NOTE_H_
#define NARK_COMMON_OBJECT_DELIVERY_NOTE_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/object/id_counts.h"
#include "common/object/id_set.h"
#include "common/object/leaf_form.h"
#include "common/object/session.h"
#include "common/object/signer_cache.h"
#include "nark/v1/note.pb.h"

namespace nark {

// Who signs a note, as its secure space's certificate says.
struct NoteSigner {
  Digest secure_space_id{};
  PublicKey note_key;
  v1::AssuranceClass assurance = v1::ASSURANCE_CLASS_UNSPECIFIED;

  // Of a leaf; whether anybody trusts its issuer is for the caller to say.
  // UNAUTHENTICATED, reason NOTE_CERTIFICATE, where it is not a secure space's.
  static absl::StatusOr<NoteSigner> Of(const Certificate& leaf);
  // The same of a leaf that Trust has verified.
  static absl::StatusOr<NoteSigner> Of(const SecureSpaceLeaf& leaf);
};

// What a note says of one sender in one (sub-)session.
struct NotedStream {
  uint32_t sub_session = 0;
  uint32_t sender_id = 0;
  IdSet delivered;
  IdCounts counts;  // of delivered
  IdSet late;
  IdSet proved;  // of delivered: whose digest was given, where the terms demand it
  uint64_t highest_signed_time_us = 0;
};

// What a note says of one voucher.
struct NotedVoucher {
  VerifiedVoucher bought;
  bool granted = false;
  std::map<uint32_t, uint64_t> spent;  // of its count, by sender
  // What its policy buys.
  Streams streams;
};

// A note that has been verified for a session: signed by its secure space's note
// key, about this session and these terms, its vouchers sold by the session's
// provider to this secure space, and nothing in it beyond what they bought.
struct VerifiedNote {
  v1::DeliveryNote note;
  Digest identity{};
  std::vector<NotedStream> streams;
  std::vector<NotedVoucher> vouchers;  // at least one
};

// Verifies at `now`, the vouchers as VerifySoldVoucher does. Each refusal has its reason
// (docs/reasons.md): NOTE_SIGNATURE, NOTE_MALFORMED, NOTE_OTHER_SESSION, NOTE_OTHER_SECURE_SPACE,
// NOTE_VOUCHER, NOTE_EXCEEDS_PURCHASE.
absl::StatusOr<VerifiedNote> VerifyNote(const v1::SignedEnvelope& note,
                                        const VerifiedSession& session, const NoteSigner& signer,
                                        SignerCache& tills, Timestamp now);

// One voucher in numbers of ADUs, of all its senders and sub-sessions. A voucher
// without count is charged for every released ADU that it covers, whatever other
// vouchers do; one with a count for what was spent of it. What was never granted
// delivered nothing.
struct VoucherAccount {
  uint64_t bought = 0;
  uint64_t delivered = 0;  // at most bought
};
// OUT_OF_RANGE, reason NOTE_EXCEEDS_PURCHASE, where the numbers do not fit.
absl::StatusOr<VoucherAccount> AccountOf(const NotedVoucher& voucher, const VerifiedNote& note);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_DELIVERY_NOTE_H_
