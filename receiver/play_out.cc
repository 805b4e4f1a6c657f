#include "receiver/play_out.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/control_block.h"

namespace nark::receiver {
namespace {

// What one call of the secure space takes (secure_space.proto).
constexpr size_t kMostHeaders = 1024;
constexpr size_t kMostAdus = 64;
// And what one message of ciphertexts should not exceed, unless by a single ADU.
constexpr size_t kMostCiphertextBytes = 16 << 20;

size_t MemoryOf(const CompleteAdu& adu) {
  return adu.ciphertext.size() + 2 * adu.signed_header.size() + sizeof(CompleteAdu);
}

}  // namespace

std::string ReasonName(v1::RefusalReason reason) {
  std::string name = v1::RefusalReason_Name(reason);
  constexpr std::string_view kPrefix = "REFUSAL_REASON_";
  if (name.compare(0, kPrefix.size(), kPrefix) == 0) return name.substr(kPrefix.size());
  return name.empty() ? absl::StrCat("REASON_", static_cast<int>(reason)) : name;
}

std::map<v1::RefusalReason, uint64_t> PlayOutStatistics::refusals() const {
  std::map<v1::RefusalReason, uint64_t> all = refused;
  for (const auto& [reason, count] : put_off) all[reason] += count;
  return all;
}

PlayOutStatistics& PlayOutStatistics::operator+=(const PlayOutStatistics& other) {
  received += other.received;
  delivered += other.delivered;
  delivered_bytes += other.delivered_bytes;
  missing += other.missing;
  behind += other.behind;
  repeated += other.repeated;
  crowded_out += other.crowded_out;
  damaged += other.damaged;
  for (const auto& [reason, count] : other.refused) refused[reason] += count;
  for (const auto& [reason, count] : other.put_off) put_off[reason] += count;
  for (const auto& [stream, count] : other.delivered_of) delivered_of[stream] += count;
  return *this;
}

absl::StatusOr<std::unique_ptr<PlayOut>> PlayOut::Create(const VerifiedSession& session,
                                                         uint32_t sub_session,
                                                         securespace::SecureSpace& secure_space,
                                                         PlaintextSink& sink,
                                                         const PlayOutOptions& options) {
  return Complete(
      std::unique_ptr<PlayOut>(new PlayOut(session, sub_session, &secure_space, sink, options)));
}

absl::StatusOr<std::unique_ptr<PlayOut>> PlayOut::CreatePreview(const VerifiedSession& session,
                                                                uint32_t sub_session,
                                                                PlaintextSink& sink,
                                                                const PlayOutOptions& options) {
  return Complete(
      std::unique_ptr<PlayOut>(new PlayOut(session, sub_session, nullptr, sink, options)));
}

absl::StatusOr<std::unique_ptr<PlayOut>> PlayOut::Complete(std::unique_ptr<PlayOut> play_out) {
  const std::string& id = play_out->session_.terms().cipher();
  auto suite = wire::FindCipher(id);
  if (!suite.ok()) {
    return absl::UnimplementedError(
        absl::StrCat("the session's cipher '", id, "' is not built in"));
  }
  play_out->suite_ = *suite;
  if (!(*suite)->properties().marks) {
    ASSIGN_OR_RETURN(play_out->cipher_, (*suite)->Create());
  }
  return play_out;
}

absl::Status PlayOut::SetBlock(std::shared_ptr<const ChameleonBlock> block) {
  if (!suite_->properties().marks || block == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(cipher_, suite_->Create(std::move(block)));
  return absl::OkStatus();
}

PlayOut::PlayOut(const VerifiedSession& session, uint32_t sub_session,
                 securespace::SecureSpace* secure_space, PlaintextSink& sink,
                 const PlayOutOptions& options)
    : session_(session),
      sub_session_(sub_session),
      secure_space_(secure_space),
      way_(secure_space == nullptr                                        ? Way::kPreview
           : session.terms().release_mode() == v1::RELEASE_MODE_PLAINTEXT ? Way::kByCard
                                                                          : Way::kByKey),
      sink_(sink),
      options_(options),
      context_(SessionContext(session.name(), sub_session)),
      demands_digest_(way_ != Way::kPreview && DemandsDigest(session.terms(), sub_session)) {}

PlayOut::~PlayOut() = default;

void PlayOut::Add(CompleteAdu adu, Timestamp now) {
  ++statistics_.received;
  Sender& sender = senders_[adu.header.sender_id];
  const uint64_t id = adu.header.adu_id;
  if (sender.next && id < *sender.next) {
    ++statistics_.behind;
    return;
  }
  const size_t bytes = MemoryOf(adu);
  if (!sender.queue.try_emplace(id, std::move(adu)).second) {
    ++statistics_.repeated;
    return;
  }
  queue_bytes_ += bytes;
  sender.dues.push_back({now + options_.delay, id});
}

std::optional<Timestamp> PlayOut::TurnOf(const Sender& sender) {
  if (sender.queue.empty()) return std::nullopt;
  // Nothing can be missing before the first id of all.
  if (sender.queue.begin()->first == sender.next.value_or(0)) return Timestamp::min();
  return sender.dues.front().at;
}

std::optional<uint64_t> PlayOut::DueUpTo(const Sender& sender, Timestamp now) {
  const std::optional<Timestamp> turn = TurnOf(sender);
  if (!turn || *turn > now) return std::nullopt;
  if (*turn == Timestamp::min()) return sender.queue.begin()->first;
  return sender.dues.front().adu_id;
}

void PlayOut::TakeFirst(Sender& sender, std::vector<CompleteAdu>& to) {
  auto first = sender.queue.begin();
  const uint64_t id = first->first;
  if (sender.next) statistics_.missing += id - *sender.next;
  sender.next = id + 1;
  queue_bytes_ -= MemoryOf(first->second);
  // Its output may have failed since it came.
  if (sink_.Wants(sub_session_, first->second.header.sender_id)) {
    to.push_back(std::move(first->second));
  } else {
    ++statistics_.crowded_out;
  }
  sender.queue.erase(first);
  while (!sender.dues.empty() && sender.dues.front().adu_id <= id) sender.dues.pop_front();
}

void PlayOut::TakeDue(Timestamp now, std::vector<CompleteAdu>& to) {
  for (auto& [id, sender] : senders_) {
    while (auto last = DueUpTo(sender, now)) {
      while (!sender.queue.empty() && sender.queue.begin()->first <= *last) TakeFirst(sender, to);
    }
  }
  // What is beyond the limit is not waited for, in order of age.
  while (queue_bytes_ > options_.queue_bytes) TakeFirst(*Longest(), to);
}

PlayOut::Sender* PlayOut::Longest() {
  Sender* longest = nullptr;
  for (auto& [id, sender] : senders_) {
    if (sender.queue.empty()) continue;
    if (longest == nullptr || sender.dues.front().at < longest->dues.front().at) longest = &sender;
  }
  return longest;
}

absl::Status PlayOut::Run(Timestamp now) {
  RETURN_IF_ERROR(broken_);
  std::vector<CompleteAdu> due = std::exchange(kept_, {});
  TakeDue(now, due);
  return Play(due, now);
}

absl::Status PlayOut::Flush(Timestamp now) {
  RETURN_IF_ERROR(broken_);
  std::vector<CompleteAdu> rest = std::exchange(kept_, {});
  for (auto& [id, sender] : senders_) {
    while (!sender.queue.empty()) TakeFirst(sender, rest);
  }
  return Play(rest, now);
}

void PlayOut::Trim() {
  std::vector<CompleteAdu> given_up;
  while (queue_bytes_ > options_.queue_bytes) TakeFirst(*Longest(), given_up);
  statistics_.crowded_out += given_up.size();
}

std::optional<Timestamp> PlayOut::NextDeadline() const {
  std::optional<Timestamp> next;
  for (const auto& [id, sender] : senders_) {
    const std::optional<Timestamp> turn = TurnOf(sender);
    if (turn && (!next || *turn < *next)) next = turn;
  }
  return next;
}

uint64_t PlayOut::floor(uint32_t sender_id) const {
  auto found = senders_.find(sender_id);
  return found == senders_.end() ? 0 : found->second.next.value_or(0);
}

std::vector<uint32_t> PlayOut::senders() const {
  std::vector<uint32_t> ids;
  for (const auto& [id, sender] : senders_) ids.push_back(id);
  return ids;
}

size_t PlayOut::FitOneCall(std::span<const CompleteAdu> adus) const {
  if (demands_digest_) return 1;
  const bool by_card = way_ == Way::kByCard;
  const size_t most = std::min(adus.size(), by_card ? kMostAdus : kMostHeaders);
  size_t bytes = adus[0].ciphertext.size();
  uint64_t deadline_us = UINT64_MAX;
  for (size_t count = 1; count < most; ++count) {
    const wire::Header& before = adus[count - 1].header;
    if (before.deadline_us != 0) deadline_us = std::min(deadline_us, before.deadline_us);
    // One that is refused moves the clock all the same: those to be asked for again must not
    // be late by then.
    if (lapsed_ == Lapsed::kKeep && adus[count].header.signed_time_us > deadline_us) return count;
    bytes += adus[count].ciphertext.size();
    if (by_card && bytes > kMostCiphertextBytes) return count;
  }
  return most;
}

void PlayOut::OnRefused(CompleteAdu& adu, v1::RefusalReason reason) {
  if (lapsed_ == Lapsed::kRefuse || !WantsNewerGrant(reason)) {
    ++statistics_.refused[reason];
    return;
  }
  ++statistics_.put_off[reason];
  kept_.push_back(std::move(adu));
}

absl::Status PlayOut::Play(std::span<CompleteAdu> adus, Timestamp now) {
  while (!adus.empty()) {
    const size_t count = FitOneCall(adus);
    const auto batch = adus.first(count);
    // After an error it is in doubt what was released: nothing more is asked.
    switch (way_) {
      case Way::kByKey:
        broken_ = PlayByKey(batch, now);
        break;
      case Way::kByCard:
        broken_ = PlayByCard(batch, now);
        break;
      case Way::kPreview:
        broken_ = PlayPreview(batch, now);
        break;
    }
    RETURN_IF_ERROR(broken_);
    adus = adus.subspan(count);
    if (kept_.empty()) continue;
    std::move(adus.begin(), adus.end(), std::back_inserter(kept_));
    break;
  }
  if (!digests_.empty()) broken_ = GiveDigests();
  return broken_;
}

// The last one waits for no other ADU: the note is to be complete at any time.
absl::Status PlayOut::GiveDigests() {
  std::vector<securespace::DigestClaim> digests = std::exchange(digests_, {});
  if (way_ == Way::kByCard) {
    return secure_space_->OpenAdus({session_.name(), sub_session_, {}, std::move(digests)})
        .status();
  }
  return secure_space_->ReleaseKeys({session_.name(), sub_session_, {}, std::move(digests)})
      .status();
}

absl::Status PlayOut::PlayByKey(std::span<CompleteAdu> adus, Timestamp now) {
  // Before any key is asked for: it would be paid for.
  if (cipher_ == nullptr) {
    return absl::FailedPreconditionError("the session has an audit trail, and no marked block");
  }
  securespace::ReleaseRequest request{
      session_.name(), sub_session_, {}, std::exchange(digests_, {})};
  request.headers.reserve(adus.size());
  for (const CompleteAdu& adu : adus) request.headers.push_back(adu.signed_header);
  ASSIGN_OR_RETURN(std::vector<securespace::KeyDecision> decisions,
                   secure_space_->ReleaseKeys(request));
  if (decisions.size() != adus.size()) {
    return absl::InternalError("the secure space answered fewer or more headers than were asked");
  }
  for (size_t i = 0; i < adus.size(); ++i) {
    if (decisions[i].refusal != v1::REFUSAL_REASON_UNSPECIFIED) {
      OnRefused(adus[i], decisions[i].refusal);
      continue;
    }
    const wire::Header& header = adus[i].header;
    const MutableByteView plaintext = Room(header);
    if (!cipher_->Open(decisions[i].data_key, header.clear_map, adus[i].ciphertext, plaintext)
             .ok()) {
      ++statistics_.damaged;
      continue;
    }
    RETURN_IF_ERROR(Write(adus[i], plaintext, now));
  }
  return absl::OkStatus();
}

absl::Status PlayOut::PlayByCard(std::span<CompleteAdu> adus, Timestamp now) {
  securespace::OpenRequest request{session_.name(), sub_session_, {}, std::exchange(digests_, {})};
  request.adus.reserve(adus.size());
  for (const CompleteAdu& adu : adus) request.adus.push_back({adu.signed_header, adu.ciphertext});
  ASSIGN_OR_RETURN(std::vector<securespace::OpenDecision> decisions,
                   secure_space_->OpenAdus(request));
  if (decisions.size() != adus.size()) {
    return absl::InternalError("the secure space answered fewer or more ADUs than were asked");
  }
  for (size_t i = 0; i < adus.size(); ++i) {
    if (decisions[i].refusal != v1::REFUSAL_REASON_UNSPECIFIED) {
      OnRefused(adus[i], decisions[i].refusal);
      continue;
    }
    RETURN_IF_ERROR(Write(adus[i], decisions[i].plaintext, now));
  }
  return absl::OkStatus();
}

absl::Status PlayOut::PlayPreview(std::span<const CompleteAdu> adus, Timestamp now) {
  for (const CompleteAdu& adu : adus) {
    const MutableByteView seen = Room(adu.header);
    std::copy_n(adu.ciphertext.begin(), seen.size(), seen.begin());
    if (!wire::MaskEncrypted(adu.header.clear_map, seen).ok()) {
      ++statistics_.damaged;
      continue;
    }
    RETURN_IF_ERROR(Write(adu, seen, now));
  }
  return absl::OkStatus();
}

MutableByteView PlayOut::Room(const wire::Header& header) {
  if (plaintext_.size() < header.plaintext_bytes) plaintext_.resize(header.plaintext_bytes);
  return {plaintext_.data(), header.plaintext_bytes};
}

absl::Status PlayOut::Write(const CompleteAdu& adu, ByteView plaintext, Timestamp now) {
  if (demands_digest_) {
    digests_.push_back({adu.header.sender_id, adu.header.adu_id,
                        wire::AduDigest(context_, adu.header, plaintext)});
  }
  RETURN_IF_ERROR(sink_.Write(
      {sub_session_, adu.header.sender_id, adu.header.adu_id, adu.header.random_access, plaintext},
      now));
  ++statistics_.delivered;
  ++statistics_.delivered_of[{sub_session_, adu.header.sender_id}];
  statistics_.delivered_bytes += plaintext.size();
  return absl::OkStatus();
}

}  // namespace nark::receiver
