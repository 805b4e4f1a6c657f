#ifndef NARK_TESTS_SIMULATION_STATION_H_
#define NARK_TESTS_SIMULATION_STATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/crypto/random.h"
#include "common/net/datagram_io.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "securespace/fake_storage.h"
#include "sender/broadcaster.h"
#include "tests/simulation/journal.h"

namespace nark::simulation {

// The sender with its storage, which loses power now and then, and all that it has
// ever put on the air. One thread only.
class Station final : public net::DatagramSink {
 public:
  Station(const TestSession& session, ManualClock& clock, uint64_t seed, uint64_t first_adu,
          Journal& journal);

  // Where datagrams go besides the record.
  void Connect(std::function<void(ByteView)> network) { networks_.push_back(std::move(network)); }

  // Sends the next ADU or burst; now and then the power fails while it does.
  void Broadcast();
  void CrashSometimes(bool may) { may_crash_ = may; }

  // The record: the plaintext of every ADU of which anything was sent, and its
  // different datagrams.
  struct Aired {
    std::string plaintext;
    std::set<Bytes> datagrams;
    std::set<Bytes> headers;
  };
  const std::map<uint64_t, Aired>& aired() const { return aired_; }
  uint64_t datagrams() const { return datagrams_; }

  absl::Status Send(std::span<const ByteView> datagrams) override;

 private:
  void PowerOn();
  std::string NextPlaintext();
  void Record(ByteView datagram);

  const TestSession& session_;
  ManualClock& clock_;
  Dice dice_;
  SeededRandom random_;
  Journal& journal_;
  securespace::FakeStorage storage_;
  OpenedSenderFile file_;
  std::unique_ptr<sender::Reservation> reservation_;
  std::unique_ptr<sender::Broadcaster> broadcaster_;
  std::optional<uint64_t> first_adu_;
  bool may_crash_ = false;
  std::vector<std::function<void(ByteView)>> networks_;
  std::map<uint64_t, Aired> aired_;
  std::vector<std::string> on_air_;  // plaintexts of the call that runs
  std::optional<uint64_t> on_air_first_;
  std::set<uint64_t> before_this_call_;
  uint64_t highest_time_ = 0;
  uint64_t datagrams_ = 0;
};

}  // namespace nark::simulation

#endif  // NARK_TESTS_SIMULATION_STATION_H_
