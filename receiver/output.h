#ifndef NARK_RECEIVER_OUTPUT_H_
#define NARK_RECEIVER_OUTPUT_H_

#include <poll.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/net/datagram_io.h"
#include "receiver/output_address.h"
#include "receiver/play_out.h"

namespace nark::receiver {

// One place where the media goes. Takes bytes at once and passes them on without
// blocking; errors are final. One thread only.
class Output {
 public:
  virtual ~Output() = default;
  // As the user wrote it, for messages.
  virtual const std::string& name() const = 0;
  // Takes all bytes of one ADU.
  virtual absl::Status Write(ByteView plaintext, Timestamp now) = 0;
  // Passes on what is due and can be passed on without blocking.
  virtual absl::Status Service(Timestamp now) = 0;
  // What to wait for; Service is called when one of them is ready.
  virtual void AddPolls(std::vector<pollfd>& polls) const = 0;
  // When Service has something to do of its own.
  virtual std::optional<Timestamp> NextDeadline() const = 0;
  // Whether it holds so much that nothing should be added: backpressure.
  virtual bool congested() const = 0;
  // Nothing is left to pass on.
  virtual bool drained() const = 0;
};

// "-" and "file://con" (standard output), "file:PATH" (truncated),
// "udp://..." (datagrams of 1,316 bytes, seven transport-stream packets) and
// "http://HOST:PORT/PATH" (serves players). `spread` is the time over which the
// datagrams of an ADU may be spread instead of sent in one burst.
absl::StatusOr<std::unique_ptr<Output>> OpenOutput(const std::string& uri,
                                                   std::chrono::microseconds spread,
                                                   net::Notify notify = nullptr);
// Whether the URI means standard output.
bool IsStandardOutput(std::string_view uri);

// Several outputs as one sink. One that fails is closed and reported once; the
// others go on.
class OutputSet final : public PlaintextSink {
 public:
  // With what it takes; the main stream unless said otherwise.
  void Add(std::unique_ptr<Output> output, const StreamFilter& filter = {}) {
    outputs_.push_back({std::move(output), filter});
  }

  // Fails only where no output is left.
  absl::Status Write(const PlainAdu& adu, Timestamp now) override;
  bool Wants(uint32_t sub_session, uint32_t sender_id) const override;
  absl::Status Service(Timestamp now);
  void AddPolls(std::vector<pollfd>& polls) const;
  std::optional<Timestamp> NextDeadline() const;
  bool congested() const;
  bool drained() const;

  // Errors of outputs that failed since the last call.
  std::vector<absl::Status> TakeErrors();

 private:
  void Close(size_t index, const absl::Status& error);
  absl::Status LeftOrLastError() const;
  struct Entry {
    std::unique_ptr<Output> output;
    StreamFilter filter;
  };
  std::vector<Entry> outputs_;
  std::vector<absl::Status> errors_;
  absl::Status last_error_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_OUTPUT_H_
