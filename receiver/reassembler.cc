#include "receiver/reassembler.h"

#include <algorithm>
#include <list>
#include <map>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/fec/coder.h"
#include "common/wire/datagram.h"
#include "receiver/assembly.h"
#include "receiver/header_gate.h"

namespace nark::receiver {
namespace {

// What keeping an ADU or a datagram takes besides its bytes.
constexpr size_t kEntryOverhead = 512;
constexpr size_t kPieceOverhead = 96;

using AduKey = std::pair<uint32_t, uint64_t>;  // sender, ADU

// A datagram that cannot be judged yet.
struct Piece {
  wire::DatagramKind kind;
  uint32_t index;
};
uint64_t PlaceOf(wire::DatagramKind kind, uint32_t index) {
  return uint64_t{static_cast<uint8_t>(kind)} << 32 | index;
}
// What a datagram is that comes, or waited, for an ADU which is done with.
Drop After(Drop afterwards, wire::DatagramKind kind) {
  const bool spare = afterwards == Drop::kDuplicate && kind == wire::DatagramKind::kParity;
  return spare ? Drop::kParity : afterwards;
}
Piece PieceOf(uint64_t place) {
  return {static_cast<wire::DatagramKind>(place >> 32), static_cast<uint32_t>(place)};
}

enum Stage : uint8_t { kWaiting, kAssembling, kDone };
constexpr size_t kStages = 3;

struct Entry {
  AduKey key;
  Stage stage = kWaiting;
  Timestamp since;  // of the first datagram, later of the last that was proven
  // Candidates by place, in the order they came.
  absl::flat_hash_map<uint64_t, std::vector<Bytes>> pieces;
  size_t piece_bytes = 0;  // with overhead
  std::unique_ptr<Assembly> assembly;
  size_t assembly_bytes = 0;
  Drop afterwards = Drop::kDuplicate;  // what later datagrams are
};
using Entries = std::list<Entry>;

}  // namespace

class Reassembler::Core {
 public:
  Core(const VerifiedSession& session, uint32_t sub_session, const ReassemblerOptions& options)
      : session_(session),
        options_(options),
        gate_(session, sub_session, options.bad_headers_per_second) {}

  void OnDatagram(ByteView datagram, Timestamp now, std::vector<CompleteAdu>& complete);
  void SetFloor(uint32_t sender_id, uint64_t floor);
  void Expire(Timestamp now);
  std::optional<Timestamp> NextDeadline() const;

  const ReassemblerStatistics& statistics() const { return statistics_; }
  size_t waiting_bytes() const { return waiting_bytes_; }
  size_t assembly_bytes() const { return assembly_bytes_; }
  size_t unfinished() const { return stages_[kAssembling].size(); }
  uint64_t signatures_checked() const { return gate_.signatures_checked(); }

 private:
  std::optional<Drop> DropOf(const wire::ParsedDatagram& parsed);
  void OnHeader(const wire::Prefix& prefix, ByteView signed_header, Timestamp now);
  void OnWhole(const wire::Prefix& prefix, ByteView payload, Timestamp now);
  void OnPiece(const wire::Prefix& prefix, ByteView payload, Timestamp now);
  Entries::iterator Find(const AduKey& key);  // end of stages_[kDone] where there is none
  Entries::iterator NotFound() { return stages_[kDone].end(); }
  // The header has verified: keeps what proves right of what waited. NotFound
  // where there is no room.
  // Whether it is wanted; one that is not is done with from now on.
  bool Wants(const AduKey& key, const wire::Header& header);
  Entries::iterator BeginAssembly(const wire::Prefix& prefix, const wire::ParsedHeader& parsed,
                                  ByteView signed_header, Timestamp now);
  Entries::iterator FindOrMake(const AduKey& key);
  bool MakeRoomForAssembly(size_t bytes);
  void Keep(Entries::iterator entry, uint64_t place, ByteView payload);
  bool MakeRoomForPiece(size_t bytes, Entries::iterator keep);

  Assembly::Taken Try(Entry& entry, const Piece& piece, ByteView payload, Timestamp now);
  void Account(Assembly::Taken taken);
  void Retry(Entries::iterator entry, uint64_t place, Timestamp now);
  void RetryPages(Entries::iterator entry, Timestamp now);
  void RetryFragments(Entries::iterator entry, Assembly::Range range, Timestamp now);
  void Finish(Entries::iterator entry, std::vector<CompleteAdu>& complete);

  void DropPieces(Entry& entry, Drop why);
  void FreeAssembly(Entry& entry);
  void MoveTo(Entries::iterator entry, Stage stage);
  void GiveUp(Entries::iterator entry, Drop pieces);
  void Erase(Entries::iterator entry, Drop pieces);
  void Count(Drop why) { ++statistics_.drops[static_cast<size_t>(why)]; }

  const VerifiedSession& session_;
  const ReassemblerOptions options_;
  HeaderGate gate_;
  fec::Coder coder_;
  absl::flat_hash_map<AduKey, Entries::iterator> index_;
  // Waiting: by age. Assembling: by the last progress. Done: by age.
  std::array<Entries, kStages> stages_;
  absl::flat_hash_map<uint32_t, uint64_t> floors_;
  size_t waiting_bytes_ = 0;
  size_t assembly_bytes_ = 0;
  ReassemblerStatistics statistics_;
};

void Reassembler::Core::OnDatagram(ByteView datagram, Timestamp now,
                                   std::vector<CompleteAdu>& complete) {
  ++statistics_.datagrams;
  statistics_.bytes += datagram.size();
  const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
  if (auto drop = DropOf(parsed)) return Count(*drop);

  const wire::Prefix& prefix = parsed.prefix;
  const AduKey key{prefix.sender_id, prefix.adu_id};
  if (auto entry = Find(key); entry != NotFound() && entry->stage == kDone) {
    return Count(After(entry->afterwards, prefix.kind));
  }
  auto floor = floors_.find(prefix.sender_id);
  if (floor != floors_.end() && prefix.adu_id < floor->second) return Count(Drop::kBehind);
  switch (prefix.kind) {
    case wire::DatagramKind::kHeader:
      OnHeader(prefix, parsed.payload, now);
      break;
    case wire::DatagramKind::kWhole:
      OnWhole(prefix, parsed.payload, now);
      break;
    case wire::DatagramKind::kSource:
    case wire::DatagramKind::kParity:
    case wire::DatagramKind::kHashes:
      OnPiece(prefix, parsed.payload, now);
      break;
  }
  auto entry = Find(key);
  if (entry != NotFound() && entry->stage == kAssembling && entry->assembly->complete()) {
    Finish(entry, complete);
  }
}

std::optional<Drop> Reassembler::Core::DropOf(const wire::ParsedDatagram& parsed) {
  switch (parsed.drop) {
    case wire::Drop::kNone:
      break;
    case wire::Drop::kShort:
      return Drop::kShort;
    case wire::Drop::kMagic:
      return Drop::kMagic;
    case wire::Drop::kVersion:
      return Drop::kVersion;
    case wire::Drop::kKind:
      return Drop::kKind;
    case wire::Drop::kSession:
      return Drop::kSession;
  }
  if (parsed.prefix.session_tag != gate_.session_tag()) return Drop::kSession;
  if (session_.FindSender(parsed.prefix.sender_id) == nullptr) return Drop::kSender;
  return std::nullopt;
}

void Reassembler::Core::OnHeader(const wire::Prefix& prefix, ByteView signed_header,
                                 Timestamp now) {
  auto entry = Find({prefix.sender_id, prefix.adu_id});
  if (entry != NotFound() && entry->stage == kAssembling) return Count(Drop::kDuplicate);
  wire::ParsedHeader parsed;
  if (auto drop = gate_.Judge(prefix, signed_header, now, parsed)) return Count(*drop);
  if (!Wants({prefix.sender_id, prefix.adu_id}, parsed.header)) return Count(Drop::kRange);
  if (BeginAssembly(prefix, parsed, signed_header, now) == NotFound()) return Count(Drop::kMemory);
  ++statistics_.used;
}

void Reassembler::Core::OnWhole(const wire::Prefix& prefix, ByteView payload, Timestamp now) {
  auto whole = wire::ParseWhole(payload);
  if (!whole.ok()) return Count(Drop::kHeaderMalformed);
  auto entry = Find({prefix.sender_id, prefix.adu_id});
  if (entry == NotFound() || entry->stage == kWaiting) {
    wire::ParsedHeader parsed;
    if (auto drop = gate_.Judge(prefix, whole->signed_header, now, parsed)) return Count(*drop);
    if (!Wants({prefix.sender_id, prefix.adu_id}, parsed.header)) return Count(Drop::kRange);
    entry = BeginAssembly(prefix, parsed, whole->signed_header, now);
    if (entry == NotFound()) return Count(Drop::kMemory);
  }
  const wire::Header& header = entry->assembly->header();
  if (header.source_fragments != 1 || header.parity_fragments != 0) {
    return Count(Drop::kHeaderMismatch);
  }
  // The genuine header with a forged body: the header stays, the body does not.
  Account(Try(*entry, {wire::DatagramKind::kSource, 0}, whole->ciphertext, now));
}

void Reassembler::Core::OnPiece(const wire::Prefix& prefix, ByteView payload, Timestamp now) {
  const uint64_t place = PlaceOf(prefix.kind, prefix.index);
  const AduKey key{prefix.sender_id, prefix.adu_id};
  auto entry = Find(key);
  if (entry == NotFound()) {
    if (!MakeRoomForPiece(kEntryOverhead + kPieceOverhead + payload.size(), NotFound())) {
      return Count(Drop::kMemory);
    }
    Entries& waiting = stages_[kWaiting];
    entry = waiting.emplace(waiting.end());
    entry->key = key;
    entry->since = now;
    entry->piece_bytes = kEntryOverhead;
    waiting_bytes_ += kEntryOverhead;
    index_[key] = entry;
  }
  if (entry->stage == kWaiting) return Keep(entry, place, payload);
  const Assembly::Taken taken = Try(*entry, PieceOf(place), payload, now);
  if (taken == Assembly::Taken::kUnknownYet) return Keep(entry, place, payload);
  Account(taken);
  if (taken != Assembly::Taken::kUsed) return;
  stages_[kAssembling].splice(stages_[kAssembling].end(), stages_[kAssembling], entry);
  if (prefix.kind != wire::DatagramKind::kHashes) return;
  const Assembly::Range covered = entry->assembly->PageCovers(prefix.index);
  if (covered.first == covered.end) {
    RetryPages(entry, now);
  } else {
    RetryFragments(entry, covered, now);
  }
}

Entries::iterator Reassembler::Core::Find(const AduKey& key) {
  auto found = index_.find(key);
  return found == index_.end() ? NotFound() : found->second;
}

Entries::iterator Reassembler::Core::BeginAssembly(const wire::Prefix& prefix,
                                                   const wire::ParsedHeader& parsed,
                                                   ByteView signed_header, Timestamp now) {
  const size_t bytes = Assembly::MemoryFor(parsed.header, signed_header.size());
  if (!MakeRoomForAssembly(bytes)) return NotFound();
  auto entry = FindOrMake({prefix.sender_id, prefix.adu_id});
  entry->assembly = std::make_unique<Assembly>(parsed, signed_header, coder_);
  entry->assembly_bytes = bytes;
  assembly_bytes_ += bytes;
  entry->since = now;
  MoveTo(entry, kAssembling);
  RetryPages(entry, now);
  return entry;
}

Entries::iterator Reassembler::Core::FindOrMake(const AduKey& key) {
  auto entry = Find(key);
  if (entry != NotFound()) return entry;
  entry = stages_[kWaiting].emplace(stages_[kWaiting].end());
  entry->key = key;
  index_[key] = entry;
  return entry;
}

bool Reassembler::Core::Wants(const AduKey& key, const wire::Header& header) {
  if (!options_.wants || options_.wants(header)) return true;
  auto entry = FindOrMake(key);
  DropPieces(*entry, Drop::kRange);
  entry->afterwards = Drop::kRange;
  MoveTo(entry, kDone);
  return false;
}

// Only ADUs that have verified give way, and only to one that has verified too.
bool Reassembler::Core::MakeRoomForAssembly(size_t bytes) {
  if (bytes > options_.assembly_bytes) return false;
  while (assembly_bytes_ + bytes > options_.assembly_bytes) {
    GiveUp(stages_[kAssembling].begin(), Drop::kMemory);
  }
  return true;
}

void Reassembler::Core::Keep(Entries::iterator entry, uint64_t place, ByteView payload) {
  auto& candidates = entry->pieces[place];
  for (const Bytes& candidate : candidates) {
    if (Equal(candidate, payload)) return Count(Drop::kDuplicate);
  }
  const size_t bytes = payload.size() + kPieceOverhead;
  if (candidates.size() >= options_.candidates || !MakeRoomForPiece(bytes, entry)) {
    if (candidates.empty()) entry->pieces.erase(place);
    return Count(Drop::kMemory);
  }
  candidates.push_back(ToBytes(payload));
  entry->piece_bytes += bytes;
  waiting_bytes_ += bytes;
}

bool Reassembler::Core::MakeRoomForPiece(size_t bytes, Entries::iterator keep) {
  if (bytes > options_.waiting_bytes) return false;
  Entries& waiting = stages_[kWaiting];
  while (waiting_bytes_ + bytes > options_.waiting_bytes) {
    if (waiting.empty() || waiting.begin() == keep) return false;
    Erase(waiting.begin(), Drop::kMemory);
  }
  return true;
}

Assembly::Taken Reassembler::Core::Try(Entry& entry, const Piece& piece, ByteView payload,
                                       Timestamp now) {
  Assembly::Taken taken = Assembly::Taken::kIndex;
  switch (piece.kind) {
    case wire::DatagramKind::kHashes:
      taken = entry.assembly->AddPage(piece.index, payload);
      break;
    case wire::DatagramKind::kParity:
      taken = entry.assembly->AddParity(piece.index, payload);
      break;
    default:
      taken = entry.assembly->AddSource(piece.index, payload);
  }
  if (taken == Assembly::Taken::kUsed) entry.since = now;
  return taken;
}

void Reassembler::Core::Account(Assembly::Taken taken) {
  switch (taken) {
    case Assembly::Taken::kUsed:
      ++statistics_.used;
      break;
    case Assembly::Taken::kForged:
    // An ADU of one fragment has its hash in the header: never unknown.
    case Assembly::Taken::kUnknownYet:
      return Count(Drop::kForged);
    case Assembly::Taken::kIndex:
      return Count(Drop::kIndex);
    case Assembly::Taken::kDuplicate:
      return Count(Drop::kDuplicate);
    case Assembly::Taken::kSpare:
      return Count(Drop::kParity);
  }
}

void Reassembler::Core::Retry(Entries::iterator entry, uint64_t place, Timestamp now) {
  auto found = entry->pieces.find(place);
  if (found == entry->pieces.end()) return;
  std::vector<Bytes>& candidates = found->second;
  size_t kept = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Assembly::Taken taken = Try(*entry, PieceOf(place), candidates[i], now);
    if (taken == Assembly::Taken::kUnknownYet) {
      if (kept != i) candidates[kept] = std::move(candidates[i]);
      ++kept;
      continue;
    }
    entry->piece_bytes -= candidates[i].size() + kPieceOverhead;
    waiting_bytes_ -= candidates[i].size() + kPieceOverhead;
    Account(taken);
  }
  candidates.resize(kept);
  if (candidates.empty()) entry->pieces.erase(found);
}

void Reassembler::Core::RetryPages(Entries::iterator entry, Timestamp now) {
  std::vector<uint64_t> places;
  for (const auto& [place, candidates] : entry->pieces) {
    if (PieceOf(place).kind == wire::DatagramKind::kHashes) places.push_back(place);
  }
  // Higher pages stand above lower ones and make them known.
  std::sort(places.rbegin(), places.rend());
  for (uint64_t place : places) Retry(entry, place, now);
  const wire::Header& header = entry->assembly->header();
  RetryFragments(entry, {0, uint32_t{header.source_fragments} + header.parity_fragments}, now);
}

void Reassembler::Core::RetryFragments(Entries::iterator entry, Assembly::Range range,
                                       Timestamp now) {
  const auto place_of = [source = entry->assembly->header().source_fragments](uint32_t i) {
    return PlaceOf(i < source ? wire::DatagramKind::kSource : wire::DatagramKind::kParity, i);
  };
  // Whichever is less: what waits, or what the range has. The source comes first, for
  // what is there need not be repaired.
  if (range.end - range.first <= entry->pieces.size()) {
    for (uint32_t i = range.first; i < range.end; ++i) Retry(entry, place_of(i), now);
    return;
  }
  std::vector<uint64_t> places;
  for (const auto& [place, candidates] : entry->pieces) {
    const Piece piece = PieceOf(place);
    if (piece.kind != wire::DatagramKind::kHashes && piece.index >= range.first &&
        piece.index < range.end) {
      places.push_back(place);
    }
  }
  std::sort(places.begin(), places.end());
  for (uint64_t place : places) Retry(entry, place, now);
}

void Reassembler::Core::Finish(Entries::iterator entry, std::vector<CompleteAdu>& complete) {
  if (entry->assembly->repaired() > 0) ++statistics_.repaired;
  complete.push_back(entry->assembly->Take());
  ++statistics_.complete;
  DropPieces(*entry, Drop::kDuplicate);
  FreeAssembly(*entry);
  entry->afterwards = Drop::kDuplicate;
  MoveTo(entry, kDone);
}

void Reassembler::Core::DropPieces(Entry& entry, Drop why) {
  for (const auto& [place, candidates] : entry.pieces) {
    const Drop drop = After(why, PieceOf(place).kind);
    statistics_.drops[static_cast<size_t>(drop)] += candidates.size();
  }
  entry.pieces = {};
  waiting_bytes_ -= entry.piece_bytes;
  entry.piece_bytes = 0;
}

void Reassembler::Core::FreeAssembly(Entry& entry) {
  if (entry.assembly == nullptr) return;
  statistics_.repaired_fragments += entry.assembly->repaired();
  if (entry.assembly->parity_is_wrong()) ++statistics_.wrong_parity;
  entry.assembly.reset();
  assembly_bytes_ -= entry.assembly_bytes;
  entry.assembly_bytes = 0;
}

void Reassembler::Core::MoveTo(Entries::iterator entry, Stage stage) {
  stages_[stage].splice(stages_[stage].end(), stages_[entry->stage], entry);
  entry->stage = stage;
  Entries& done = stages_[kDone];
  while (done.size() > options_.remembered) Erase(done.begin(), Drop::kDuplicate);
}

void Reassembler::Core::GiveUp(Entries::iterator entry, Drop pieces) {
  ++statistics_.incomplete;
  DropPieces(*entry, pieces);
  FreeAssembly(*entry);
  entry->afterwards = Drop::kGivenUp;
  MoveTo(entry, kDone);
}

void Reassembler::Core::Erase(Entries::iterator entry, Drop pieces) {
  if (entry->stage == kAssembling) ++statistics_.incomplete;
  DropPieces(*entry, pieces);
  FreeAssembly(*entry);
  index_.erase(entry->key);
  stages_[entry->stage].erase(entry);
}

void Reassembler::Core::SetFloor(uint32_t sender_id, uint64_t floor) {
  uint64_t& current = floors_[sender_id];
  if (floor <= current) return;
  const uint64_t from = std::exchange(current, floor);
  // What is done stays, so that its duplicates keep their name.
  if (floor - from <= stages_[kWaiting].size() + stages_[kAssembling].size()) {
    for (uint64_t id = from; id < floor; ++id) {
      auto entry = Find({sender_id, id});
      if (entry != NotFound() && entry->stage != kDone) Erase(entry, Drop::kBehind);
    }
    return;
  }
  for (Stage stage : {kWaiting, kAssembling}) {
    for (auto entry = stages_[stage].begin(); entry != stages_[stage].end();) {
      auto next = std::next(entry);
      if (entry->key.first == sender_id && entry->key.second < floor) Erase(entry, Drop::kBehind);
      entry = next;
    }
  }
}

void Reassembler::Core::Expire(Timestamp now) {
  Entries& waiting = stages_[kWaiting];
  while (!waiting.empty() && now - waiting.front().since >= options_.patience) {
    Erase(waiting.begin(), Drop::kUnverified);
  }
  Entries& assembling = stages_[kAssembling];
  while (!assembling.empty() && now - assembling.front().since >= options_.patience) {
    GiveUp(assembling.begin(), Drop::kUnverified);
  }
}

std::optional<Timestamp> Reassembler::Core::NextDeadline() const {
  std::optional<Timestamp> next;
  for (Stage stage : {kWaiting, kAssembling}) {
    if (stages_[stage].empty()) continue;
    const Timestamp at = stages_[stage].front().since + options_.patience;
    if (!next || at < *next) next = at;
  }
  return next;
}

ReassemblerStatistics& ReassemblerStatistics::operator+=(const ReassemblerStatistics& other) {
  datagrams += other.datagrams;
  bytes += other.bytes;
  used += other.used;
  for (size_t i = 0; i < kDrops; ++i) drops[i] += other.drops[i];
  complete += other.complete;
  incomplete += other.incomplete;
  repaired += other.repaired;
  repaired_fragments += other.repaired_fragments;
  wrong_parity += other.wrong_parity;
  return *this;
}

Reassembler::Reassembler(const VerifiedSession& session, uint32_t sub_session,
                         const ReassemblerOptions& options)
    : core_(std::make_unique<Core>(session, sub_session, options)) {}
Reassembler::~Reassembler() = default;

void Reassembler::OnDatagram(ByteView datagram, Timestamp now, std::vector<CompleteAdu>& complete) {
  core_->OnDatagram(datagram, now, complete);
}
void Reassembler::SetFloor(uint32_t sender_id, uint64_t floor) {
  core_->SetFloor(sender_id, floor);
}
void Reassembler::Expire(Timestamp now) { core_->Expire(now); }
std::optional<Timestamp> Reassembler::NextDeadline() const { return core_->NextDeadline(); }
const ReassemblerStatistics& Reassembler::statistics() const { return core_->statistics(); }
size_t Reassembler::waiting_bytes() const { return core_->waiting_bytes(); }
size_t Reassembler::assembly_bytes() const { return core_->assembly_bytes(); }
size_t Reassembler::unfinished() const { return core_->unfinished(); }
uint64_t Reassembler::signatures_checked() const { return core_->signatures_checked(); }

}  // namespace nark::receiver
