#ifndef NARK_COMMON_NET_DATAGRAM_FILE_H_
#define NARK_COMMON_NET_DATAGRAM_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"
#include "common/net/play_range.h"

namespace nark::net {

// Datagrams in a file instead of on a network, to be played offline (docs/wire.md,
// "Files"): this, then records (datagram_record.h), the last of them an index of ADUs.
inline constexpr char kDatagramFileMagic[] = "NARKDGM2";

// Creates `path`, which may be a pipe; ALREADY_EXISTS for a file that holds something: what
// was recorded comes never again. Every Send is written before it returns; the index when the
// sink goes. Without one, after a crash, the file plays all the same.
absl::StatusOr<std::unique_ptr<DatagramSink>> CreateDatagramFile(const std::string& path);

// INVALID_ARGUMENT where `path` holds no datagrams. What is damaged is left out; how much,
// or that the end is missing, is told to `notify` at the end. Nothing of `range` is left out,
// and more may come: the index is only a hint where to begin (what it says is compared with
// what stands there; where it is of no use, or `path` is a pipe, all is read), and which ADUs
// are of a range of times is known of headers that have verified. The source is a Recording.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenDatagramFile(const std::string& path,
                                                                 const PlayRange& range = {},
                                                                 Notify notify = nullptr);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_FILE_H_
