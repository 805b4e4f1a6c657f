#ifndef NARK_TESTS_SIMULATION_VIEWER_H_
#define NARK_TESTS_SIMULATION_VIEWER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/object/testing.h"
#include "receiver/joiner.h"
#include "receiver/reception.h"
#include "securespace/emulation.h"
#include "securespace/fake_storage.h"
#include "tests/relay/bad_network.h"
#include "tests/simulation/pool.h"
#include "tests/simulation/station.h"
#include "tests/simulation/watched_space.h"

namespace nark::simulation {

// What a viewer is and has to endure.
struct ViewerOptions {
  std::string name;
  uint64_t seed = 0;
  uint64_t first = 0;  // the range bought
  uint64_t last = 0;
  bad_network::Impairment network;
  PoolWeather pool_weather = PoolWeather::kFair;
};

// Longer than any datagram is under way, so nothing intact is ever passed over.
inline constexpr std::chrono::milliseconds kPlayOutDelay{400};

// A receiver host with its secure space: its process may be killed and its storage
// may lose power at any moment, and then it starts again. One thread only.
class Viewer final : public receiver::PlaintextSink {
 public:
  Viewer(TestProvider& provider, const TestSession& session, ManualClock& clock, Pool& pool,
         const Station& station, const ViewerOptions& options, Journal& journal);

  // From the station, on to this viewer's own bad network.
  void OnAir(ByteView datagram) { network_.Accept(datagram, clock_.Now()); }
  void Start();
  // Everything that is due now.
  void Step();
  void Kill();                  // the process; it starts again later
  void LosePowerDuringWrite();  // somewhere within the next writes
  void Partition(bool cut_off);
  // The end of the run: a signal, which flushes.
  void Finish();

  bool running() const { return space_ != nullptr; }
  bool joined() const { return reception_ != nullptr; }
  const SetUpMessages& messages() const { return messages_; }
  uint64_t delivered() const { return delivered_ever_.size(); }

  absl::Status Write(const receiver::PlainAdu& adu, Timestamp now) override;

 private:
  enum class End { kCrash, kFlushed };
  void StepJoin();
  void StepReception();
  void OnJoined();
  void Crash(const std::string& why);
  // Holds what came out in this life against what could be put together.
  void Account(End end);
  void ExpectReleasedStaysReleased();

  TestProvider& provider_;
  const TestSession& session_;
  ManualClock& clock_;
  const Station& station_;
  const ViewerOptions options_;
  Journal& journal_;
  SeededRandom random_;
  Dice dice_;
  TestSecureSpace identity_;
  v1::SignedEnvelope voucher_;
  std::optional<VerifiedVoucher> verified_voucher_;
  securespace::FakeStorage storage_;
  bad_network::BadNetwork network_;
  SetUpMessages messages_;
  RoadToPool road_;
  Released released_;

  // One life.
  std::unique_ptr<securespace::Emulation> space_;
  std::unique_ptr<WatchedSpace> watched_;
  std::unique_ptr<receiver::Joiner> joiner_;
  std::unique_ptr<receiver::Reception> reception_;
  int grants_when_started_ = 0;
  std::map<uint64_t, std::set<Bytes>> arrived_;  // intact datagrams, by ADU
  std::map<uint64_t, int> halves_;               // of ADUs of one datagram
  std::map<uint64_t, Timestamp> complete_at_;
  std::set<uint64_t> delivered_;
  std::optional<uint64_t> last_delivered_;

  std::set<uint64_t> delivered_ever_;
  bool holds_grant_ = false;
};

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_VIEWER_H_
