#ifndef NARK_COMMON_OBJECT_FILE_H_
#define NARK_COMMON_OBJECT_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/bytes.h"
#include "common/base/storage.h"
#include "nark/v1/file.pb.h"

namespace nark {

// Reads a NarkFile that must hold `expected`; the message names the path, and
// what the file is instead ("voucher.nv is a voucher, not a session descriptor").
absl::StatusOr<v1::NarkFile> ReadNarkFile(const std::string& path,
                                          v1::NarkFile::ContentCase expected);
// The same for bytes that have been read.
absl::StatusOr<v1::NarkFile> ParseNarkFile(ByteView bytes, const std::string& path,
                                           v1::NarkFile::ContentCase expected);
// Durably and atomically; `mode` is kSecret for sender files.
absl::Status WriteNarkFile(const std::string& path, const v1::NarkFile& file, FileMode mode,
                           FileOperations& operations = PosixFileOperations());

// "a session descriptor", "a voucher", ...
std::string DescribeContent(v1::NarkFile::ContentCase content);

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_FILE_H_
