#ifndef NARK_COMMON_NET_DATAGRAM_FILE_H_
#define NARK_COMMON_NET_DATAGRAM_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/net/datagram_io.h"

namespace nark::net {

// Datagrams in a file instead of on a network, to be played offline:
//
//    0  magic    8  "NARKDGM1"
//    then, for each datagram, in the order sent:
//       length   4  big-endian, 1 to 65507
//       datagram
inline constexpr char kDatagramFileMagic[] = "NARKDGM1";

// Creates or truncates `path`. Every Send is written before it returns.
absl::StatusOr<std::unique_ptr<DatagramSink>> CreateDatagramFile(const std::string& path);

// INVALID_ARGUMENT where `path` holds no datagrams. A file that ends inside of a
// datagram, or lies about a length, yields what comes before, then DATA_LOSS.
absl::StatusOr<std::unique_ptr<DatagramSource>> OpenDatagramFile(const std::string& path);

}  // namespace nark::net

#endif  // NARK_COMMON_NET_DATAGRAM_FILE_H_
