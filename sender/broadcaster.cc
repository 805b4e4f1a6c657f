#include "sender/broadcaster.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/audit/stream_keys.h"
#include "common/base/status.h"
#include "common/crypto/chameleon.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/batch_tree.h"
#include "common/wire/fragment.h"
#include "sender/strength.h"

namespace nark::sender {
namespace {

// Of ciphertext under one signature: stays in the processor's cache until it is sent.
constexpr size_t kBurstBytes = 1 << 20;
constexpr size_t kFragmentUnit = 16;
constexpr size_t kWholeLengthBytes = 2;
constexpr size_t kLargestFragment = 65'520;
constexpr uint32_t kMostFecPercent = 100;
// Of a signed header with one hash, besides core, control block and authentication.
constexpr size_t kOtherHeaderBytes = 2 + 2 + wire::kFragmentHashBytes;
constexpr size_t kSignatureBytes = sizeof(Signature);
constexpr size_t kSingleBytes = 1 + kSignatureBytes;

size_t BatchBytes(size_t index, size_t count) {
  return 1 + 2 + 2 + 1 + kSignatureBytes +
         wire::kTreeHashBytes *
             wire::PathLength(static_cast<uint32_t>(index), static_cast<uint32_t>(count));
}

}  // namespace

Reservation::Owner Broadcaster::OwnerOf(const OpenedSenderFile& sender, uint32_t sub_session) {
  return {SessionContext(sender.session.name(), sub_session), sender.sender_id};
}

Broadcaster::Broadcaster(const OpenedSenderFile& sender, const BroadcasterPorts& ports,
                         const BroadcasterOptions& options)
    : sender_(sender),
      ports_(ports),
      options_(options),
      context_(SessionContext(sender.session.name(), options.sub_session)) {}

absl::StatusOr<std::unique_ptr<Broadcaster>> Broadcaster::Create(
    const OpenedSenderFile& sender, const BroadcasterPorts& ports,
    const BroadcasterOptions& options) {
  std::unique_ptr<Broadcaster> made(new Broadcaster(sender, ports, options));
  size_t room = options.datagram_bytes - std::min(options.datagram_bytes, wire::kPrefixBytes);
  size_t fragment = std::min(room / kFragmentUnit * kFragmentUnit, kLargestFragment);
  if (fragment < wire::kMinFragmentBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("datagrams of ", options.datagram_bytes, " bytes are too small; at least ",
                     wire::kPrefixBytes + wire::kMinFragmentBytes, " are needed"));
  }
  made->fragment_bytes_ = static_cast<uint16_t>(fragment);
  made->demands_digest_ = DemandsDigest(sender.session.terms(), options.sub_session);
  if (options.fec_percent > kMostFecPercent) {
    return absl::InvalidArgumentError(absl::StrCat(
        "parity of ", options.fec_percent, " percent; 0 to ", kMostFecPercent, " are possible"));
  }
  auto root = sender.roots.find(options.sub_session);
  if (root == sender.roots.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the sender file has no root for sub-session ", options.sub_session));
  }
  const v1::Terms& terms = sender.session.terms();
  schedule::Parameters parameters{terms.generator().id(), terms.generator().depth()};
  ASSIGN_OR_RETURN(const schedule::Generator* generator, schedule::FindGenerator(parameters.id));
  std::vector<schedule::Node> nodes(1);
  nodes[0].key = root->second.Clone();
  ASSIGN_OR_RETURN(made->keys_, generator->Open(parameters, std::move(nodes)));
  RETURN_IF_ERROR(made->CreateCipher());
  ASSIGN_OR_RETURN(made->control_cipher_, wire::ControlCipher::Create());
  ASSIGN_OR_RETURN(made->empty_control_,
                   wire::SerialiseControlBlock({}, terms.control_block_bytes()));
  return made;
}

absl::Status Broadcaster::CreateCipher() {
  const v1::Terms& terms = sender_.session.terms();
  ASSIGN_OR_RETURN(suite_, wire::FindCipher(terms.cipher()));
  std::shared_ptr<const ChameleonBlock> block;
  if (suite_->properties().marks) {
    const auto key = sender_.audit_keys.find(options_.sub_session);
    if (key == sender_.audit_keys.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the sender file has no audit key for sub-session ", options_.sub_session));
    }
    audit_key_ = &key->second;
    ASSIGN_OR_RETURN(SecretBytes bytes, audit::BaseBlockBytes(sender_.base_block_key,
                                                              terms.audit().block_words_log2()));
    ASSIGN_OR_RETURN(ChameleonBlock base, ChameleonBlock::Of(std::move(bytes)));
    block = std::make_shared<const ChameleonBlock>(std::move(base));
  }
  ASSIGN_OR_RETURN(cipher_, suite_->Create(std::move(block)));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Broadcaster::Send(const OutgoingAdu& adu) { return SendBurst({&adu, 1}); }

absl::StatusOr<uint64_t> Broadcaster::SendBurst(std::span<const OutgoingAdu> adus) {
  uint64_t first = ports_.reservation.next_id();
  RETURN_IF_ERROR(Check(adus));
  while (!adus.empty()) {
    size_t count = 0;
    size_t bytes = 0;
    do {
      bytes += adus[count++].plaintext.size();
    } while (count < adus.size() && count < wire::kMaxBatch &&
             bytes + adus[count].plaintext.size() <= kBurstBytes);
    ASSIGN_OR_RETURN(Reservation::Stamp stamp, ports_.reservation.Take(count, ports_.clock.Now()));
    RETURN_IF_ERROR(SendBatch(adus.first(count), stamp));
    adus = adus.subspan(count);
  }
  return first;
}

absl::Status Broadcaster::Check(std::span<const OutgoingAdu> adus) const {
  for (const OutgoingAdu& adu : adus) {
    if (adu.plaintext.empty() || adu.plaintext.size() > wire::kMaxAduBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("an ADU of ", adu.plaintext.size(), " bytes; it has 1 byte to 16 MiB"));
    }
    RETURN_IF_ERROR(wire::ResolveClearMap(adu.clear, adu.plaintext).status());
    RETURN_IF_ERROR(CheckSamples(adu));
  }
  uint64_t ids = uint64_t{1} << sender_.session.terms().generator().depth();
  uint64_t next = ports_.reservation.next_id();
  if (next > ids || adus.size() > ids - next) {
    return absl::OutOfRangeError(absl::StrCat("the session has ", ids,
                                              " ADU ids, and they are used up; create a new "
                                              "session"));
  }
  return absl::OkStatus();
}

absl::Status Broadcaster::CheckSamples(const OutgoingAdu& adu) const {
  if (!suite_->properties().marks) return absl::OkStatus();
  if (!adu.samples.has_value()) {
    return absl::InvalidArgumentError(
        "the session has an audit trail, and the ADU does not say which of its bytes are samples");
  }
  const auto [offset, bytes] = *adu.samples;
  const size_t size = adu.plaintext.size();
  if (offset > size || bytes > size - offset || bytes % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("an ADU of ", size, " bytes has no samples in ",
                                                   bytes, " bytes from ", offset, " on"));
  }
  if (!wire::EncryptsAll(adu.clear)) {
    return absl::InvalidArgumentError(
        "the session has an audit trail, and leaves no byte of an ADU clear");
  }
  return absl::OkStatus();
}

absl::Status Broadcaster::SendBatch(std::span<const OutgoingAdu> adus, Reservation::Stamp stamp) {
  if (sealed_.size() < adus.size()) sealed_.resize(adus.size());
  size_t bytes = 0;
  for (size_t i = 0; i < adus.size(); ++i) {
    DescribeAdu(adus[i], {stamp.adu_id + i, stamp.signed_time}, sealed_[i].header);
    ChooseForm(i, adus.size(), sealed_[i]);
    sealed_[i].offset = bytes;
    bytes += ArenaBytes(sealed_[i].header);
  }
  if (arena_.size() < bytes) arena_.resize(bytes);
  for (size_t i = 0; i < adus.size(); ++i) {
    RETURN_IF_ERROR(FillFresh(sealed_[i].header.fresh));
    RETURN_IF_ERROR(Seal(adus[i], sealed_[i]));
  }
  ASSIGN_OR_RETURN(std::vector<Bytes> signed_headers, Sign(adus.size()));
  signed_.clear();
  for (size_t i = 0; i < adus.size(); ++i) {
    signed_.push_back(Describe(sealed_[i], signed_headers[i]));
    signed_.back().copies = CopiesOf(sealed_[i]);
  }
  const std::span<const net::GatheredDatagram> datagrams = layout_.Arrange(signed_);
  RETURN_IF_ERROR(ports_.sink.SendGathered(datagrams));
  CountSent(adus, datagrams);
  return absl::OkStatus();
}

// All of the header that is known before anything is encrypted.
void Broadcaster::DescribeAdu(const OutgoingAdu& adu, Reservation::Stamp stamp,
                              wire::Header& header) const {
  const v1::Terms& terms = sender_.session.terms();
  header.random_access = adu.random_access;
  header.cipher = suite_->wire_number();
  header.session_tag = SessionTag(context_);
  header.sender_id = sender_.sender_id;
  header.adu_id = stamp.adu_id;
  header.signed_time_us = ToMicros(stamp.signed_time);
  header.deadline_us = terms.timeliness() == v1::TIMELINESS_LIVE
                           ? header.signed_time_us + uint64_t{terms.deadline_ms()} * 1000
                           : 0;
  header.plaintext_bytes = static_cast<uint32_t>(adu.plaintext.size());
  header.ciphertext_bytes =
      static_cast<uint32_t>(suite_->CiphertextBytes(adu.plaintext.size(), adu.clear));
  header.fragment_bytes = fragment_bytes_;
  header.source_fragments =
      static_cast<uint16_t>(wire::SourceFragments(header.ciphertext_bytes, fragment_bytes_));
  header.clear_map = adu.clear;
}

// The last that is open about a header: an ADU which fits one datagram has no parity.
void Broadcaster::ChooseForm(size_t index, size_t count, Sealed& adu) const {
  wire::Header& header = adu.header;
  const bool whole = FitsOneDatagram(header, index, count);
  adu.form = whole ? SignedAdu::Form::kWhole : SignedAdu::Form::kFragments;
  header.parity_fragments =
      whole ? uint16_t{0}
            : static_cast<uint16_t>(ParityFragments(header.source_fragments, options_.fec_percent));
}

bool Broadcaster::FitsOneDatagram(const wire::Header& header, size_t index, size_t count) const {
  if (header.source_fragments != 1) return false;
  const size_t signed_header = kOtherHeaderBytes + wire::CoreBytes(header) + empty_control_.size() +
                               kAeadTagBytes +
                               (count == 1 ? kSingleBytes : BatchBytes(index, count));
  return wire::kPrefixBytes + kWholeLengthBytes + signed_header + header.ciphertext_bytes <=
         options_.datagram_bytes;
}

size_t Broadcaster::PaddedBytes(const wire::Header& header) const {
  return size_t{header.source_fragments} * fragment_bytes_;
}

size_t Broadcaster::ArenaBytes(const wire::Header& header) const {
  if (header.parity_fragments == 0) return header.ciphertext_bytes;
  return PaddedBytes(header) + size_t{header.parity_fragments} * fragment_bytes_;
}

absl::Status Broadcaster::Seal(const OutgoingAdu& adu, Sealed& to) {
  size_t control_bytes = empty_control_.size() + kAeadTagBytes;
  Bytes core = wire::SerialiseCore(to.header, static_cast<uint16_t>(control_bytes));
  RETURN_IF_ERROR(keys_->Leaf(to.header.adu_id, leaf_));
  ASSIGN_OR_RETURN(SecretBytes control_key, schedule::ControlKey(leaf_, context_, core));
  ASSIGN_OR_RETURN(const Bytes control, ControlPlaintext(to.header, adu.plaintext));
  ASSIGN_OR_RETURN(to.header.control_block, control_cipher_->Seal(control_key, control));
  RETURN_IF_ERROR(SealBody(adu, core, to));
  AddParity(to);
  HashFragments(to);
  to.bytes = wire::SerialiseHeader(to.header);
  return absl::OkStatus();
}

void Broadcaster::AddParity(Sealed& to) {
  const wire::Header& header = to.header;
  if (header.parity_fragments == 0) return;
  MutableByteView all = MutableByteView(arena_).subspan(to.offset, ArenaBytes(header));
  const size_t padded = PaddedBytes(header);
  std::fill(all.begin() + header.ciphertext_bytes, all.begin() + static_cast<ptrdiff_t>(padded), 0);
  coder_.Encode(fec::Spread(header.source_fragments, header.parity_fragments), fragment_bytes_,
                all.first(padded), all.subspan(padded));
}

void Broadcaster::HashFragments(Sealed& to) {
  const SignedAdu adu = Describe(to, {});
  std::vector<wire::FragmentHash> hashes;
  hashes.reserve(size_t{to.header.source_fragments} + to.header.parity_fragments);
  for (uint32_t i = 0; i < to.header.source_fragments; ++i) {
    hashes.push_back(wire::HashFragment(wire::SourceFragment(adu.ciphertext, fragment_bytes_, i)));
  }
  for (uint32_t i = 0; i < to.header.parity_fragments; ++i) {
    hashes.push_back(wire::HashFragment(wire::SourceFragment(adu.parity, fragment_bytes_, i)));
  }
  wire::HashPages pages = wire::BuildHashPages(std::move(hashes), fragment_bytes_);
  to.pages = std::move(pages.pages);
  to.header.hashes = std::move(pages.root);
}

SignedAdu Broadcaster::Describe(const Sealed& adu, ByteView signed_header) const {
  const wire::Header& header = adu.header;
  const ByteView all = ByteView(arena_).subspan(adu.offset, ArenaBytes(header));
  SignedAdu described{.header = &header,
                      .signed_header = signed_header,
                      .pages = &adu.pages,
                      .ciphertext = all.first(header.ciphertext_bytes),
                      .parity = {},
                      .form = adu.form};
  if (header.parity_fragments > 0) described.parity = all.subspan(PaddedBytes(header));
  return described;
}

uint32_t Broadcaster::CopiesOf(const Sealed& adu) const {
  if (adu.form == SignedAdu::Form::kWhole) return WholeCopies(options_.fec_percent);
  return HeaderCopies(fec::Spread(adu.header.source_fragments, adu.header.parity_fragments),
                      static_cast<uint32_t>(adu.pages.size()), options_.fec_percent);
}

absl::StatusOr<Bytes> Broadcaster::ControlPlaintext(const wire::Header& header,
                                                    ByteView plaintext) {
  if (ports_.control == nullptr && !demands_digest_) return empty_control_;
  std::vector<wire::ControlEntry> entries;
  if (ports_.control != nullptr) {
    entries = ports_.control->Next(RoomForOrders(sender_.session.terms(), options_.sub_session));
  }
  if (demands_digest_) {
    const Digest digest = wire::AduDigest(context_, header, plaintext);
    entries.push_back({wire::kControlDigest, header.adu_id, ToBytes(digest)});
  }
  return wire::SerialiseControlBlock(entries, empty_control_.size());
}

absl::Status Broadcaster::MarkNext(const OutgoingAdu& adu, uint64_t adu_id) {
  if (audit_key_ == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(audit::AduMarkKeys keys, audit::MarkKeysOf(*audit_key_, adu_id));
  cipher_->MarkNext({std::move(keys), adu.samples->offset, adu.samples->bytes});
  return absl::OkStatus();
}

absl::Status Broadcaster::SealBody(const OutgoingAdu& adu, ByteView core, Sealed& to) {
  ASSIGN_OR_RETURN(
      SecretBytes key,
      schedule::DataKey(leaf_, context_, core, to.header.control_block, suite_->key_bytes()));
  RETURN_IF_ERROR(MarkNext(adu, to.header.adu_id));
  return cipher_->Seal(key, adu.clear, adu.plaintext,
                       MutableByteView(arena_).subspan(to.offset, to.header.ciphertext_bytes));
}

absl::Status Broadcaster::FillFresh(std::array<uint8_t, 16>& fresh) {
  if (fresh_left_ == 0) {
    RETURN_IF_ERROR(ports_.random.Fill(fresh_pool_));
    fresh_left_ = fresh_pool_.size();
  }
  fresh_left_ -= fresh.size();
  std::memcpy(fresh.data(), &fresh_pool_[fresh_left_], fresh.size());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Bytes>> Broadcaster::Sign(size_t count) {
  std::vector<Bytes> signed_headers;
  if (count == 1) {
    ASSIGN_OR_RETURN(Bytes one, wire::SignSingle(context_, sealed_[0].bytes, sender_.signing_key));
    signed_headers.push_back(std::move(one));
  } else {
    std::vector<Bytes> headers;
    headers.reserve(count);
    for (size_t i = 0; i < count; ++i) headers.push_back(std::move(sealed_[i].bytes));
    ASSIGN_OR_RETURN(signed_headers,
                     wire::SignBatch(context_, sender_.sender_id, headers, sender_.signing_key));
  }
  ++counters_.signatures;
  return signed_headers;
}

void Broadcaster::CountSent(std::span<const OutgoingAdu> adus,
                            std::span<const net::GatheredDatagram> datagrams) {
  counters_.adus += adus.size();
  for (const OutgoingAdu& adu : adus) counters_.plaintext_bytes += adu.plaintext.size();
  for (const SignedAdu& adu : signed_) counters_.parity_fragments += adu.header->parity_fragments;
  counters_.datagrams += datagrams.size();
  for (const net::GatheredDatagram& one : datagrams) counters_.datagram_bytes += one.size();
}

}  // namespace nark::sender
