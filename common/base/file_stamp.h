#ifndef NARK_COMMON_BASE_FILE_STAMP_H_
#define NARK_COMMON_BASE_FILE_STAMP_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace nark {

// Of a regular file: device, inode, size and time of its last change. Another one where it was
// replaced or rewritten, which is how files are watched. All zeros where there is none: a
// pipe in its place would never end.
using FileStamp = std::array<uint64_t, 5>;

FileStamp StampOf(const std::string& path);
std::vector<FileStamp> StampsOf(const std::vector<std::string>& paths);

}  // namespace nark

#endif  // NARK_COMMON_BASE_FILE_STAMP_H_
