#include "common/object/file.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/envelope.h"

namespace nark {
namespace {

// An object of 1 MiB inside another, with certificates and keys.
constexpr size_t kMaxFileBytes = 4 << 20;

}  // namespace

absl::StatusOr<v1::NarkFile> ParseNarkFile(ByteView bytes, const std::string& path,
                                           v1::NarkFile::ContentCase expected) {
  if (bytes.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  v1::NarkFile file;
  RETURN_IF_ERROR(ParseStrictly(bytes, path, file));
  if (file.content_case() != expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " is ", DescribeContent(file.content_case()), ", not ", DescribeContent(expected)));
  }
  return file;
}

absl::StatusOr<v1::NarkFile> ReadNarkFile(const std::string& path,
                                          v1::NarkFile::ContentCase expected) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, kMaxFileBytes));
  return ParseNarkFile(bytes, path, expected);
}

absl::Status WriteNarkFile(const std::string& path, const v1::NarkFile& file, FileMode mode,
                           FileOperations& operations) {
  std::string bytes = Serialise(file);
  absl::Status status = WriteFile(path, AsBytes(bytes), mode, operations);
  if (mode == FileMode::kSecret) {
    Wipe({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  }
  return status;
}

std::string DescribeContent(v1::NarkFile::ContentCase content) {
  switch (content) {
    case v1::NarkFile::kSessionDescriptor:
      return "a session descriptor";
    case v1::NarkFile::kVoucher:
      return "a voucher";
    case v1::NarkFile::kNote:
      return "a delivery note";
    case v1::NarkFile::kSender:
      return "a sender file";
    case v1::NarkFile::kPoolManifest:
      return "a pool manifest";
    case v1::NarkFile::kDenyList:
      return "a deny list";
    case v1::NarkFile::kRefund:
      return "a refund desk's answer";
    case v1::NarkFile::kChallenge:
      return "a challenge";
    case v1::NarkFile::kGrantRequest:
      return "a grant request";
    case v1::NarkFile::kGrant:
      return "a grant";
    case v1::NarkFile::CONTENT_NOT_SET:
      break;
  }
  return "no file of Nark";
}

}  // namespace nark
