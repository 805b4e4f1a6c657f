#include "receiver/testing.h"

#include <cstdlib>
#include <iostream>
#include <utility>

#include "common/crypto/hash.h"
#include "common/fec/coder.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/cipher.h"
#include "common/wire/control_block.h"
#include "common/wire/fragment.h"
#include "common/wire/marked_testing.h"

namespace nark::receiver {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << "AduMaker: " << status << "\n";
  std::abort();
}

template <typename Value>
Value Get(absl::StatusOr<Value> value) {
  Require(value.status());
  return *std::move(value);
}

// Its parity fragments, one behind the other.
Bytes ParityOf(const MadeAdu& adu) {
  const fec::Spread spread(adu.header.source_fragments, adu.header.parity_fragments);
  Bytes source = adu.ciphertext;
  source.resize(size_t{spread.source()} * adu.header.fragment_bytes);
  Bytes parity(size_t{spread.parity()} * adu.header.fragment_bytes);
  fec::Coder().Encode(spread, adu.header.fragment_bytes, source, parity);
  return parity;
}

schedule::Parameters GeneratorOf(const TestSession& session) {
  const v1::GeneratorParameters& generator = session.session().terms().generator();
  return {generator.id(), generator.depth()};
}

}  // namespace

AduMaker::AduMaker(const TestSession& session, uint32_t sender_id, uint64_t seed)
    : session_(session),
      sender_id_(sender_id),
      seed_(seed),
      context_(SessionContext(session.name(), 0)),
      random_(seed * 1000 + sender_id) {
  const schedule::Parameters parameters = GeneratorOf(session);
  const schedule::Generator* generator = Get(schedule::FindGenerator(parameters.id));
  std::vector<schedule::Node> nodes = Get(generator->Cover(
      session.SenderRoot(sender_id), parameters, 0, (uint64_t{1} << parameters.depth) - 1));
  keys_ = Get(generator->Open(parameters, std::move(nodes)));
}

SecretBytes AduMaker::Leaf(uint64_t id) {
  SecretBytes leaf;
  Require(keys_->Leaf(id, leaf));
  return leaf;
}

SecretBytes AduMaker::KeyOf(const wire::ParsedHeader& header) {
  const wire::CipherSuite* suite = Get(wire::FindCipher(header.header.cipher));
  return Get(schedule::DataKey(Leaf(header.header.adu_id), context_, header.core,
                               header.header.control_block, suite->key_bytes()));
}

Bytes AduMaker::Text(uint64_t id, size_t bytes) const {
  SeededRandom random(seed_ << 32 ^ id);
  Bytes text(bytes);
  Require(random.Fill(text));
  return text;
}

Bytes AduMaker::Datagram(wire::DatagramKind kind, uint64_t id, uint32_t index,
                         ByteView payload) const {
  Bytes datagram(wire::kPrefixBytes);
  wire::WritePrefix({kind, SessionTag(context_), sender_id_, id, index}, datagram.data());
  datagram.insert(datagram.end(), payload.begin(), payload.end());
  return datagram;
}

MadeAdu AduMaker::Seal(uint64_t id, ByteView plaintext, uint16_t fragment_bytes, uint16_t parity) {
  const v1::Terms& terms = session_.session().terms();
  const wire::CipherSuite* suite = Get(wire::FindCipher(terms.cipher()));
  MadeAdu adu;
  adu.id = id;
  adu.plaintext = ToBytes(plaintext);
  wire::Header& header = adu.header;
  header.random_access = id % 2 == 0;
  header.cipher = suite->wire_number();
  header.session_tag = SessionTag(context_);
  header.sender_id = sender_id_;
  header.adu_id = id;
  header.signed_time_us = ToMicros(signed_time_);
  if (terms.timeliness() == v1::TIMELINESS_LIVE) {
    header.deadline_us = header.signed_time_us + uint64_t{1000} * terms.deadline_ms();
  }
  header.plaintext_bytes = static_cast<uint32_t>(plaintext.size());
  header.clear_map = clear_;
  header.ciphertext_bytes = static_cast<uint32_t>(suite->CiphertextBytes(plaintext.size(), clear_));
  header.fragment_bytes = fragment_bytes;
  header.source_fragments =
      static_cast<uint16_t>(wire::SourceFragments(header.ciphertext_bytes, header.fragment_bytes));
  header.parity_fragments = parity;
  Require(random_.Fill(header.fresh));

  const Bytes core =
      wire::SerialiseCore(header, static_cast<uint16_t>(terms.control_block_bytes() + 16));
  const SecretBytes leaf = Leaf(id);
  const SecretBytes control_key = Get(schedule::ControlKey(leaf, context_, core));
  header.control_block = Get(
      Get(wire::ControlCipher::Create())
          ->Seal(control_key, Get(wire::SerialiseControlBlock({}, terms.control_block_bytes()))));
  const SecretBytes key =
      Get(schedule::DataKey(leaf, context_, core, header.control_block, suite->key_bytes()));
  adu.ciphertext.resize(header.ciphertext_bytes);
  Require(wire::SealingCipher(session_, {0, sender_id_, id}, plaintext.size())
              ->Seal(key, clear_, plaintext, adu.ciphertext));
  return adu;
}

MadeAdu AduMaker::Make(uint64_t id, ByteView plaintext, uint16_t fragment_bytes, uint16_t parity) {
  MadeAdu adu = Seal(id, plaintext, fragment_bytes, parity);
  Finish(adu, ParityOf(adu));
  return adu;
}

MadeAdu AduMaker::MakeWithWrongParity(uint64_t id, ByteView plaintext, uint16_t parity) {
  MadeAdu adu = Seal(id, plaintext, 1024, parity);
  Bytes wrong = ParityOf(adu);
  for (uint8_t& byte : wrong) byte ^= 0x5a;
  Finish(adu, wrong);
  return adu;
}

void AduMaker::Finish(MadeAdu& adu, ByteView parity) {
  const uint64_t id = adu.id;
  const uint16_t fragment_bytes = adu.header.fragment_bytes;
  std::vector<wire::FragmentHash> hashes;
  for (uint32_t i = 0; i < adu.header.source_fragments; ++i) {
    hashes.push_back(wire::HashFragment(wire::SourceFragment(adu.ciphertext, fragment_bytes, i)));
  }
  for (uint32_t i = 0; i < adu.header.parity_fragments; ++i) {
    hashes.push_back(wire::HashFragment(wire::SourceFragment(parity, fragment_bytes, i)));
  }
  wire::HashPages pages = wire::BuildHashPages(std::move(hashes), fragment_bytes);
  adu.header.hashes = pages.root;
  adu.signed_header = Get(wire::SignSingle(context_, wire::SerialiseHeader(adu.header),
                                           session_.sender_key(sender_id_)));
  const auto head = [&] {
    adu.datagrams.push_back(Datagram(wire::DatagramKind::kHeader, id, 0, adu.signed_header));
    for (uint32_t i = 0; i < pages.pages.size(); ++i) {
      adu.datagrams.push_back(Datagram(wire::DatagramKind::kHashes, id, i, pages.pages[i]));
    }
  };
  head();
  for (uint32_t i = 0; i < adu.header.source_fragments; ++i) {
    adu.datagrams.push_back(Datagram(wire::DatagramKind::kSource, id, i,
                                     wire::SourceFragment(adu.ciphertext, fragment_bytes, i)));
  }
  for (uint32_t i = 0; i < adu.header.parity_fragments; ++i) {
    adu.datagrams.push_back(Datagram(wire::DatagramKind::kParity, id,
                                     adu.header.source_fragments + i,
                                     wire::SourceFragment(parity, fragment_bytes, i)));
  }
  head();
}

std::vector<MadeAdu> AduMaker::MakeBatch(uint64_t first_id, size_t count, size_t bytes) {
  std::vector<MadeAdu> adus;
  std::vector<Bytes> headers;
  for (size_t i = 0; i < count; ++i) {
    adus.push_back(Make(first_id + i, Text(first_id + i, bytes)));
    headers.push_back(wire::SerialiseHeader(adus.back().header));
  }
  const std::vector<Bytes> batch =
      Get(wire::SignBatch(context_, sender_id_, headers, session_.sender_key(sender_id_)));
  for (size_t i = 0; i < count; ++i) {
    adus[i].signed_header = batch[i];
    for (Bytes& one : adus[i].datagrams) {
      const wire::Prefix prefix = wire::ParseDatagram(one).prefix;
      if (prefix.kind == wire::DatagramKind::kHeader) {
        one = Datagram(prefix.kind, prefix.adu_id, 0, batch[i]);
      }
    }
  }
  return adus;
}

MadeAdu AduMaker::MakeWhole(uint64_t id, ByteView plaintext) {
  const size_t room = (plaintext.size() + 16 + 15) / 16 * 16;
  MadeAdu adu = Make(id, plaintext, static_cast<uint16_t>(std::max<size_t>(room, 512)));
  adu.datagrams = {Datagram(wire::DatagramKind::kWhole, id, 0,
                            wire::SerialiseWhole(adu.signed_header, adu.ciphertext))};
  return adu;
}

absl::StatusOr<v1::GetIdentityResponse> RecordingSpace::GetIdentity() {
  return v1::GetIdentityResponse();
}
absl::StatusOr<v1::AttestResponse> RecordingSpace::Attest(const v1::AttestRequest&) {
  return absl::UnimplementedError("this secure space has no keys");
}
absl::StatusOr<v1::InstallGrantResponse> RecordingSpace::InstallGrant(
    const v1::InstallGrantRequest&) {
  return absl::UnimplementedError("this secure space has no keys");
}
absl::StatusOr<v1::GetDeliveryNoteResponse> RecordingSpace::GetDeliveryNote(
    const v1::GetDeliveryNoteRequest&) {
  return absl::UnimplementedError("this secure space has no keys");
}

absl::StatusOr<std::vector<securespace::KeyDecision>> RecordingSpace::ReleaseKeys(
    const securespace::ReleaseRequest& request) {
  if (!fail.ok()) return fail;
  calls.emplace_back();
  std::vector<securespace::KeyDecision> decisions;
  for (ByteView bytes : request.headers) {
    const wire::ParsedHeader header = Get(wire::ParseSignedHeader(bytes));
    calls.back().push_back(header.header.adu_id);
    securespace::KeyDecision& decision = decisions.emplace_back();
    auto refused = refuse.find(header.header.adu_id);
    if (refused != refuse.end()) {
      decision.refusal = refused->second;
    } else {
      decision.data_key = maker_.KeyOf(header);
    }
  }
  return decisions;
}

absl::StatusOr<std::vector<securespace::OpenDecision>> RecordingSpace::OpenAdus(
    const securespace::OpenRequest& request) {
  if (!fail.ok()) return fail;
  calls.emplace_back();
  std::vector<securespace::OpenDecision> decisions;
  for (const securespace::SealedAdu& adu : request.adus) {
    const wire::ParsedHeader header = Get(wire::ParseSignedHeader(adu.header));
    calls.back().push_back(header.header.adu_id);
    securespace::OpenDecision& decision = decisions.emplace_back();
    auto refused = refuse.find(header.header.adu_id);
    if (refused != refuse.end()) {
      decision.refusal = refused->second;
      continue;
    }
    decision.plaintext.resize(header.header.plaintext_bytes);
    const wire::CipherSuite* suite = Get(wire::FindCipher(header.header.cipher));
    Require(Get(suite->Create())
                ->Open(maker_.KeyOf(header), header.header.clear_map, adu.ciphertext,
                       decision.plaintext));
  }
  return decisions;
}

std::vector<uint64_t> RecordingSpace::asked() const {
  std::vector<uint64_t> ids;
  for (const auto& call : calls) ids.insert(ids.end(), call.begin(), call.end());
  return ids;
}

}  // namespace nark::receiver
