#ifndef NARK_RECEIVER_RECEPTION_H_
#define NARK_RECEIVER_RECEPTION_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/object/session.h"
#include "receiver/play_out.h"
#include "receiver/reassembler.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

struct ReceptionOptions {
  ReassemblerOptions reassembler;
  PlayOutOptions play_out;
};

// The receiving half of a receiver host, from datagrams to plaintext, without
// sockets, threads or a clock of its own: what the program and the simulator
// drive. One thread only.
class Reception {
 public:
  // All must outlive it.
  static absl::StatusOr<std::unique_ptr<Reception>> Create(const VerifiedSession& session,
                                                           securespace::SecureSpace& secure_space,
                                                           PlaintextSink& sink,
                                                           const ReceptionOptions& options = {});

  // Takes one datagram; never fails: what is of no use is counted.
  void OnDatagram(ByteView datagram, Timestamp now);
  // Plays what is due; to be called after a batch of datagrams and whenever
  // NextDeadline has come. Errors are final (PlayOut::Run).
  absl::Status Advance(Timestamp now);
  // The same while the sink would block: nothing is asked, memory stays bounded.
  void Hold(Timestamp now);
  // Plays all that is complete, without waiting.
  absl::Status Flush(Timestamp now);
  std::optional<Timestamp> NextDeadline() const;

  const Reassembler& reassembler() const { return reassembler_; }
  const PlayOut& play_out() const { return *play_out_; }

 private:
  Reception(const VerifiedSession& session, const ReceptionOptions& options,
            std::unique_ptr<PlayOut> play_out);
  void MoveFloors();
  Reassembler reassembler_;
  std::unique_ptr<PlayOut> play_out_;
  std::vector<CompleteAdu> complete_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_RECEPTION_H_
