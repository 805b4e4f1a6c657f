#include "tests/simulation/station.h"

#include <algorithm>
#include <stdexcept>

#include "common/wire/datagram.h"
#include "common/wire/header.h"

namespace nark::simulation {
namespace {

constexpr char kState[] = "state";

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

// The signed header in a datagram that carries one; empty otherwise.
ByteView SignedHeaderOf(const wire::ParsedDatagram& datagram) {
  if (datagram.prefix.kind == wire::DatagramKind::kHeader) return datagram.payload;
  if (datagram.prefix.kind == wire::DatagramKind::kWhole) {
    const auto whole = wire::ParseWhole(datagram.payload);
    if (whole.ok()) return whole->signed_header;
  }
  return {};
}

}  // namespace

Station::Station(const TestSession& session, ManualClock& clock, uint64_t seed, uint64_t first_adu,
                 Journal& journal)
    : session_(session),
      clock_(clock),
      dice_(seed, 10),
      random_(seed * 77 + 1),
      journal_(journal),
      storage_(seed),
      file_(Must(OpenSenderFile(session.sender_files.at(1), clock.Now()))),
      first_adu_(first_adu) {
  PowerOn();
}

void Station::PowerOn() {
  reservation_ =
      Must(sender::Reservation::Open(storage_, kState, sender::Broadcaster::OwnerOf(file_, 0)));
  if (first_adu_) {
    const absl::Status skipped = reservation_->SkipTo(*first_adu_);
    if (!skipped.ok()) throw std::runtime_error(skipped.ToString());
    first_adu_.reset();
  }
  sender::BroadcasterOptions options;
  options.datagram_bytes = 900;  // small, so that ADUs have many fragments
  broadcaster_ = Must(sender::Broadcaster::Create(
      file_, {.sink = *this, .clock = clock_, .random = random_, .reservation = *reservation_},
      options));
}

std::string Station::NextPlaintext() {
  // Some fit one datagram, some need many, a few need pages of hashes.
  const uint64_t kind = dice_.Below(20);
  const size_t bytes = kind == 0   ? dice_.Between(50'000, 60'000)
                       : kind < 10 ? dice_.Between(1, 300)
                                   : dice_.Between(1'000, 9'000);
  std::string plaintext(bytes, '\0');
  for (char& byte : plaintext) byte = static_cast<char>(dice_.Below(256));
  return plaintext;
}

void Station::Broadcast() {
  const bool burst = dice_.OneIn(5);
  on_air_.clear();
  on_air_first_.reset();
  for (uint64_t left = burst ? dice_.Between(2, 5) : 1; left > 0; --left) {
    on_air_.push_back(NextPlaintext());
  }
  std::vector<sender::OutgoingAdu> adus;
  for (const std::string& plaintext : on_air_) adus.push_back({AsBytes(plaintext), false, {}});
  const bool fails = may_crash_ && dice_.OneIn(12);
  if (fails) storage_.CrashAt(storage_.operations() + dice_.Below(2));
  const auto first = burst ? broadcaster_->SendBurst(adus) : broadcaster_->Send(adus.front());
  if (first.ok()) {
    journal_.Require(!on_air_first_ || *on_air_first_ == *first, "Send returned another id");
    journal_.Event("station", "sent " + std::to_string(*first) + "+" + std::to_string(adus.size()));
  } else {
    journal_.Require(fails, "sending failed by itself: " + std::string(first.status().ToString()));
  }
  if (fails || (may_crash_ && dice_.OneIn(15))) {
    journal_.Event("station", "lost power");
    broadcaster_.reset();
    reservation_.reset();
    storage_.Restart();
    PowerOn();
  }
}

absl::Status Station::Send(std::span<const ByteView> datagrams) {
  for (const ByteView datagram : datagrams) {
    Record(datagram);
    for (const auto& network : networks_) network(datagram);
  }
  return absl::OkStatus();
}

void Station::Record(ByteView datagram) {
  ++datagrams_;
  const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
  const uint64_t id = parsed.prefix.adu_id;
  if (!on_air_first_) {
    on_air_first_ = id;
    before_this_call_.clear();
    for (const auto& [adu, aired] : aired_) before_this_call_.insert(adu);
  }
  const uint64_t place = id - *on_air_first_;
  journal_.Require(parsed.drop == wire::Drop::kNone && place < on_air_.size(),
                   "a datagram of no ADU at hand");
  if (place >= on_air_.size()) return;
  journal_.Require(!before_this_call_.contains(id),
                   "ADU id " + std::to_string(id) + " was used before");
  Aired& adu = aired_[id];
  adu.plaintext = on_air_[place];
  adu.datagrams.insert(ToBytes(datagram));
  const ByteView signed_header = SignedHeaderOf(parsed);
  if (signed_header.empty()) return;
  adu.headers.insert(ToBytes(signed_header));
  journal_.Require(adu.headers.size() == 1, "ADU " + std::to_string(id) + " has two headers");
  const auto header = wire::ParseSignedHeader(signed_header);
  journal_.Require(header.status(), "the station's own header");
  if (!header.ok()) return;
  journal_.Require(header->header.signed_time_us >= highest_time_, "signed time went backwards");
  highest_time_ = std::max(highest_time_, header->header.signed_time_us);
}

}  // namespace nark::simulation
