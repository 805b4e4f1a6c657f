#ifndef NARK_COMMON_NET_DATAGRAM_FILE_H_
#define NARK_COMMON_NET_DATAGRAM_FILE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"

namespace nark::net {

// Datagrams in a file instead of on a network, to be played offline (docs/wire.md,
// "Files"): this, then records (datagram_record.h), the last of them an index of ADUs.
inline constexpr char kDatagramFileMagic[] = "NARKDGM2";

// What of a file is played. ADUs are named by their ids or by their senders' signed time;
// where both ends are given they are included. Everything where nothing is set.
struct PlayRange {
  std::optional<uint64_t> from_adu;
  std::optional<uint64_t> to_adu;
  std::optional<uint64_t> from_time_us;
  std::optional<uint64_t> to_time_us;
  // The times above count from the first header in the file, not from the epoch.
  enum class Origin { kEpoch, kBeginning } origin = Origin::kEpoch;

  bool everything() const { return !from_adu && !to_adu && !from_time_us && !to_time_us; }
};

// Creates or truncates `path`. Every Send is written before it returns; the index when the
// sink goes. Without one, after a crash, the file plays all the same.
absl::StatusOr<std::unique_ptr<DatagramSink>> CreateDatagramFile(const std::string& path);

// INVALID_ARGUMENT where `path` holds no datagrams. What is damaged is left out; how much,
// or that the end is missing, is told to `notify` at the end. The index is only a hint where
// to begin: what it says is compared with what stands there, and where it is of no use, or
// `path` is a pipe, all is read.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenDatagramFile(const std::string& path,
                                                                 const PlayRange& range = {},
                                                                 Notify notify = nullptr);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_FILE_H_
