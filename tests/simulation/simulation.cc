#include "tests/simulation/simulation.h"

#include <chrono>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/object/testing.h"
#include "common/wire/cipher.h"
#include "tests/simulation/journal.h"
#include "tests/simulation/pool.h"
#include "tests/simulation/station.h"
#include "tests/simulation/viewer.h"

namespace nark::simulation {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{5};
constexpr int kTicks = 1200;  // six seconds

// Secure spaces refuse the insecure ones, and what marks takes sound.
std::vector<std::string_view> SecureCiphers() {
  std::vector<std::string_view> ids = wire::CipherIds();
  std::erase_if(ids, [](std::string_view id) {
    const wire::CipherProperties promised = (*wire::FindCipher(id))->properties();
    return !promised.secure || promised.marks;
  });
  return ids;
}

SessionOptions SessionFrom(Dice& dice) {
  SessionOptions options;
  options.generator = dice.OneIn(3) ? "hkdf" : "marks";
  const std::vector<std::string_view> ciphers = SecureCiphers();
  options.cipher = ciphers[dice.Below(ciphers.size())];
  if (dice.OneIn(2)) {
    options.timeliness = v1::TIMELINESS_NONE;
    options.deadline_ms = 0;
  }
  if (dice.OneIn(4)) options.release = v1::RELEASE_MODE_PLAINTEXT;
  return options;
}

bad_network::Impairment NetworkFrom(Dice& dice) {
  bad_network::Impairment network;
  if (dice.OneIn(6)) return network;
  network.loss = static_cast<double>(dice.Below(26));
  network.duplicate = static_cast<double>(dice.Below(30));
  network.reorder = static_cast<double>(dice.Below(50));
  network.corrupt = static_cast<double>(dice.Below(8));
  network.truncate = static_cast<double>(dice.Below(4));
  network.junk = static_cast<double>(dice.Below(20));
  network.delay = milliseconds(dice.Below(50));
  network.jitter = milliseconds(dice.Below(50));
  network.hold = milliseconds(1 + dice.Below(60));
  return network;
}

// Where the stream stands when the run begins: joining at a million costs what
// joining at one costs.
uint64_t FirstAdu(Dice& dice) {
  const uint64_t magnitudes[] = {0, 1, 1000, 1'000'000, 4'000'000'000};
  return magnitudes[dice.Below(5)];
}

class Run {
 public:
  explicit Run(const Settings& settings)
      : settings_(settings),
        dice_(settings.seed, 1),
        random_(settings.seed),
        provider_(kTestTime, settings.seed),
        session_(provider_.MakeSession(SessionFrom(dice_))),
        first_adu_(FirstAdu(dice_)),
        journal_(clock_),
        station_journal_(clock_),
        pool_(provider_, clock_, random_, settings.seed, journal_),
        station_(session_, clock_, settings.seed, first_adu_, station_journal_) {
    for (int i = 0; i < settings.viewers; ++i) AddViewer(i);
  }

  Report Play() {
    for (int tick = 0; tick < kTicks; ++tick) {
      clock_.Advance(kTick);
      station_.CrashSometimes(tick > 100);
      if (station_dice_due_ <= tick) {
        station_.Broadcast();
        // Mostly steady, with a silence now and then.
        station_dice_due_ =
            tick + static_cast<int>(station_dice_.OneIn(40) ? station_dice_.Between(50, 150)
                                                            : station_dice_.Between(4, 20));
      }
      for (size_t i = 0; i < viewers_.size(); ++i) Disturb(i, tick);
      for (auto& viewer : viewers_) {
        if (viewer.starts_at == tick) viewer.viewer->Start();
        if (viewer.starts_at <= tick) viewer.viewer->Step();
      }
    }
    // What is under way arrives.
    for (int tick = 0; tick < 200; ++tick) {
      clock_.Advance(kTick);
      for (auto& viewer : viewers_) viewer.viewer->Step();
    }
    for (auto& viewer : viewers_) viewer.viewer->Finish();
    return Tell();
  }

 private:
  struct Seat {
    std::unique_ptr<Viewer> viewer;
    Dice dice;
    int starts_at;
    int back_at = -1;
  };

  void AddViewer(int number) {
    Dice dice(settings_.seed, 100 + static_cast<uint64_t>(number));
    ViewerOptions options;
    options.name = "viewer-" + std::to_string(number);
    options.seed = settings_.seed * 16 + static_cast<uint64_t>(number);
    // Some 150 ADUs are sent: everything, or a part.
    options.first = first_adu_ + (dice.OneIn(2) ? 0 : dice.Below(80));
    options.last = options.first + (dice.OneIn(2) ? 100'000 : dice.Between(1, 60));
    options.network = NetworkFrom(dice);
    options.pool_weather = dice.OneIn(2) ? PoolWeather::kFoul : PoolWeather::kFair;
    auto viewer =
        std::make_unique<Viewer>(provider_, session_, clock_, pool_, station_, options, journal_);
    station_.Connect([viewer = viewer.get()](ByteView datagram) { viewer->OnAir(datagram); });
    const int starts_at = static_cast<int>(dice.OneIn(2) ? 0 : dice.Below(800));
    viewers_.push_back({std::move(viewer), dice, starts_at});
  }

  void Disturb(size_t place, int tick) {
    Seat& seat = viewers_[place];
    if (seat.back_at == tick) seat.viewer->Partition(false);
    if (seat.back_at < tick && seat.dice.OneIn(400)) {
      seat.viewer->Partition(true);
      seat.back_at = tick + static_cast<int>(seat.dice.Between(10, 120));
    }
    if (seat.dice.OneIn(500)) seat.viewer->Kill();
    if (seat.dice.OneIn(300)) seat.viewer->LosePowerDuringWrite();
  }

  Report Tell() {
    Report report;
    report.violations = journal_.violations();
    const auto& of_station = station_journal_.violations();
    report.violations.insert(report.violations.end(), of_station.begin(), of_station.end());
    report.events_hash = journal_.Hash() + station_journal_.Hash();
    report.station_hash = station_journal_.Hash();
    report.tail = journal_.Tail();
    report.events = journal_.events() + station_journal_.events();
    report.adus_sent = station_.aired().size();
    report.datagrams_sent = station_.datagrams();
    for (const auto& viewer : viewers_) report.adus_delivered += viewer.viewer->delivered();
    return report;
  }

  const Settings settings_;
  ManualClock clock_{kTestTime};
  Dice dice_;
  SeededRandom random_;
  TestProvider provider_;
  TestSession session_;
  uint64_t first_adu_;
  Journal journal_;
  Journal station_journal_;
  Pool pool_;
  Station station_;
  Dice station_dice_{settings_.seed, 2};
  int station_dice_due_ = 0;
  std::vector<Seat> viewers_;
};

}  // namespace

Report Simulate(const Settings& settings) {
  try {
    return Run(settings).Play();
  } catch (const std::exception& error) {
    Report report;
    report.violations = {std::string("the run ended: ") + error.what()};
    return report;
  }
}

}  // namespace nark::simulation
