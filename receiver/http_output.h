#ifndef NARK_RECEIVER_HTTP_OUTPUT_H_
#define NARK_RECEIVER_HTTP_OUTPUT_H_

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/net/descriptor.h"
#include "receiver/output.h"

namespace nark::receiver {

// Serves the media as it comes to any player that asks for PATH (HTTP/1.1
// without keep-alive, RFC 9112): each starts with the next ADU. Holds a bounded
// amount for each, and drops a player that is too slow, so that nobody waits for
// it. One thread only.
class HttpOutput final : public Output {
 public:
  struct Limits {
    size_t players = 32;
    size_t request_bytes = 8 << 10;
    size_t player_bytes = 64 << 20;  // kept for one player
    std::chrono::microseconds request_time = std::chrono::seconds(10);
  };

  // http://HOST:PORT/PATH; port 0 lets the system choose.
  static absl::StatusOr<std::unique_ptr<HttpOutput>> Listen(const std::string& uri,
                                                            const Limits& limits);

  const std::string& name() const override { return name_; }
  absl::Status Write(ByteView plaintext, Timestamp now) override;
  absl::Status Service(Timestamp now) override;
  void AddPolls(std::vector<pollfd>& polls) const override;
  std::optional<Timestamp> NextDeadline() const override;
  bool congested() const override { return false; }
  bool drained() const override;

  uint16_t port() const { return port_; }
  size_t players() const;
  // Players dropped because they were too slow.
  uint64_t dropped() const { return dropped_; }

 private:
  struct Player {
    net::Descriptor socket;
    std::string request;
    enum class State { kAsks, kPlays, kEnds } state = State::kAsks;
    Bytes kept;
    size_t passed_on = 0;
    Timestamp since;
  };
  HttpOutput(std::string name, std::string path, net::Descriptor listener, uint16_t port,
             const Limits& limits);
  void Accept(Timestamp now);
  // False where the player is to be dropped.
  bool Read(Player& player);
  bool PassOn(Player& player);
  void Answer(Player& player);
  bool Alive(Player& player, Timestamp now);

  const std::string name_;
  const std::string path_;
  const net::Descriptor listener_;
  const uint16_t port_;
  const Limits limits_;
  std::list<Player> players_;
  uint64_t dropped_ = 0;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_HTTP_OUTPUT_H_
