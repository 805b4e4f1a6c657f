#include "load/viewer_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/crypto/secret_file.h"
#include "common/object/envelope.h"

namespace nark::load {
namespace {

constexpr std::string_view kMagic = "NARKLOAD";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeadBytes = 8 + 4 + 4 + 32 + 16 + 32;
constexpr size_t kMostFileBytes = size_t{8} << 30;

std::array<uint8_t, 2> Big16(size_t value) {
  std::array<uint8_t, 2> bytes;
  StoreBig16(bytes.data(), static_cast<uint16_t>(value));
  return bytes;
}

std::array<uint8_t, 4> Big32(size_t value) {
  std::array<uint8_t, 4> bytes;
  StoreBig32(bytes.data(), static_cast<uint32_t>(value));
  return bytes;
}

// Takes pieces from the front; empty views once too little is left.
class Front {
 public:
  explicit Front(ByteView bytes) : bytes_(bytes) {}
  ByteView Take(size_t size) {
    if (size > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const ByteView taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  size_t Number16() {
    const ByteView bytes = Take(2);
    return bytes.empty() ? 0 : LoadBig16(bytes.data());
  }
  size_t Number32() {
    const ByteView bytes = Take(4);
    return bytes.empty() ? 0 : LoadBig32(bytes.data());
  }
  template <size_t size>
  void Into(std::array<uint8_t, size>& to) {
    const ByteView bytes = Take(size);
    std::copy(bytes.begin(), bytes.end(), to.begin());
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && bytes_.empty(); }

 private:
  ByteView bytes_;
  bool ok_ = true;
};

absl::Status NotOne(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, " is no file of `nark-load prepare`, or a damaged one; prepare it anew"));
}

}  // namespace

absl::StatusOr<ViewerFileWriter> ViewerFileWriter::Create(const std::string& path,
                                                          const ViewerFileHead& head) {
  FileOperations& files = PosixFileOperations();
  // What an earlier run left unfinished is nobody's.
  if (absl::Status gone = files.Unlink(path + ".new"); !gone.ok() && !absl::IsNotFound(gone)) {
    return gone;
  }
  ASSIGN_OR_RETURN(const int file, files.Create(path + ".new", FileMode::kSecret));
  ViewerFileWriter writer(path, file);
  RETURN_IF_ERROR(writer.Write(AsBytes(kMagic)));
  RETURN_IF_ERROR(writer.Write(Big32(kVersion)));
  RETURN_IF_ERROR(writer.Write(Big32(head.viewers)));
  RETURN_IF_ERROR(writer.Write(head.session.provider));
  RETURN_IF_ERROR(writer.Write(head.session.session_id));
  RETURN_IF_ERROR(writer.Write(head.terms_identity));
  return writer;
}

ViewerFileWriter::ViewerFileWriter(ViewerFileWriter&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), hash_(other.hash_) {}

ViewerFileWriter::~ViewerFileWriter() {
  if (file_ < 0) return;
  PosixFileOperations().Close(file_);
  (void)PosixFileOperations().Unlink(Filling());
}

absl::Status ViewerFileWriter::Write(ByteView bytes) {
  hash_.Update(bytes);
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const size_t written, PosixFileOperations().Write(file_, Filling(), bytes));
    bytes = bytes.subspan(written);
  }
  return absl::OkStatus();
}

absl::Status ViewerFileWriter::Add(const ViewerEntry& viewer) {
  const std::string voucher = Serialise(viewer.voucher);
  const auto put = [](ByteView bytes, uint8_t*& at) {
    at = std::copy(bytes.begin(), bytes.end(), at);
  };
  SecretBytes entry(viewer.id.size() + 2 + viewer.key.size() + 2 + viewer.certificate.size() + 4 +
                    voucher.size());
  uint8_t* at = entry.RevealMutable().data();
  put(viewer.id, at);
  put(Big16(viewer.key.size()), at);
  put(viewer.key.Reveal(), at);
  put(Big16(viewer.certificate.size()), at);
  put(AsBytes(viewer.certificate), at);
  put(Big32(voucher.size()), at);
  put(AsBytes(voucher), at);
  return Write(entry.Reveal());
}

absl::Status ViewerFileWriter::Finish() {
  FileOperations& files = PosixFileOperations();
  RETURN_IF_ERROR(Write(Sha256Stream(hash_).Finish()));
  RETURN_IF_ERROR(files.Sync(file_, Filling()));
  files.Close(std::exchange(file_, -1));
  RETURN_IF_ERROR(files.Rename(Filling(), path_));
  const std::string folder = std::filesystem::path(path_).parent_path();
  return files.SyncFolder(folder.empty() ? "." : folder);
}

absl::Status ReadViewerFile(const std::string& path,
                            const std::function<absl::Status(const ViewerFileHead&)>& begin,
                            const std::function<absl::Status(ViewerEntry)>& add) {
  ASSIGN_OR_RETURN(const SecretBytes file, ReadSecretFile(path, kMostFileBytes));
  const ByteView bytes = file.Reveal();
  if (bytes.size() < kHeadBytes + sizeof(Digest)) return NotOne(path);
  const ByteView content = bytes.first(bytes.size() - sizeof(Digest));
  Front from(content);
  const bool known = AsText(from.Take(kMagic.size())) == kMagic && from.Number32() == kVersion;
  if (!known || !Equal(Sha256(content), bytes.last(sizeof(Digest)))) return NotOne(path);
  ViewerFileHead head;
  head.viewers = static_cast<uint32_t>(from.Number32());
  from.Into(head.session.provider);
  from.Into(head.session.session_id);
  from.Into(head.terms_identity);
  RETURN_IF_ERROR(begin(head));
  for (uint32_t i = 0; i < head.viewers; ++i) {
    ViewerEntry viewer;
    from.Into(viewer.id);
    viewer.key = SecretBytes::CopyOf(from.Take(from.Number16()));
    viewer.certificate = ToText(from.Take(from.Number16()));
    const ByteView voucher = from.Take(from.Number32());
    if (!from.ok() ||
        !viewer.voucher.ParseFromArray(voucher.data(), static_cast<int>(voucher.size()))) {
      return NotOne(path);
    }
    RETURN_IF_ERROR(add(std::move(viewer)));
  }
  return from.done() ? absl::OkStatus() : NotOne(path);
}

}  // namespace nark::load
