#ifndef NARK_RECEIVER_RECEPTION_H_
#define NARK_RECEIVER_RECEPTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/net/play_range.h"
#include "common/object/session.h"
#include "receiver/play_out.h"
#include "receiver/range_filter.h"
#include "receiver/reassembler.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

struct ReceptionOptions {
  std::set<uint32_t> sub_sessions = {0};  // to be received
  ReassemblerOptions reassembler;
  PlayOutOptions play_out;
  net::PlayRange range;  // of a recording
};

// The receiving half of a receiver host, from datagrams to plaintext, without
// sockets, threads or a clock of its own: what the program and the simulator
// drive. Datagrams of several sub-sessions and senders may come mixed; each stream is
// reassembled and ordered by itself. One thread only.
class Reception {
 public:
  // All must outlive it. INVALID_ARGUMENT for a sub-session that the terms have not.
  static absl::StatusOr<std::unique_ptr<Reception>> Create(const VerifiedSession& session,
                                                           securespace::SecureSpace& secure_space,
                                                           PlaintextSink& sink,
                                                           const ReceptionOptions& options = {});
  // For what everybody may see: PlayOut::CreatePreview.
  static absl::StatusOr<std::unique_ptr<Reception>> CreatePreview(
      const VerifiedSession& session, PlaintextSink& sink, const ReceptionOptions& options = {});

  // Takes one datagram; never fails: what is of no use is counted, and what no output
  // wants is not even put together.
  void OnDatagram(ByteView datagram, Timestamp now);
  // Plays what is due; to be called after a batch of datagrams and whenever
  // NextDeadline has come. Errors are final (PlayOut::Run).
  absl::Status Advance(Timestamp now);
  // The same while the sink would block: nothing is asked, memory stays bounded.
  void Hold(Timestamp now);
  // Plays all that is complete, without waiting.
  absl::Status Flush(Timestamp now);
  // PlayOut::SetBlock of each.
  absl::Status SetBlock(const std::shared_ptr<const ChameleonBlock>& block);
  // ADUs whose keys want a newer grant (PlayOut::SetLapsed), and how many are kept.
  void SetLapsed(PlayOut::Lapsed lapsed);
  size_t kept() const;
  // When Advance has something to do, and when Hold has.
  std::optional<Timestamp> NextDeadline() const;
  std::optional<Timestamp> NextHold() const;

  // The signed time of the first header that verified, whatever the range.
  std::optional<uint64_t> beginning_us() const { return range_.beginning_us(); }

  // Whether every stream of the session that is wanted was seen behind the range's end, and
  // nothing of the range is unfinished: where they come in order, no more of it comes.
  bool IsBehindRange() const;

  // Sums over the sub-sessions.
  PlayOutStatistics adus() const;
  ReassemblerStatistics datagrams() const;
  uint64_t unwanted() const { return unwanted_; }  // datagrams that no output takes
  size_t unfinished() const;                       // ADUs that have verified and are not complete
  uint64_t signatures_checked() const;

 private:
  struct Part {
    Part(const VerifiedSession& session, uint32_t id, const ReassemblerOptions& options)
        : sub_session(id),
          tag(SessionTag(SessionContext(session.name(), id))),
          reassembler(session, id, options) {}
    const uint32_t sub_session;
    const uint64_t tag;
    Reassembler reassembler;
    std::unique_ptr<PlayOut> play_out;
  };
  using MakePlayOut = std::function<absl::StatusOr<std::unique_ptr<PlayOut>>(uint32_t)>;
  static absl::StatusOr<std::unique_ptr<Reception>> Make(const VerifiedSession& session,
                                                         PlaintextSink& sink,
                                                         const ReceptionOptions& options,
                                                         const MakePlayOut& make_play_out);
  Reception(const VerifiedSession& session, PlaintextSink& sink, const net::PlayRange& range)
      : session_(session), sink_(sink), range_(range) {}
  // Whose the datagram is by its tag; the first where it is nobody's, to count it.
  Part* Route(ByteView datagram);
  static void MoveFloors(Part& part);

  const VerifiedSession& session_;
  PlaintextSink& sink_;
  RangeFilter range_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<CompleteAdu> complete_;
  uint64_t unwanted_ = 0;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_RECEPTION_H_
