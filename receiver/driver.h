#ifndef NARK_RECEIVER_DRIVER_H_
#define NARK_RECEIVER_DRIVER_H_

#include <poll.h>

#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/net/datagram_io.h"
#include "receiver/output.h"
#include "receiver/reception.h"

namespace nark::receiver {

// Moves datagrams from sources through a reception into outputs, around poll(2).
// While outputs are congested nothing is asked of the secure space, so a reader
// that sleeps costs ADUs that stay refundable. One thread only.
class Driver {
 public:
  // All must outlive it.
  Driver(std::vector<net::DatagramSource*> sources, Reception& reception, OutputSet& outputs,
         Clock& clock)
      : reception_(reception), outputs_(outputs), clock_(clock) {
    SetSources(std::move(sources));
  }

  // From now on these; the ones before may go.
  void SetSources(std::vector<net::DatagramSource*> sources);

  // From now on keys are asked for; before, complete ADUs wait (bounded).
  void StartPlaying() { playing_ = true; }

  // Whether all sources are files.
  bool plays_files() const;
  // Whether ADUs are kept for a newer grant (PlayOut::SetLapsed): no file is read on, nothing
  // is asked for and nothing grows old until AskAgain.
  bool waits_for_grant() const { return reception_.kept() > 0 && !ask_again_; }
  void AskAgain() { ask_again_ = true; }

  enum class Source { kOpen, kEnded };
  // Waits until there is something to do, one of `wake` is readable or `longest`
  // has passed, and does it. kEnded: every source is a file, read to its end or, where it
  // is in order, to that of the range, and all that came of it was asked for.
  absl::StatusOr<Source> Turn(std::span<const int> wake, std::chrono::microseconds longest);

  // Takes in what has arrived, plays all that is complete, and passes it on for at
  // most `longest`. DEADLINE_EXCEEDED where an output did not take it all; may be
  // called again.
  absl::Status Finish(std::chrono::microseconds longest);

 private:
  struct Feed {
    net::DatagramSource* source;
    bool ended = false;
    bool is_file() const { return source->recording() != nullptr; }
  };
  // Keys are asked for now.
  bool Asking() const { return playing_ && !outputs_.congested() && !waits_for_grant(); }
  // A file waits until what it holds can be played.
  bool Reading(const Feed& feed) const { return !feed.ended && (!feed.is_file() || Asking()); }
  std::chrono::microseconds WaitTime(std::chrono::microseconds longest) const;
  void Wait(std::span<const int> wake, std::chrono::microseconds longest);
  absl::Status TakeIn();
  absl::Status TakeIn(Feed& feed);
  bool ended() const;
  absl::StatusOr<Source> PlayDue(Timestamp now);

  std::vector<Feed> feeds_;
  Reception& reception_;
  OutputSet& outputs_;
  Clock& clock_;
  bool playing_ = false;
  bool ask_again_ = false;
  std::vector<pollfd> polls_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_DRIVER_H_
