#ifndef NARK_SENDER_STATION_H_
#define NARK_SENDER_STATION_H_

#include <chrono>
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

// Which ADUs share a signature. An ADU that nothing is due with has its own.
struct Batching {
  // At most so many, 1 to wire::kMaxBatch. 1: each its own.
  uint64_t adus = 256;
  // An ADU is held back by at most this, 0 to kLongest, to be signed with others: with those
  // whose slots begin within it, and, where it came within it after the one before, with
  // those that the input brings within it.
  std::chrono::microseconds time = std::chrono::milliseconds(2);

  static constexpr std::chrono::seconds kLongest{1};
  // INVALID_ARGUMENT where one is out of range.
  absl::Status Check() const;
};

// Moves a stream from its input to the broadcaster: reads, cuts, waits for each
// ADU's slot, sends. ADUs that are due together go as one burst under one signature, as
// Batching says and as long as they are 1 MiB at most. So a stream slower than one ADU in
// Batching::time has a signature an ADU and waits for nothing; a faster one has fewer
// signatures. One thread only.
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
  // The parts must outlive it. `batching` has passed Check.
  Station(const Parts& parts, const Pace& pace, const Batching& batching, Events events);

  // Returns OK at the end of the input and where the waiter says stop: then the ADU
  // in hand is finished and no other begun; of a live input all that had come is sent,
  // at once. The segmenter's error where it has one: what it cut before is sent.
  absl::Status Run();

 private:
  struct Due {
    Adu adu;
    Slot slot;
  };
  enum class Reading : uint8_t { kMore, kLate, kEnded, kStop };

  // Waits for input, until `due` at most where given.
  absl::StatusOr<Reading> Fill(std::optional<Timestamp> due);
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
  Batching batching_;
  Events events_;
  Reading reading_ = Reading::kMore;
  absl::Status input_error_;
  std::optional<Timestamp> last_ready_;  // when the newest ADU was
  std::optional<Pacer> pacer_;           // once the input is known
  bool warned_ = false;
  std::optional<Due> next_;  // cut, but not due with the burst before
};

// Reads until it is known what the input is, in a session that marks samples: so that one
// which cannot be is refused before anything is opened that it would leave behind. The
// segmenter's error, or the input's; OK, too, where the waiter says stop before that.
absl::Status Recognise(Input& input, Segmenter& segmenter, Waiter& waiter);

}  // namespace nark::sender

#endif  // NARK_SENDER_STATION_H_
