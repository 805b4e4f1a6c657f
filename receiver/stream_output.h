#ifndef NARK_RECEIVER_STREAM_OUTPUT_H_
#define NARK_RECEIVER_STREAM_OUTPUT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/net/descriptor.h"
#include "receiver/output.h"

namespace nark::receiver {

// Bytes into a descriptor: a file, a pipe, a socket or a terminal. Pipes and
// sockets are never waited for: what they do not take is kept, and beyond 8 MiB
// the output is congested. The caller ignores SIGPIPE.
class StreamOutput final : public Output {
 public:
  // Creates or truncates `path`. UNAVAILABLE for a named pipe without a reader.
  static absl::StatusOr<std::unique_ptr<Output>> CreateFile(const std::string& name,
                                                            const std::string& path);
  // Writes to a duplicate of `fd`, whose own flags stay as they are.
  static absl::StatusOr<std::unique_ptr<Output>> OnDescriptor(const std::string& name, int fd);

  const std::string& name() const override { return name_; }
  absl::Status Write(ByteView plaintext, Timestamp now) override;
  absl::Status Service(Timestamp now) override;
  void AddPolls(std::vector<pollfd>& polls) const override;
  std::optional<Timestamp> NextDeadline() const override { return std::nullopt; }
  bool congested() const override;
  bool drained() const override { return kept_.size() == passed_on_; }

 private:
  enum class Kind { kWaitsForUs, kSocket, kPlain };
  StreamOutput(std::string name, net::Descriptor descriptor, Kind kind)
      : name_(std::move(name)), descriptor_(std::move(descriptor)), kind_(kind) {}
  // How many bytes it took; 0 where it would block.
  absl::StatusOr<size_t> PassOn(ByteView bytes);

  const std::string name_;
  net::Descriptor descriptor_;
  const Kind kind_;
  Bytes kept_;
  size_t passed_on_ = 0;  // of kept_
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_STREAM_OUTPUT_H_
