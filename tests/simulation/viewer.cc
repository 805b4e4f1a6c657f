#include "tests/simulation/viewer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "common/base/status.h"
#include "common/wire/datagram.h"
#include "securespace/testing.h"

namespace nark::simulation {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value, const std::string& what) {
  if (!value.ok()) throw std::runtime_error(what + ": " + value.status().ToString());
  return *std::move(value);
}

// The two halves of an ADU that travels in one datagram. Each proves itself, so one
// of a damaged copy and one of another may serve together.
enum Half : int { kHeaderHalf = 1, kBodyHalf = 2 };

int IntactHalves(ByteView sent, ByteView arrived) {
  const wire::ParsedDatagram parsed = wire::ParseDatagram(sent);
  if (parsed.prefix.kind != wire::DatagramKind::kWhole) return 0;
  const size_t header_end = wire::kPrefixBytes + 2 + LoadBig16(parsed.payload.data());
  const size_t start = wire::kPrefixBytes + 2;
  if (arrived.size() < header_end || !Equal(arrived.first(start), sent.first(start))) return 0;
  int halves = 0;
  if (Equal(arrived.first(header_end), sent.first(header_end))) halves |= kHeaderHalf;
  if (Equal(arrived.subspan(header_end), sent.subspan(header_end))) halves |= kBodyHalf;
  return halves;
}

}  // namespace

Viewer::Viewer(TestProvider& provider, const TestSession& session, ManualClock& clock, Pool& pool,
               const Station& station, const ViewerOptions& options, Journal& journal)
    : provider_(provider),
      session_(session),
      clock_(clock),
      station_(station),
      options_(options),
      journal_(journal),
      random_(options.seed * 13 + 5),
      dice_(options.seed, 20),
      identity_(provider.MakeSecureSpace()),
      voucher_(provider.MakeVoucher(session, identity_.id, options.first, options.last)),
      storage_(options.seed),
      network_(options.network, options.seed),
      road_(pool, options.pool_weather, options.seed, messages_) {
  verified_voucher_ =
      Must(VerifyVoucher(voucher_, session.session(), clock.Now()), "the viewer's voucher");
  released_.first = options.first;
  released_.last = options.last;
  const absl::Status made =
      securespace::Emulation::Initialise(securespace::KeysOf(identity_).state, storage_, random_);
  if (!made.ok()) throw std::runtime_error(made.ToString());
}

void Viewer::Start() {
  space_ = Must(securespace::Emulation::Open(securespace::KeysOf(identity_),
                                             {identity_.certificate}, {storage_, clock_, random_}),
                options_.name + " opens its secure space again");
  watched_ = std::make_unique<WatchedSpace>(*space_, options_.name, released_, journal_);
  ExpectReleasedStaysReleased();
  joiner_ = std::make_unique<receiver::Joiner>(
      session_.session(), voucher_, *verified_voucher_, *watched_,
      std::vector<receiver::KeyManagerEndpoint>{{"pool-a", &road_}, {"pool-b", &road_}});
  receiver::JoinOptions options;
  options.timeout = std::chrono::seconds(60);
  joiner_->Start(options, clock_.Now());
  grants_when_started_ = messages_.grants + messages_.challenges;
  journal_.Event(options_.name, "starts");
}

// A key that has left once is recorded for ever, whatever crashed since.
void Viewer::ExpectReleasedStaysReleased() {
  for (const auto& [id, header] : released_.headers) {
    const auto decisions = space_->ReleaseKeys({session_.name(), 0, {header}});
    const bool on_card = session_.session().terms().release_mode() == v1::RELEASE_MODE_PLAINTEXT;
    journal_.Require(decisions.status(), options_.name + " asks again after a restart");
    if (!decisions.ok()) return;
    const v1::RefusalReason refusal = decisions->front().refusal;
    journal_.Require(
        refusal == v1::REFUSAL_REASON_RELEASED || (on_card && refusal == v1::REFUSAL_REASON_MODE),
        options_.name + " may ask for " + std::to_string(id) +
            " again after a restart: " + std::to_string(refusal));
  }
}

void Viewer::Step() {
  if (!running()) {
    if (dice_.OneIn(40)) Start();
    network_.Deliver(clock_.Now(), [](ByteView) {});
    return;
  }
  if (!joined()) StepJoin();
  if (joined()) {
    StepReception();
  } else {
    network_.Deliver(clock_.Now(), [](ByteView) {});
  }
}

void Viewer::StepJoin() {
  while (running() && !joiner_->done() && clock_.Now() >= joiner_->not_before()) {
    joiner_->Step(clock_.Now());
    if (storage_.crashed()) return Crash("power lost while joining");
  }
  if (!joiner_->done()) return;
  if (joiner_->state() != receiver::Joiner::State::kJoined) {
    journal_.Violation(options_.name +
                       " cannot join: " + std::string(joiner_->result().ToString()));
    return Crash("not joined");
  }
  OnJoined();
}

void Viewer::OnJoined() {
  journal_.Require(joiner_->used_installed_grant() == holds_grant_,
                   options_.name + " asked for a grant that it had, or had none and asked not");
  if (holds_grant_) {
    journal_.Require(messages_.grants + messages_.challenges == grants_when_started_,
                     options_.name + " sent set-up messages for a grant that it had");
  } else if (options_.pool_weather == PoolWeather::kFair) {
    journal_.Require(messages_.grants >= 1 && messages_.challenges >= 1,
                     options_.name + " has a grant from nowhere");
  }
  holds_grant_ = true;
  receiver::ReceptionOptions options;
  options.play_out.delay = kPlayOutDelay;
  reception_ =
      Must(receiver::Reception::Create(session_.session(), *watched_, *this, options), "reception");
  journal_.Event(options_.name, "joined");
}

void Viewer::StepReception() {
  network_.Deliver(clock_.Now(), [this](ByteView datagram) {
    const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    const auto aired = station_.aired().find(parsed.prefix.adu_id);
    if (parsed.drop == wire::Drop::kNone && aired != station_.aired().end()) {
      const Bytes bytes = ToBytes(datagram);
      std::set<Bytes>& arrived = arrived_[parsed.prefix.adu_id];
      if (aired->second.datagrams.contains(bytes)) arrived.insert(bytes);
      if (aired->second.datagrams.size() == 1) {
        halves_[parsed.prefix.adu_id] |= IntactHalves(*aired->second.datagrams.begin(), datagram);
      }
      if (arrived == aired->second.datagrams) {
        complete_at_.emplace(parsed.prefix.adu_id, clock_.Now());
      }
    }
    reception_->OnDatagram(datagram, clock_.Now());
  });
  const absl::Status advanced = reception_->Advance(clock_.Now());
  if (storage_.crashed()) return Crash("power lost while it released");
  journal_.Require(advanced, options_.name + " advances");
}

absl::Status Viewer::Write(const receiver::PlainAdu& adu, Timestamp) {
  const auto aired = station_.aired().find(adu.adu_id);
  journal_.Require(
      aired != station_.aired().end() && Equal(adu.plaintext, AsBytes(aired->second.plaintext)),
      options_.name + " writes what was never sent, ADU " + std::to_string(adu.adu_id));
  journal_.Require(!last_delivered_ || *last_delivered_ < adu.adu_id,
                   options_.name + " writes out of order");
  journal_.Require(delivered_ever_.insert(adu.adu_id).second,
                   options_.name + " writes ADU " + std::to_string(adu.adu_id) + " twice");
  last_delivered_ = adu.adu_id;
  delivered_.insert(adu.adu_id);
  journal_.Event(options_.name, "writes " + std::to_string(adu.adu_id));
  return absl::OkStatus();
}

void Viewer::Kill() {
  if (running()) Crash("killed");
}

void Viewer::LosePowerDuringWrite() {
  if (running()) storage_.CrashAt(storage_.operations() + dice_.Below(6));
}

void Viewer::Partition(bool cut_off) {
  bad_network::Impairment network = options_.network;
  if (cut_off) network.loss = 100;
  network_.Set(network);
  journal_.Event(options_.name, cut_off ? "is cut off" : "is back");
}

void Viewer::Crash(const std::string& why) {
  journal_.Event(options_.name, why);
  // A crash during the installation leaves the grant installed or not; the next
  // start finds out which.
  const bool joined_before = joined();
  if (joined_before) Account(End::kCrash);
  reception_.reset();
  joiner_.reset();
  watched_.reset();
  space_.reset();
  storage_.Restart();
  if (!joined_before && !holds_grant_) {
    auto space =
        Must(securespace::Emulation::Open(securespace::KeysOf(identity_), {identity_.certificate},
                                          {storage_, clock_, random_}),
             options_.name + " opens its secure space after a crash");
    holds_grant_ = Must(space->GetIdentity(), "identity").grants_size() > 0;
  }
}

void Viewer::Finish() {
  if (!running()) Start();
  storage_.CrashAt(UINT64_MAX);
  for (int i = 0; i < 200'000 && !joined() && running(); ++i) {
    clock_.Advance(std::chrono::milliseconds(1));
    StepJoin();
  }
  journal_.Require(joined(), options_.name + " never joined");
  if (!joined()) return;
  StepReception();
  journal_.Require(reception_->Flush(clock_.Now()), options_.name + " flushes");
  Account(End::kFlushed);
  journal_.Require(
      messages_.largest_grant < 8192 || messages_.largest_grant == 0,
      options_.name + "'s grant grows with the range: " + std::to_string(messages_.largest_grant));
}

void Viewer::Account(End end) {
  const receiver::PlayOutStatistics statistics = reception_->adus();
  journal_.Require(statistics.damaged == 0, options_.name + ": a key did not decrypt");
  for (const auto& [reason, count] : statistics.refused) {
    journal_.Require(reason == v1::REFUSAL_REASON_RANGE || reason == v1::REFUSAL_REASON_RELEASED,
                     options_.name + " was refused " + receiver::ReasonName(reason));
  }
  for (const uint64_t id : delivered_) {
    journal_.Require(complete_at_.contains(id) || halves_[id] == (kHeaderHalf | kBodyHalf),
                     options_.name + " wrote an ADU that was not intact: " + std::to_string(id));
  }
  for (const auto& [id, header] : released_.headers) {
    journal_.Require(delivered_ever_.contains(id),
                     options_.name + " asked for ADU " + std::to_string(id) + " in vain");
  }
  for (const auto& [id, when] : complete_at_) {
    const bool bought = released_.first <= id && id <= released_.last;
    if (!bought || delivered_ever_.contains(id)) continue;
    // Its key may have left before a crash: billed, not written.
    if (released_.in_doubt.contains(id)) continue;
    // It waited for its turn when the power went.
    if (end == End::kCrash && clock_.Now() - when <= kPlayOutDelay) continue;
    journal_.Violation(options_.name + " did not write ADU " + std::to_string(id) +
                       ", which was intact");
  }
  arrived_.clear();
  halves_.clear();
  complete_at_.clear();
  delivered_.clear();
  last_delivered_.reset();
}

}  // namespace nark::simulation
