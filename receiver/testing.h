#ifndef NARK_RECEIVER_TESTING_H_
#define NARK_RECEIVER_TESTING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/testing.h"
#include "common/schedule/generator.h"
#include "common/wire/header.h"
#include "receiver/play_out.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// An ADU as it travels.
struct MadeAdu {
  uint64_t id = 0;
  Bytes plaintext;
  wire::Header header;
  Bytes ciphertext;
  Bytes signed_header;
  std::vector<Bytes> datagrams;  // in the order in which a sender sends them
};

// Makes genuine ADUs of one sender, one by one and of any shape; keys, control
// block and signature are real. Ends the test program where something fails. One
// thread only.
class AduMaker {
 public:
  explicit AduMaker(const TestSession& session, uint32_t sender_id = 1, uint64_t seed = 1);

  // Fragments of `fragment_bytes` (a multiple of 16, at least 512), and so much parity.
  MadeAdu Make(uint64_t id, ByteView plaintext, uint16_t fragment_bytes = 1024,
               uint16_t parity = 0);
  // The same with parity that is signed and yet wrong in every byte.
  MadeAdu MakeWithWrongParity(uint64_t id, ByteView plaintext, uint16_t parity);
  // Consecutive ADUs of this size under one signature.
  std::vector<MadeAdu> MakeBatch(uint64_t first_id, size_t count, size_t bytes);
  // As one datagram of the kind kWhole.
  MadeAdu MakeWhole(uint64_t id, ByteView plaintext);
  // Plaintext that is random but the same for the same seed and id.
  Bytes Text(uint64_t id, size_t bytes) const;
  // A datagram of this sender with any payload.
  Bytes Datagram(wire::DatagramKind kind, uint64_t id, uint32_t index, ByteView payload) const;

  void set_signed_time(Timestamp time) { signed_time_ = time; }
  // Of the ADUs made from now on.
  void set_clear(wire::ClearMap clear) { clear_ = std::move(clear); }
  // The data key of an ADU, as a secure space derives it.
  SecretBytes KeyOf(const wire::ParsedHeader& header);

 private:
  MadeAdu Seal(uint64_t id, ByteView plaintext, uint16_t fragment_bytes, uint16_t parity);
  // Signs and lays out what Seal made.
  void Finish(MadeAdu& adu, ByteView parity);
  SecretBytes Leaf(uint64_t id);

  const TestSession& session_;
  const uint32_t sender_id_;
  const uint64_t seed_;
  const Digest context_;
  Timestamp signed_time_ = kTestTime;
  wire::ClearMap clear_;
  SeededRandom random_;
  std::unique_ptr<schedule::KeySource> keys_;
};

// A secure space without rules, memory or grants of its own: releases every key
// that it is asked for, unless told to refuse, and remembers what was asked.
class RecordingSpace : public securespace::SecureSpace {
 public:
  RecordingSpace(const TestSession& session, AduMaker& maker) : session_(session), maker_(maker) {}

  absl::StatusOr<v1::GetIdentityResponse> GetIdentity() override;
  absl::StatusOr<v1::AttestResponse> Attest(const v1::AttestRequest&) override;
  absl::StatusOr<v1::InstallGrantResponse> InstallGrant(const v1::InstallGrantRequest&) override;
  absl::StatusOr<std::vector<securespace::KeyDecision>> ReleaseKeys(
      const securespace::ReleaseRequest& request) override;
  absl::StatusOr<std::vector<securespace::OpenDecision>> OpenAdus(
      const securespace::OpenRequest& request) override;
  // Gives `block` away.
  absl::StatusOr<std::shared_ptr<const ChameleonBlock>> OpenMarkedBlock(const SessionName&,
                                                                        ByteView) override {
    return block;
  }
  absl::StatusOr<v1::GetDeliveryNoteResponse> GetDeliveryNote(
      const v1::GetDeliveryNoteRequest&) override;

  std::shared_ptr<const ChameleonBlock> block;

  std::map<uint64_t, v1::RefusalReason> refuse;  // by ADU id
  absl::Status fail;                             // every call, unless OK
  std::vector<std::vector<uint64_t>> calls;      // ids of each call, in order
  std::vector<uint64_t> asked() const;

 private:
  const TestSession& session_;
  AduMaker& maker_;
};

// Keeps what is written.
class RecordingSink final : public PlaintextSink {
 public:
  absl::Status Write(const PlainAdu& adu, Timestamp now) override {
    if (!fail.ok()) return fail;
    ids.push_back(adu.adu_id);
    written.insert(written.end(), adu.plaintext.begin(), adu.plaintext.end());
    times[adu.adu_id] = now;
    return absl::OkStatus();
  }
  absl::Status fail;
  std::vector<uint64_t> ids;
  Bytes written;
  std::map<uint64_t, Timestamp> times;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_TESTING_H_
