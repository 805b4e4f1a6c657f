#include "sender/broadcaster.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/datagram.h"
#include "common/wire/fragment.h"

namespace nark::sender {
namespace {

// Of ciphertext under one signature: stays in the processor's cache until it is sent.
constexpr size_t kBurstBytes = 1 << 20;
constexpr size_t kFragmentUnit = 16;
constexpr size_t kWholeLengthBytes = 2;
constexpr size_t kLargestFragment = 65'520;

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
  ASSIGN_OR_RETURN(made->suite_, wire::FindCipher(terms.cipher()));
  ASSIGN_OR_RETURN(made->cipher_, made->suite_->Create());
  ASSIGN_OR_RETURN(made->control_cipher_, wire::ControlCipher::Create());
  ASSIGN_OR_RETURN(made->empty_control_,
                   wire::SerialiseControlBlock({}, terms.control_block_bytes()));
  return made;
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

absl::Status Broadcaster::SendBatch(std::span<const OutgoingAdu> adus, Reservation::Stamp stamp) {
  if (sealed_.size() < adus.size()) sealed_.resize(adus.size());
  size_t bytes = 0;
  for (size_t i = 0; i < adus.size(); ++i) {
    sealed_[i].offset = bytes;
    bytes += suite_->CiphertextBytes(adus[i].plaintext.size(), adus[i].clear);
  }
  if (arena_.size() < bytes) arena_.resize(bytes);
  for (size_t i = 0; i < adus.size(); ++i) {
    DescribeAdu(adus[i], {stamp.adu_id + i, stamp.signed_time}, sealed_[i].header);
    RETURN_IF_ERROR(FillFresh(sealed_[i].header.fresh));
    RETURN_IF_ERROR(Seal(adus[i], sealed_[i]));
  }
  ASSIGN_OR_RETURN(std::vector<Bytes> signed_headers, Sign(adus.size()));
  datagrams_.clear();
  heads_.clear();
  size_t heads = 0;
  for (size_t i = 0; i < adus.size(); ++i) {
    size_t datagrams = sealed_[i].header.source_fragments + 2 * (1 + sealed_[i].pages.size());
    heads += datagrams * wire::kPrefixBytes + kWholeLengthBytes + signed_headers[i].size();
  }
  heads_.reserve(heads);  // datagrams point into it
  Arrange(signed_headers);
  RETURN_IF_ERROR(ports_.sink.SendGathered(datagrams_));
  CountSent(adus);
  return absl::OkStatus();
}

// All of the header that is known before anything is encrypted.
void Broadcaster::DescribeAdu(const OutgoingAdu& adu, Reservation::Stamp stamp,
                              wire::Header& header) {
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
  header.parity_fragments = 0;
  header.clear_map = adu.clear;
}

absl::Status Broadcaster::Seal(const OutgoingAdu& adu, Sealed& to) {
  size_t control_bytes = empty_control_.size() + kAeadTagBytes;
  Bytes core = wire::SerialiseCore(to.header, static_cast<uint16_t>(control_bytes));
  RETURN_IF_ERROR(keys_->Leaf(to.header.adu_id, leaf_));
  ASSIGN_OR_RETURN(SecretBytes control_key, schedule::ControlKey(leaf_, context_, core));
  ASSIGN_OR_RETURN(const Bytes control, ControlPlaintext(to.header, adu.plaintext));
  ASSIGN_OR_RETURN(to.header.control_block, control_cipher_->Seal(control_key, control));
  RETURN_IF_ERROR(SealBody(adu, core, to));
  MutableByteView ciphertext =
      MutableByteView(arena_).subspan(to.offset, to.header.ciphertext_bytes);
  std::vector<wire::FragmentHash> hashes(to.header.source_fragments);
  for (uint32_t i = 0; i < hashes.size(); ++i) {
    hashes[i] = wire::HashFragment(wire::SourceFragment(ciphertext, fragment_bytes_, i));
  }
  wire::HashPages pages = wire::BuildHashPages(std::move(hashes), fragment_bytes_);
  to.pages = std::move(pages.pages);
  to.header.hashes = std::move(pages.root);
  to.bytes = wire::SerialiseHeader(to.header);
  return absl::OkStatus();
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

absl::Status Broadcaster::SealBody(const OutgoingAdu& adu, ByteView core, Sealed& to) {
  ASSIGN_OR_RETURN(
      SecretBytes key,
      schedule::DataKey(leaf_, context_, core, to.header.control_block, suite_->key_bytes()));
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

bool Broadcaster::FitsOneDatagram(const wire::Header& header, size_t signed_header_bytes) const {
  return header.source_fragments == 1 &&
         wire::kPrefixBytes + kWholeLengthBytes + signed_header_bytes + header.ciphertext_bytes <=
             options_.datagram_bytes;
}

// Lays out a burst: of every ADU header and pages, then of every ADU the fragments, then
// headers and pages again. Datagrams of one size stand together, so that the kernel
// takes them in few messages, and no short gap takes both headers of an ADU.
void Broadcaster::Arrange(const std::vector<Bytes>& signed_headers) {
  auto fits = [&](size_t i) {
    return FitsOneDatagram(sealed_[i].header, signed_headers[i].size());
  };
  for (size_t i = 0; i < signed_headers.size(); ++i) {
    if (fits(i)) {
      AddWhole(sealed_[i], signed_headers[i]);
    } else {
      AddHeaderAndPages(sealed_[i], signed_headers[i]);
    }
  }
  for (size_t i = 0; i < signed_headers.size(); ++i) {
    if (!fits(i)) AddFragments(sealed_[i]);
  }
  for (size_t i = 0; i < signed_headers.size(); ++i) {
    if (!fits(i)) AddHeaderAndPages(sealed_[i], signed_headers[i]);
  }
}

void Broadcaster::AddWhole(const Sealed& adu, ByteView signed_header) {
  AddDatagram(adu.header, wire::DatagramKind::kWhole, 0, CiphertextOf(adu));
  // What stands before the ciphertext joins the prefix.
  uint8_t length[kWholeLengthBytes];
  StoreBig16(length, static_cast<uint16_t>(signed_header.size()));
  heads_.insert(heads_.end(), length, length + sizeof length);
  heads_.insert(heads_.end(), signed_header.begin(), signed_header.end());
  ByteView& head = datagrams_.back().head;
  head = {head.data(), head.size() + sizeof length + signed_header.size()};
}

void Broadcaster::AddFragments(const Sealed& adu) {
  ByteView ciphertext = CiphertextOf(adu);
  for (uint32_t i = 0; i < adu.header.source_fragments; ++i) {
    AddDatagram(adu.header, wire::DatagramKind::kSource, i,
                wire::SourceFragment(ciphertext, fragment_bytes_, i));
  }
}

ByteView Broadcaster::CiphertextOf(const Sealed& adu) const {
  return ByteView(arena_).subspan(adu.offset, adu.header.ciphertext_bytes);
}

void Broadcaster::AddHeaderAndPages(const Sealed& adu, ByteView signed_header) {
  AddDatagram(adu.header, wire::DatagramKind::kHeader, 0, signed_header);
  for (uint32_t i = 0; i < adu.pages.size(); ++i) {
    AddDatagram(adu.header, wire::DatagramKind::kHashes, i, adu.pages[i]);
  }
}

void Broadcaster::AddDatagram(const wire::Header& header, wire::DatagramKind kind, uint32_t index,
                              ByteView payload) {
  size_t at = heads_.size();
  heads_.resize(at + wire::kPrefixBytes);
  wire::WritePrefix({.kind = kind,
                     .session_tag = header.session_tag,
                     .sender_id = header.sender_id,
                     .adu_id = header.adu_id,
                     .index = index},
                    &heads_[at]);
  datagrams_.push_back({ByteView(heads_).subspan(at), payload});
}

void Broadcaster::CountSent(std::span<const OutgoingAdu> adus) {
  counters_.adus += adus.size();
  for (const OutgoingAdu& adu : adus) counters_.plaintext_bytes += adu.plaintext.size();
  counters_.datagrams += datagrams_.size();
  for (const net::GatheredDatagram& one : datagrams_) counters_.datagram_bytes += one.size();
}

}  // namespace nark::sender
