#include "sender/burst_layout.h"

#include <algorithm>

#include "common/wire/fragment.h"

namespace nark::sender {
namespace {

constexpr size_t kWholeLengthBytes = 2;

size_t FragmentsOf(const SignedAdu& adu) {
  if (adu.form == SignedAdu::Form::kWhole) return 0;
  return size_t{adu.header->source_fragments} + adu.header->parity_fragments;
}

}  // namespace

std::span<const net::GatheredDatagram> BurstLayout::Arrange(std::span<const SignedAdu> adus) {
  datagrams_.clear();
  heads_.clear();
  ReserveHeads(adus);
  PlanCopies(adus);
  auto copy = copies_.begin();
  size_t position = 0;
  const auto add_copies = [&] {
    for (; copy != copies_.end() && copy->before == position; ++copy) AddCopy(adus[copy->adu]);
  };
  for (const SignedAdu& adu : adus) {
    const wire::Header& header = *adu.header;
    for (uint32_t i = 0; i < FragmentsOf(adu); ++i, ++position) {
      add_copies();
      const bool source = i < header.source_fragments;
      AddDatagram(header, source ? wire::DatagramKind::kSource : wire::DatagramKind::kParity, i,
                  source ? wire::SourceFragment(adu.ciphertext, header.fragment_bytes, i)
                         : wire::SourceFragment(adu.parity, header.fragment_bytes,
                                                i - header.source_fragments));
    }
  }
  add_copies();
  return datagrams_;
}

void BurstLayout::PlanCopies(std::span<const SignedAdu> adus) {
  size_t fragments = 0;
  for (const SignedAdu& adu : adus) fragments += FragmentsOf(adu);
  copies_.clear();
  for (size_t i = 0; i < adus.size(); ++i) {
    for (uint32_t number = 0; number < adus[i].copies; ++number) {
      const size_t before = number == 0 ? 0 : fragments * number / (adus[i].copies - 1);
      copies_.push_back({before, number, i});
    }
  }
  std::sort(copies_.begin(), copies_.end());
}

// Datagrams point into the heads, so these must not move.
void BurstLayout::ReserveHeads(std::span<const SignedAdu> adus) {
  size_t bytes = 0;
  for (const SignedAdu& adu : adus) {
    const size_t repeated = adu.form == SignedAdu::Form::kWhole
                                ? wire::kPrefixBytes + kWholeLengthBytes + adu.signed_header.size()
                                : (1 + adu.pages->size()) * wire::kPrefixBytes;
    bytes += adu.copies * repeated + FragmentsOf(adu) * wire::kPrefixBytes;
  }
  heads_.reserve(bytes);
}

void BurstLayout::AddCopy(const SignedAdu& adu) {
  if (adu.form == SignedAdu::Form::kWhole) return AddWhole(adu);
  AddDatagram(*adu.header, wire::DatagramKind::kHeader, 0, adu.signed_header);
  for (uint32_t i = 0; i < adu.pages->size(); ++i) {
    AddDatagram(*adu.header, wire::DatagramKind::kHashes, i, (*adu.pages)[i]);
  }
}

void BurstLayout::AddWhole(const SignedAdu& adu) {
  AddDatagram(*adu.header, wire::DatagramKind::kWhole, 0, adu.ciphertext);
  // What stands before the ciphertext joins the prefix.
  uint8_t length[kWholeLengthBytes];
  StoreBig16(length, static_cast<uint16_t>(adu.signed_header.size()));
  heads_.insert(heads_.end(), length, length + sizeof length);
  heads_.insert(heads_.end(), adu.signed_header.begin(), adu.signed_header.end());
  ByteView& head = datagrams_.back().head;
  head = {head.data(), head.size() + sizeof length + adu.signed_header.size()};
}

void BurstLayout::AddDatagram(const wire::Header& header, wire::DatagramKind kind, uint32_t index,
                              ByteView payload) {
  const size_t at = heads_.size();
  heads_.resize(at + wire::kPrefixBytes);
  wire::WritePrefix({.kind = kind,
                     .session_tag = header.session_tag,
                     .sender_id = header.sender_id,
                     .adu_id = header.adu_id,
                     .index = index},
                    &heads_[at]);
  datagrams_.push_back({ByteView(heads_).subspan(at), payload});
}

}  // namespace nark::sender
