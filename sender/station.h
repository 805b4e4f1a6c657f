#ifndef NARK_SENDER_STATION_H_
#define NARK_SENDER_STATION_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sender/broadcaster.h"
#include "sender/clear_policy.h"
#include "sender/input.h"
#include "sender/paced_sink.h"
#include "sender/pacer.h"
#include "sender/segmenter.h"
#include "sender/waiter.h"

namespace nark::sender {

// How fast to send.
struct Pace {
  enum class Kind : uint8_t {
    kAuto,       // as kProgramme where the input has PCRs, else kMax
    kProgramme,  // warns where the input has no clock
    kRate,
    kMax,
  };
  Kind kind = Kind::kAuto;
  uint64_t bits_per_second = 0;  // kRate

  // "pcr", "max" or bits per second ("20M"); empty is kAuto.
  static absl::StatusOr<Pace> Parse(std::string_view text);
};

// Moves a stream from its input to the broadcaster: reads, cuts, waits for each
// ADU's slot, sends. ADUs that are due together go as one burst. One thread only.
class Station {
 public:
  struct Parts {
    Input& input;
    Segmenter& segmenter;
    Broadcaster& broadcaster;
    PacedSink& sink;  // the broadcaster's
    Waiter& waiter;
    ClearPolicy* clear = nullptr;  // null: everything is encrypted
  };
  // Called with one line for people, and after every burst with the id of its
  // first ADU and what was sent.
  struct Events {
    std::function<void(const std::string&)> warn;
    std::function<absl::Status(uint64_t first_id, std::span<const OutgoingAdu>)> sent;
  };
  // The parts must outlive it.
  Station(const Parts& parts, const Pace& pace, Events events);

  // Returns OK at the end of the input and where the waiter says stop: then the ADU
  // in hand is finished and no other begun; of a live input all that had come is sent,
  // at once.
  absl::Status Run();

 private:
  struct Due {
    Adu adu;
    Slot slot;
  };
  enum class Reading : uint8_t { kMore, kEnded, kStop };

  absl::StatusOr<Reading> Fill();
  absl::Status SendRest();
  // `first` and what is due with it.
  std::vector<Due> Gather(Due first);
  std::optional<Due> NextDue();
  bool live() const { return parts_.input.kind() == Input::Kind::kLive; }
  absl::Status SendBurst(std::vector<Due> burst);
  void ChoosePacer();
  void WarnOnce();

  Parts parts_;
  Pace pace_;
  Events events_;
  std::optional<Pacer> pacer_;  // once the input is known
  bool warned_ = false;
  std::optional<Due> next_;  // cut, but not due with the burst before
};

}  // namespace nark::sender

#endif  // NARK_SENDER_STATION_H_
