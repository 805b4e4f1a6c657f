#ifndef NARK_SENDER_BROADCASTER_H_
#define NARK_SENDER_BROADCASTER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/fec/coder.h"
#include "common/net/datagram_io.h"
#include "common/object/sender_file.h"
#include "common/schedule/generator.h"
#include "common/wire/cipher.h"
#include "common/wire/control_block.h"
#include "common/wire/header.h"
#include "sender/adu.h"
#include "sender/burst_layout.h"
#include "sender/control_source.h"
#include "sender/reservation.h"

namespace nark::sender {

// An ADU of the application.
struct OutgoingAdu {
  ByteView plaintext;          // 1 byte to 16 MiB
  bool random_access = false;  // decoding can start with it
  // Bytes that stay readable for everybody.
  wire::ClearMap clear;
  // What of it is marked, and never leaves otherwise. Needed where the session has an audit
  // trail, also where it is nothing; else without meaning.
  std::optional<Samples> samples = std::nullopt;
};

// What a broadcaster works with; outlives it.
struct BroadcasterPorts {
  net::DatagramSink& sink;
  Clock& clock;  // wall time
  Random& random;
  Reservation& reservation;
  ControlSource* control = nullptr;  // null: control blocks say nothing
};

struct BroadcasterOptions {
  uint32_t sub_session = 0;
  size_t datagram_bytes = wire::kDefaultDatagramBytes;  // at least 540
  // Parity, of an ADU's source fragments; 0 to 100. With any, headers and ADUs of one
  // datagram are repeated to match (sender/strength.h).
  uint32_t fec_percent = 0;
};

// What a broadcaster has done so far.
struct BroadcasterCounters {
  uint64_t adus = 0;
  uint64_t plaintext_bytes = 0;
  uint64_t datagrams = 0;
  uint64_t datagram_bytes = 0;
  uint64_t signatures = 0;
  uint64_t parity_fragments = 0;
};

// The sender as a library: encrypts ADUs under a key each and multicasts them with
// their signed headers (docs/wire.md). Per burst it sends every ADU's header and pages
// of fragment hashes, then the fragments, then headers and pages again; an ADU that
// fits one datagram travels as one, once. With parity, headers go more often
// (sender/burst_layout.h).
//
// An ADU's id is reserved durably before its first byte leaves. After an error
// nothing of the ADUs at hand is promised to have been sent or not; their ids are
// spent.
//
// In a session with an audit trail an ADU that does not say which of its bytes are samples
// is refused, and samples are encrypted such that each receiver gets its marked ones, and
// nobody the original (common/wire/cipher.h). One thread only.
class Broadcaster {
 public:
  // `sender` outlives the broadcaster; `reservation` is that of OwnerOf. INVALID_ARGUMENT
  // where the sender has no root, or with an audit trail no keys, for the sub-session,
  // datagrams are too small or parity is more than 100 %; the generator's and the cipher's
  // own errors.
  static absl::StatusOr<std::unique_ptr<Broadcaster>> Create(const OpenedSenderFile& sender,
                                                             const BroadcasterPorts& ports,
                                                             const BroadcasterOptions& options);
  // Whose ids this sender uses in a sub-session.
  static Reservation::Owner OwnerOf(const OpenedSenderFile& sender, uint32_t sub_session);

  // Sends one ADU with a signature of its own. Returns its id. INVALID_ARGUMENT for
  // sizes, clear ranges and samples; OUT_OF_RANGE once the session's ids are used up; the
  // sink's and the storage's errors.
  absl::StatusOr<uint64_t> Send(const OutgoingAdu& adu);

  // Sends several that are ready together: one signature for as many as fit a
  // burst. They get consecutive ids; returns the first.
  absl::StatusOr<uint64_t> SendBurst(std::span<const OutgoingAdu> adus);

  const BroadcasterCounters& counters() const { return counters_; }

 private:
  // One ADU of a burst, its ciphertext in arena_, with room to fill up the last fragment
  // and parity behind it where it has parity.
  struct Sealed {
    wire::Header header;
    SignedAdu::Form form = SignedAdu::Form::kFragments;
    Bytes bytes;               // the header, serialised
    std::vector<Bytes> pages;  // of hashes
    size_t offset = 0;         // into arena_
  };

  Broadcaster(const OpenedSenderFile& sender, const BroadcasterPorts& ports,
              const BroadcasterOptions& options);
  absl::Status CreateCipher();
  absl::Status Check(std::span<const OutgoingAdu> adus) const;
  absl::Status CheckSamples(const OutgoingAdu& adu) const;
  absl::Status SendBatch(std::span<const OutgoingAdu> adus, Reservation::Stamp stamp);
  absl::Status Seal(const OutgoingAdu& adu, Sealed& to);
  absl::StatusOr<Bytes> ControlPlaintext(const wire::Header& header, ByteView plaintext);
  absl::Status MarkNext(const OutgoingAdu& adu, uint64_t adu_id);
  absl::Status SealBody(const OutgoingAdu& adu, ByteView core, Sealed& to);
  void DescribeAdu(const OutgoingAdu& adu, Reservation::Stamp stamp, wire::Header& header) const;
  void ChooseForm(size_t index, size_t count, Sealed& adu) const;
  absl::Status FillFresh(std::array<uint8_t, 16>& fresh);
  void AddParity(Sealed& to);
  void HashFragments(Sealed& to);
  absl::StatusOr<std::vector<Bytes>> Sign(size_t count);
  SignedAdu Describe(const Sealed& adu, ByteView signed_header) const;
  uint32_t CopiesOf(const Sealed& adu) const;
  size_t PaddedBytes(const wire::Header& header) const;
  size_t ArenaBytes(const wire::Header& header) const;
  bool FitsOneDatagram(const wire::Header& header, size_t index, size_t count) const;
  void CountSent(std::span<const OutgoingAdu> adus,
                 std::span<const net::GatheredDatagram> datagrams);

  const OpenedSenderFile& sender_;
  BroadcasterPorts ports_;
  BroadcasterOptions options_;
  uint16_t fragment_bytes_ = 0;
  Digest context_{};
  Bytes empty_control_;
  bool demands_digest_ = false;
  const wire::CipherSuite* suite_ = nullptr;
  std::unique_ptr<wire::AduCipher> cipher_;
  const SecretBytes* audit_key_ = nullptr;  // the sender's; null: ADUs are not marked
  std::unique_ptr<wire::ControlCipher> control_cipher_;
  std::unique_ptr<schedule::KeySource> keys_;
  SecretBytes leaf_;

  // Kept from burst to burst, so that sending allocates nothing per fragment.
  std::vector<Sealed> sealed_;
  std::vector<SignedAdu> signed_;
  Bytes arena_;  // ciphertexts, and parity
  fec::Coder coder_;
  BurstLayout layout_;
  std::array<uint8_t, 4096> fresh_pool_{};
  size_t fresh_left_ = 0;
  BroadcasterCounters counters_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_BROADCASTER_H_
