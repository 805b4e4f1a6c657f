#include "securespace/state.h"

#include <algorithm>

#include "common/base/status.h"
#include "common/object/envelope.h"

namespace nark::securespace {
namespace {

// 2 is a stamp's (freshness.cc), which stands before either.
constexpr uint8_t kSnapshotFormat = 5;
// The one before, without keys of marked blocks.
constexpr uint8_t kSnapshotWithoutBlocks = 4;
constexpr uint8_t kListFormat = 1;
constexpr uint8_t kRecordFormat = 4;
constexpr size_t kRangeBytes = 16;
// No list is longer: what a record releases is bounded.
constexpr uint64_t kMaxRecordIds = 1 << 16;

absl::Status NotAState() {
  return absl::DataLossError("the secure space's state does not parse; it is of another version");
}

template <size_t kSize>
void ReadArray(Reader& from, std::array<uint8_t, kSize>& to) {
  ByteView bytes = from.Raw(kSize);
  if (from.ok()) std::copy(bytes.begin(), bytes.end(), to.begin());
}

void WriteMessage(const google::protobuf::Message& message, Writer& to) {
  to.String(AsBytes(Serialise(message)));
}

bool ReadMessage(Reader& from, google::protobuf::Message& message) {
  ByteView bytes = from.String();
  return from.ok() && ParseStrictly(bytes, "the secure space's state", message).ok();
}

void WriteIds(const IdSet& ids, Writer& to) {
  to.U32(static_cast<uint32_t>(ids.ranges().size()));
  for (const auto& [first, last] : ids.ranges()) {
    to.U64(first);
    to.U64(last);
  }
}

bool ReadIds(Reader& from, IdSet& ids) {
  for (uint32_t n = from.Count(kRangeBytes); n > 0; --n) {
    uint64_t first = from.U64();
    uint64_t last = from.U64();
    if (first > last) return false;
    ids.Insert(first, last);
  }
  return from.ok();
}

void WriteStream(const StreamName& stream, Writer& to) {
  to.U32(stream.sub_session);
  to.U32(stream.sender_id);
}

StreamName ReadStream(Reader& from) {
  StreamName stream;
  stream.sub_session = from.U32();
  stream.sender_id = from.U32();
  return stream;
}

void WriteSeeds(const Seeds& seeds, Writer& to) {
  WriteStream(seeds.stream, to);
  to.U32(static_cast<uint32_t>(seeds.nodes.size()));
  for (const schedule::Node& node : seeds.nodes) {
    to.U32(node.level);
    to.U64(node.prefix);
    to.String(node.key.Reveal());
  }
}

Seeds ReadSeeds(Reader& from) {
  Seeds seeds;
  seeds.stream = ReadStream(from);
  for (uint32_t n = from.Count(16); n > 0; --n) {
    schedule::Node node;
    node.level = from.U32();
    node.prefix = from.U64();
    node.key = SecretBytes::CopyOf(from.String());
    seeds.nodes.push_back(std::move(node));
  }
  return seeds;
}

void WriteGrant(const Grant& grant, Writer& to) {
  to.Raw(grant.id);
  to.Raw(grant.voucher_identity);
  WriteMessage(grant.voucher, to);
  to.U64(grant.voucher_issue_time_us);
  to.U64(grant.issue_time_us);
  WriteMessage(grant.policy, to);
  to.U8(grant.stopped ? 1 : 0);
  to.U32(static_cast<uint32_t>(grant.group_ids.size()));
  for (const Bytes& group : grant.group_ids) to.String(group);
  to.U32(static_cast<uint32_t>(grant.seeds.size()));
  for (const Seeds& seeds : grant.seeds) WriteSeeds(seeds, to);
  to.U32(static_cast<uint32_t>(grant.spent.size()));
  for (const auto& [sender, count] : grant.spent) {
    to.U32(sender);
    to.U64(count);
  }
  to.String(grant.block_key.Reveal());
}

bool ReadGrant(Reader& from, uint8_t format, Grant& grant) {
  ReadArray(from, grant.id);
  ReadArray(from, grant.voucher_identity);
  if (!ReadMessage(from, grant.voucher)) return false;
  grant.voucher_issue_time_us = from.U64();
  grant.issue_time_us = from.U64();
  if (!ReadMessage(from, grant.policy)) return false;
  uint8_t stopped = from.U8();
  grant.stopped = stopped == 1;
  for (uint32_t n = from.Count(4); n > 0; --n) grant.group_ids.push_back(ToBytes(from.String()));
  for (uint32_t n = from.Count(12); n > 0; --n) grant.seeds.push_back(ReadSeeds(from));
  for (uint32_t n = from.Count(12); n > 0; --n) {
    uint32_t sender = from.U32();
    grant.spent[sender] = from.U64();
  }
  if (format == kSnapshotFormat) grant.block_key = SecretBytes::CopyOf(from.String());
  return from.ok() && stopped <= 1;
}

// What snapshots and records both hold, in the same place.
void WriteTotals(const SessionState& state, Writer& to) {
  to.U64(state.counter);
  to.U64(state.stop_issue_time_us);
  to.U64(state.contact_obeyed);
  to.U32(static_cast<uint32_t>(state.refusals.size()));
  for (uint64_t count : state.refusals) to.U64(count);
}

bool ReadTotals(Reader& from, SessionState& state) {
  state.counter = from.U64();
  state.stop_issue_time_us = from.U64();
  state.contact_obeyed = from.U64();
  uint32_t reasons = from.Count(8);
  if (reasons > state.refusals.size()) return false;
  for (uint32_t reason = 0; reason < reasons; ++reason) state.refusals[reason] = from.U64();
  return from.ok();
}

}  // namespace

StreamState& SessionState::Stream(const StreamName& name) {
  auto [stream, is_new] = streams.try_emplace(name);
  if (is_new) stream->second.released = *MakeReceipts(receipt_type);
  return stream->second;
}

uint64_t SessionState::LastAcceptedOf(uint32_t sender_id) const {
  uint64_t senders_us = 0, latest_us = 0;
  for (const auto& [name, stream] : streams) {
    latest_us = std::max(latest_us, stream.last_accepted_us);
    if (name.sender_id == sender_id) senders_us = std::max(senders_us, stream.last_accepted_us);
  }
  return senders_us != 0 ? senders_us : latest_us;
}

absl::Status Write(const SessionState& state, Writer& to) {
  to.U8(kSnapshotFormat);
  WriteMessage(state.descriptor, to);
  to.U64(state.verified_at_us);
  WriteTotals(state, to);
  to.U64(state.contact_echoed);
  to.U32(static_cast<uint32_t>(state.grants.size()));
  for (const Grant& grant : state.grants) WriteGrant(grant, to);
  to.U8(static_cast<uint8_t>(state.receipt_type));
  to.U32(static_cast<uint32_t>(state.streams.size()));
  for (const auto& [name, stream] : state.streams) {
    WriteStream(name, to);
    to.U64(stream.clock_us);
    to.U64(stream.last_accepted_us);
    RETURN_IF_ERROR(stream.released->Write(to));
    RETURN_IF_ERROR(WritePacked(stream.late, to));
    RETURN_IF_ERROR(WritePacked(stream.proved, to));
  }
  to.String(AsBytes(state.final_payload));
  WriteMessage(state.final_note, to);
  return absl::OkStatus();
}

absl::StatusOr<SessionState> ParseState(ByteView snapshot) {
  Reader from(snapshot);
  SessionState state;
  const uint8_t format = from.U8();
  if (format != kSnapshotFormat && format != kSnapshotWithoutBlocks) return NotAState();
  if (!ReadMessage(from, state.descriptor)) return NotAState();
  state.verified_at_us = from.U64();
  if (!ReadTotals(from, state)) return NotAState();
  state.contact_echoed = from.U64();
  for (uint32_t n = from.Count(88); n > 0; --n) {
    Grant grant;
    if (!ReadGrant(from, format, grant)) return NotAState();
    state.grants.push_back(std::move(grant));
  }
  state.receipt_type = static_cast<v1::ReceiptType>(from.U8());
  if (!from.ok() || !MakeReceipts(state.receipt_type).ok()) return NotAState();
  for (uint32_t n = from.Count(29); n > 0; --n) {
    StreamName name = ReadStream(from);
    if (state.streams.contains(name)) return NotAState();
    StreamState& stream = state.Stream(name);
    stream.clock_us = from.U64();
    stream.last_accepted_us = from.U64();
    if (!stream.released->Read(from) || !ReadPacked(from, stream.late) ||
        !ReadPacked(from, stream.proved)) {
      return NotAState();
    }
  }
  state.final_payload = ToText(from.String());
  if (!ReadMessage(from, state.final_note) || !from.done()) return NotAState();
  return state;
}

void Write(const ReleaseRecord& record, const SessionState& state, Writer& to) {
  to.U8(kRecordFormat);
  WriteTotals(state, to);
  to.U32(static_cast<uint32_t>(record.ids.size()));
  for (const auto& [name, ids] : record.ids) {
    WriteStream(name, to);
    WriteIds(ids.first, to);
    WriteIds(ids.second, to);
  }
  to.U32(static_cast<uint32_t>(record.proved.size()));
  for (const auto& [name, ids] : record.proved) {
    WriteStream(name, to);
    WriteIds(ids, to);
  }
  to.U32(static_cast<uint32_t>(record.clocks.size()));
  for (const StreamName& name : record.clocks) {
    WriteStream(name, to);
    to.U64(state.streams.at(name).clock_us);
    to.U64(state.streams.at(name).last_accepted_us);
  }
  to.U32(static_cast<uint32_t>(record.spent.size()));
  for (const auto& [grant, sender] : record.spent) {
    to.U32(static_cast<uint32_t>(grant));
    to.U32(sender);
    to.U64(state.grants.at(grant).spent.at(sender));
  }
}

absl::Status Replay(ByteView record, SessionState& state) {
  Reader from(record);
  if (from.U8() != kRecordFormat || !ReadTotals(from, state)) return NotAState();
  for (uint32_t n = from.Count(16); n > 0; --n) {
    StreamName name = ReadStream(from);
    StreamState& stream = state.Stream(name);
    IdSet released;
    if (!ReadIds(from, released) || !ReadIds(from, stream.late)) return NotAState();
    for (const auto& [first, last] : released.ranges()) {
      if (last - first >= kMaxRecordIds) return NotAState();
      for (uint64_t id = first; id <= last; ++id) stream.released->Insert(id);
    }
  }
  for (uint32_t n = from.Count(12); n > 0; --n) {
    StreamName name = ReadStream(from);
    if (!ReadIds(from, state.Stream(name).proved)) return NotAState();
  }
  for (uint32_t n = from.Count(24); n > 0; --n) {
    StreamName name = ReadStream(from);
    StreamState& stream = state.Stream(name);
    stream.clock_us = from.U64();
    stream.last_accepted_us = from.U64();
  }
  for (uint32_t n = from.Count(16); n > 0; --n) {
    uint32_t grant = from.U32();
    uint32_t sender = from.U32();
    uint64_t count = from.U64();
    if (grant >= state.grants.size()) return NotAState();
    state.grants[grant].spent[sender] = count;
  }
  StopGrants(state);
  return from.done() ? absl::OkStatus() : NotAState();
}

void Write(const std::set<SessionName>& sessions, Writer& to) {
  to.U8(kListFormat);
  to.U32(static_cast<uint32_t>(sessions.size()));
  for (const SessionName& name : sessions) {
    to.Raw(name.provider);
    to.Raw(name.session_id);
  }
}

absl::StatusOr<std::set<SessionName>> ParseSessions(ByteView snapshot) {
  Reader from(snapshot);
  std::set<SessionName> sessions;
  if (from.U8() != kListFormat) return NotAState();
  for (uint32_t n = from.Count(48); n > 0; --n) {
    SessionName name;
    ReadArray(from, name.provider);
    ReadArray(from, name.session_id);
    sessions.insert(name);
  }
  if (!from.done()) return NotAState();
  return sessions;
}

bool StopGrants(SessionState& state) {
  if (state.stop_issue_time_us == 0) return false;
  bool changed = false;
  for (Grant& grant : state.grants) {
    if (grant.stopped || grant.voucher_issue_time_us > state.stop_issue_time_us) continue;
    grant.stopped = true;
    changed = true;
  }
  return changed;
}

}  // namespace nark::securespace
