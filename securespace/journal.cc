#include "securespace/journal.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::securespace {
namespace {

constexpr std::string_view kMagic = "NARKSS01";
constexpr size_t kFileIdBytes = 16;
constexpr size_t kFileHeaderBytes = 8 + kFileIdBytes;
constexpr size_t kRecordHeaderBytes = 8;
constexpr size_t kSectorBytes = 512;
// Keeps zeros out of a record's first bytes, so that they tell a torn one.
constexpr uint32_t kLengthMask = 0xA5A5A5A5;
constexpr size_t kMinRewriteBytes = 256 << 10;
constexpr size_t kMaxAppendedBytes = 16 << 20;

std::array<uint8_t, kAeadNonceBytes> NonceOf(uint64_t record) {
  std::array<uint8_t, kAeadNonceBytes> nonce{};
  StoreBig64(nonce.data() + 4, record);
  return nonce;
}

bool AllZero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

// Whether a sector of `file` holds nothing but zeros from `offset` on: storage
// extended the file and lost what should stand there.
bool LostASector(ByteView file, size_t offset) {
  while (offset < file.size()) {
    size_t end = std::min((offset / kSectorBytes + 1) * kSectorBytes, file.size());
    if (AllZero(file.subspan(offset, end - offset))) return true;
    offset = end;
  }
  return false;
}

// The record at `offset`: its ciphertext's size, where the header can be believed.
enum class Frame { kGood, kCutShort, kBad };
Frame ReadFrame(ByteView file, size_t offset, size_t& ciphertext_bytes) {
  if (file.size() - offset < kRecordHeaderBytes) return Frame::kCutShort;
  uint32_t masked = LoadBig32(file.data() + offset);
  if (LoadBig32(file.data() + offset + 4) != ~masked) return Frame::kBad;
  ciphertext_bytes = masked ^ kLengthMask;
  if (ciphertext_bytes < kAeadTagBytes) return Frame::kBad;
  bool whole = file.size() - offset - kRecordHeaderBytes >= ciphertext_bytes;
  return whole ? Frame::kGood : Frame::kCutShort;
}

// Whether a whole record stands behind `offset`, where the record `number` is bad. A
// crash takes the end only, so then it was no crash.
bool LaterRecordStands(ByteView file, size_t offset, uint64_t number, const SecretBytes& key,
                       Aead& aead) {
  constexpr size_t kMinRecordBytes = kRecordHeaderBytes + kAeadTagBytes;
  for (size_t at = offset + 1; at + kMinRecordBytes <= file.size(); ++at) {
    size_t size = 0;
    if (ReadFrame(file, at, size) != Frame::kGood) continue;
    SecretBytes record(size - kAeadTagBytes);
    ByteView ciphertext = file.subspan(at + kRecordHeaderBytes, size);
    for (uint64_t n = number + 1; n <= number + 1 + (at - offset) / kMinRecordBytes; ++n) {
      if (aead.Open(key, NonceOf(n), {}, ciphertext, record.RevealMutable()).ok()) return true;
    }
  }
  return false;
}

absl::Status Changed(const std::string& name, size_t offset) {
  return absl::DataLossError(
      absl::StrCat("the secure space's file ", name, " was changed or damaged at offset ", offset,
                   "; restore the folder it was in, or begin a new secure space"));
}

}  // namespace

Journal::Journal(const SecretBytes& state_key, Storage& storage, Random& random, std::string name)
    : state_key_(state_key.Clone()), storage_(storage), random_(random), name_(std::move(name)) {}

absl::StatusOr<SecretBytes> Journal::FileKey(ByteView file_id) const {
  Bytes info = ToBytes(AsBytes(name_));
  info.insert(info.end(), file_id.begin(), file_id.end());
  return Hkdf(AsBytes("nark secure space file v1"), state_key_, info, 32);
}

absl::StatusOr<std::vector<SecretBytes>> Journal::Read() {
  ASSIGN_OR_RETURN(Bytes file, storage_.Read(name_));
  if (file.size() < kFileHeaderBytes || AsText(ByteView(file).first(8)) != kMagic) {
    return Changed(name_, 0);
  }
  ASSIGN_OR_RETURN(SecretBytes key, FileKey(ByteView(file).subspan(8, kFileIdBytes)));
  ASSIGN_OR_RETURN(std::unique_ptr<Aead> aead, Aead::Create(AeadAlgorithm::kAes256Gcm));
  std::vector<SecretBytes> records;
  for (size_t offset = kFileHeaderBytes; offset < file.size();) {
    size_t size = 0;
    Frame frame = ReadFrame(file, offset, size);
    // The snapshot came by an atomic replacement, which a crash cannot tear.
    bool may_be_torn = !records.empty();
    if (frame == Frame::kCutShort && may_be_torn &&
        !LaterRecordStands(file, offset, records.size(), key, *aead)) {
      break;
    }
    if (frame == Frame::kGood) {
      SecretBytes record(size - kAeadTagBytes);
      ByteView ciphertext = ByteView(file).subspan(offset + kRecordHeaderBytes, size);
      if (aead->Open(key, NonceOf(records.size()), {}, ciphertext, record.RevealMutable()).ok()) {
        records.push_back(std::move(record));
        offset += kRecordHeaderBytes + size;
        continue;
      }
      may_be_torn = may_be_torn && offset + kRecordHeaderBytes + size == file.size();
    }
    if (frame != Frame::kCutShort && may_be_torn && LostASector(file, offset) &&
        !LaterRecordStands(file, offset, records.size(), key, *aead)) {
      break;
    }
    return Changed(name_, offset);
  }
  if (records.empty()) return Changed(name_, kFileHeaderBytes);
  SetPosition(ByteView(file).subspan(8, kFileIdBytes), records.size());
  return records;
}

void Journal::SetPosition(ByteView file_id, uint64_t records) {
  std::copy(file_id.begin(), file_id.end(), position_.begin());
  StoreBig64(position_.data() + kFileIdBytes, records);
}

absl::Status Journal::Seal(Aead& aead, ByteView plain, Bytes& to) {
  size_t size = plain.size() + kAeadTagBytes;
  if (size > UINT32_MAX / 2) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the secure space's file ", name_, " has no room for a larger state"));
  }
  size_t offset = to.size();
  to.resize(offset + kRecordHeaderBytes + size);
  uint32_t masked = static_cast<uint32_t>(size) ^ kLengthMask;
  StoreBig32(to.data() + offset, masked);
  StoreBig32(to.data() + offset + 4, ~masked);
  return aead.Seal(key_, NonceOf(next_record_++), {}, plain,
                   MutableByteView(to).subspan(offset + kRecordHeaderBytes));
}

absl::Status Journal::Rewrite(ByteView snapshot) {
  file_.reset();  // it appends to the file that is being replaced
  if (aead_ == nullptr) {
    ASSIGN_OR_RETURN(aead_, Aead::Create(AeadAlgorithm::kAes256Gcm));
  }
  Bytes content = ToBytes(AsBytes(kMagic));
  content.resize(kFileHeaderBytes);
  MutableByteView file_id = MutableByteView(content).subspan(8, kFileIdBytes);
  RETURN_IF_ERROR(random_.Fill(file_id));
  ASSIGN_OR_RETURN(key_, FileKey(file_id));
  next_record_ = 0;
  RETURN_IF_ERROR(Seal(*aead_, snapshot, content));
  RETURN_IF_ERROR(storage_.Replace(name_, content));
  ASSIGN_OR_RETURN(file_, storage_.OpenAppend(name_));
  SetPosition(ByteView(content).subspan(8, kFileIdBytes), next_record_);
  snapshot_bytes_ = content.size();
  appended_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status Journal::Append(ByteView record) {
  if (file_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the secure space's file ", name_, " is not open for writing"));
  }
  Bytes sealed;
  RETURN_IF_ERROR(Seal(*aead_, record, sealed));
  absl::Status status = file_->Append(sealed);
  if (status.ok()) status = file_->Sync();
  if (!status.ok()) {
    file_.reset();  // what stands at its end is unknown
    return status;
  }
  StoreBig64(position_.data() + kFileIdBytes, next_record_);
  appended_bytes_ += sealed.size();
  return absl::OkStatus();
}

bool Journal::WantsRewriting() const {
  return file_ == nullptr ||
         appended_bytes_ > std::clamp(4 * snapshot_bytes_, kMinRewriteBytes, kMaxAppendedBytes);
}

}  // namespace nark::securespace
