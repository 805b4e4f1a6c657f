#include "sender/order_book.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/object/envelope.h"
#include "common/wire/control_block.h"
#include "nark/v1/file.pb.h"

namespace nark::sender {
namespace {

// action, number, size of the target.
constexpr size_t kEntryBytes = 1 + 8 + 1;

absl::Status Refused(std::string_view reason, std::string_view message) {
  return Refusal(absl::StatusCode::kFailedPrecondition, reason, message);
}

// The slot that holds orders of this kind.
std::optional<VerifiedControlOrder>& SlotOf(v1::ControlAction action, auto& orders) {
  if (action == v1::CONTROL_ACTION_STOP) return orders.stop;
  if (action == v1::CONTROL_ACTION_CONTACT) return orders.contact;
  return orders.withdrawal;
}

// 0 where there is none.
uint64_t TimeOf(const std::optional<VerifiedControlOrder>& order) {
  return order ? order->issue_time_us : 0;
}

size_t CountOf(const auto& book) {
  size_t count = 0;
  for (const auto& [target, orders] : book) {
    for (const auto* slot : {&orders.stop, &orders.contact, &orders.withdrawal}) {
      count += slot->has_value() ? 1 : 0;
    }
  }
  return count;
}

std::string ChecksumOf(const v1::ControlOrdersFile& without) {
  return ToText(Sha256(AsBytes(Serialise(without))));
}

// Makes room: a withdrawal that nobody remembers is only worth less against replays,
// which must come from the provider's control role to begin with.
void ForgetOldestWithdrawal(auto& book) {
  auto oldest = book.end();
  for (auto it = book.begin(); it != book.end(); ++it) {
    if (!it->second.withdrawal) continue;
    if (oldest == book.end() || TimeOf(it->second.withdrawal) < TimeOf(oldest->second.withdrawal)) {
      oldest = it;
    }
  }
  if (oldest == book.end()) return;
  oldest->second.withdrawal.reset();
  if (!oldest->second.stop && !oldest->second.contact) book.erase(oldest);
}

}  // namespace

absl::StatusOr<std::unique_ptr<OrderBook>> OrderBook::Open(const Parts& parts) {
  std::unique_ptr<OrderBook> made(new OrderBook(parts));
  const absl::StatusOr<Bytes> file = parts.storage.Read(parts.name);
  if (absl::IsNotFound(file.status())) return made;
  RETURN_IF_ERROR(file.status());
  const auto damaged = [&parts](const absl::Status& why) {
    return absl::DataLossError(absl::StrCat(parts.name, ": ", why.message(),
                                            "; restore it, or move it away and expel again"));
  };
  v1::ControlOrdersFile kept;
  if (absl::Status parsed = ParseStrictly(*file, "the file of orders", kept); !parsed.ok()) {
    return damaged(parsed);
  }
  const std::string checksum = kept.checksum();
  kept.clear_checksum();
  if (checksum != ChecksumOf(kept)) {
    return damaged(absl::InvalidArgumentError("its checksum is wrong"));
  }
  absl::MutexLock lock(&made->writing_);
  for (const v1::SignedEnvelope& envelope : kept.orders()) {
    // Its signer's certificate may have expired since.
    auto order = VerifyControlOrder(envelope, parts.session, std::nullopt);
    if (!order.ok()) return damaged(order.status());
    auto& slot = SlotOf(order->action, made->book_[order->target]);
    if (slot) return damaged(absl::InvalidArgumentError("two orders of a kind about one target"));
    slot = *std::move(order);
  }
  made->GoOnAir();
  return made;
}

absl::Status OrderBook::CheckMayControl() const {
  const VerifiedSession::Sender* sender = parts_.session.FindSender(parts_.sender_id);
  if (sender != nullptr && sender->may_control) return absl::OkStatus();
  return Refused("SENDER_MAY_NOT_CONTROL",
                 "no secure space would obey: this sender's certificate does not let it control");
}

absl::StatusOr<VerifiedControlOrder> OrderBook::Verify(const v1::SignedEnvelope& envelope,
                                                       Timestamp now) const {
  RETURN_IF_ERROR(CheckMayControl());
  ASSIGN_OR_RETURN(VerifiedControlOrder order, VerifyControlOrder(envelope, parts_.session, now));
  if (FromMicros(order.issue_time_us) > now + kMostAhead) {
    return Refused("ORDER_TIME", "the order was issued in the future; set the clocks right");
  }
  return order;
}

absl::StatusOr<uint32_t> OrderBook::Expel(const v1::SignedEnvelope& envelope, Timestamp now) {
  ASSIGN_OR_RETURN(VerifiedControlOrder order, Verify(envelope, now));
  if (order.action == v1::CONTROL_ACTION_WITHDRAW) {
    return Refusal(absl::StatusCode::kInvalidArgument, "ORDER_MALFORMED",
                   "a withdrawal is no order to put on the air; use Readmit");
  }
  absl::MutexLock lock(&writing_);
  Book book = book_;
  Orders& orders = book[order.target];
  if (TimeOf(orders.withdrawal) >= order.issue_time_us) {
    return Refused("ORDER_WITHDRAWN",
                   "a later order withdrew it; issue a new one, and set the clocks right");
  }
  if (order.action == v1::CONTROL_ACTION_CONTACT && TimeOf(orders.contact) != order.issue_time_us) {
    // A secure space remembers the highest number only, whomever it was about, and what
    // was withdrawn may have been heard before.
    for (const auto& [target, others] : book_) {
      if (std::max(TimeOf(others.contact), TimeOf(others.withdrawal)) < order.issue_time_us) {
        continue;
      }
      return Refused(
          "ORDER_OUT_OF_SEQUENCE",
          "a later order to contact was given; issue a new one, and set the clocks right");
    }
  }
  auto& slot = SlotOf(order.action, orders);
  if (TimeOf(slot) < order.issue_time_us) {
    if (FromMicros(order.issue_time_us) + kMostBehind < now) {
      return Refused("ORDER_TIME",
                     "the order is old: what was sold since would play on; set the clocks right");
    }
    slot = std::move(order);
    if (CountOf(book) > kMostOrders) ForgetOldestWithdrawal(book);
    if (CountOf(book) > kMostOrders) {
      return Refusal(absl::StatusCode::kResourceExhausted, "ORDERS_FULL",
                     absl::StrCat("this sender takes ", kMostOrders,
                                  " orders; readmit some, or use groups and the deny list"));
    }
    RETURN_IF_ERROR(Keep(std::move(book)));
  }
  return active();
}

absl::StatusOr<uint32_t> OrderBook::Readmit(const v1::SignedEnvelope& envelope, Timestamp now) {
  ASSIGN_OR_RETURN(VerifiedControlOrder order, Verify(envelope, now));
  if (order.action != v1::CONTROL_ACTION_WITHDRAW) {
    return Refusal(absl::StatusCode::kInvalidArgument, "ORDER_MALFORMED",
                   "only a withdrawal readmits");
  }
  absl::MutexLock lock(&writing_);
  Book book = book_;
  Orders& orders = book[order.target];
  if (TimeOf(orders.withdrawal) >= order.issue_time_us) return active();
  if (std::max(TimeOf(orders.stop), TimeOf(orders.contact)) > order.issue_time_us) {
    return Refused("ORDER_TIME",
                   "an order about this target is later than its withdrawal; set the clocks right");
  }
  if (!orders.stop && !orders.contact) {
    // Maybe an answer was lost.
    if (orders.withdrawal) return active();
    return Refusal(absl::StatusCode::kNotFound, "ORDER_NOT_FOUND",
                   "no order about this target is on the air");
  }
  orders.stop.reset();
  orders.contact.reset();
  orders.withdrawal = std::move(order);
  RETURN_IF_ERROR(Keep(std::move(book)));
  return active();
}

uint32_t OrderBook::active() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<uint32_t>(on_air_.size());
}

absl::Status OrderBook::Keep(Book book) {
  v1::ControlOrdersFile file;
  for (const auto& [target, orders] : book) {
    for (const auto* slot : {&orders.stop, &orders.contact, &orders.withdrawal}) {
      if (*slot) *file.add_orders() = (*slot)->envelope;
    }
  }
  file.set_checksum(ChecksumOf(file));
  RETURN_IF_ERROR(parts_.storage.Replace(parts_.name, AsBytes(Serialise(file))));
  book_ = std::move(book);
  GoOnAir();
  return absl::OkStatus();
}

void OrderBook::GoOnAir() {
  std::vector<wire::ControlEntry> on_air;
  for (const auto& [target, orders] : book_) {
    if (orders.stop) on_air.push_back({wire::kControlStop, orders.stop->issue_time_us, target});
    if (orders.contact) {
      on_air.push_back({wire::kControlContact, orders.contact->issue_time_us, target});
    }
  }
  size_t largest = 0;
  for (const wire::ControlEntry& entry : on_air) largest = std::max(largest, entry.target.size());
  const auto key = [](const wire::ControlEntry& entry) {
    return std::tuple(entry.action, entry.number, entry.target);
  };
  absl::MutexLock lock(&mutex_);
  // The round goes on: else orders that come often would keep it from ever ending.
  std::set<std::tuple<uint8_t, uint64_t, Bytes>> named;
  if (!round_.empty()) {
    for (const wire::ControlEntry& entry : on_air_) named.insert(key(entry));
    for (const uint32_t left : round_) named.erase(key(on_air_[left]));
  }
  round_.clear();
  for (uint32_t i = 0; i < on_air.size(); ++i) {
    if (!named.contains(key(on_air[i]))) round_.push_back(i);
  }
  on_air_ = std::move(on_air);
  largest_ = largest;
}

uint32_t OrderBook::RoundAdus(size_t plaintext_bytes) const {
  absl::MutexLock lock(&mutex_);
  const size_t fitting = Fitting(plaintext_bytes);
  return static_cast<uint32_t>((on_air_.size() + fitting - 1) / fitting);
}

// Every entry counts as large as the largest, so that a round has the length that is
// promised whatever order it has.
size_t OrderBook::Fitting(size_t plaintext_bytes) const {
  return std::max<size_t>(1, plaintext_bytes / (kEntryBytes + largest_));
}

size_t OrderBook::Below(size_t bound) {
  // Of 2^32 values those beyond the last whole multiple are drawn again: no target comes
  // early more often than another.
  const uint64_t whole = (uint64_t{1} << 32) / bound * bound;
  for (;;) {
    std::array<uint8_t, 4> bytes{};
    // Without randomness the round goes on as it is: what counts is that all are named.
    if (!parts_.random.Fill(bytes).ok()) return 0;
    if (const uint64_t drawn = LoadBig32(bytes.data()); drawn < whole) return drawn % bound;
  }
}

std::vector<wire::ControlEntry> OrderBook::Next(size_t plaintext_bytes) {
  absl::MutexLock lock(&mutex_);
  std::vector<wire::ControlEntry> entries;
  if (on_air_.empty()) return entries;
  if (round_.empty()) {
    round_.resize(on_air_.size());
    std::iota(round_.begin(), round_.end(), 0);
  }
  const size_t count = Fitting(plaintext_bytes);
  while (!round_.empty() && entries.size() < count) {
    // One draw an entry, so that no ADU pays for a whole round's.
    std::swap(round_[Below(round_.size())], round_.back());
    entries.push_back(on_air_[round_.back()]);
    round_.pop_back();
  }
  return entries;
}

}  // namespace nark::sender
