#include "securespace/fake_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::securespace {
namespace {

constexpr size_t kSectorBytes = 512;

}  // namespace

FakeFileSystem::FakeFileSystem(const FakeFileSystem& other) : random_(1) { *this = other; }

FakeFileSystem& FakeFileSystem::operator=(const FakeFileSystem& other) {
  random_ = other.random_;
  // As after a restart in peace: names are what they are, and nothing is open.
  names_.clear();
  for (const auto& [path, content] : other.names_) {
    names_[path] = std::make_shared<Content>(Content{content->now, content->now.size()});
  }
  durable_names_ = names_;
  changes_.clear();
  open_.clear();
  operations_ = other.operations_;
  crash_at_ = other.crash_at_;
  trouble_at_ = other.trouble_at_;
  trouble_ = other.trouble_;
  lie_ = other.lie_;
  return *this;
}

absl::Status FakeFileSystem::PowerIsOff() const {
  return absl::InternalError("the file system has lost its power");
}

absl::Status FakeFileSystem::Step(const std::string& path, bool writes, bool& happens) {
  const uint64_t number = operations_++;
  happens = number < crash_at_;
  if (number > crash_at_) return PowerIsOff();
  if (number == crash_at_) {
    happens = random_.Below(2) == 0;
    return PowerIsOff();
  }
  switch (number >= trouble_at_ ? trouble_ : Trouble::kNone) {
    case Trouble::kNone:
      return absl::OkStatus();
    case Trouble::kFull:
      if (!writes) return absl::OkStatus();
      happens = random_.Below(2) == 0;
      return FileError(ENOSPC, "cannot write", path);
    case Trouble::kReadOnly:
      happens = false;
      return FileError(EROFS, "cannot write", path);
    case Trouble::kBrokenOnce:
      if (number != trouble_at_) return absl::OkStatus();
      happens = random_.Below(2) == 0;
      return FileError(EIO, "cannot write", path);
  }
  return absl::OkStatus();
}

absl::Status FakeFileSystem::Elsewhere(const std::string& what, bool& happens) {
  return Step(what, /*writes=*/false, happens);
}

void FakeFileSystem::Change(NameChange change) {
  change(names_);
  changes_.push_back(std::move(change));
}

int FakeFileSystem::Open(std::shared_ptr<Content> content) {
  open_[next_file_] = std::move(content);
  return next_file_++;
}

absl::StatusOr<int> FakeFileSystem::Create(const std::string& path, FileMode) {
  if (names_.contains(path)) return FileError(EEXIST, "cannot create", path);
  bool happens = false;
  const absl::Status status = Step(path, true, happens);
  auto content = std::make_shared<Content>();
  if (happens) Change([path, content](Names& names) { names[path] = content; });
  if (!status.ok()) return status;
  return Open(content);
}

absl::StatusOr<int> FakeFileSystem::OpenAppend(const std::string& path, FileMode mode) {
  const auto found = names_.find(path);
  if (found == names_.end()) return Create(path, mode);
  bool happens = false;
  RETURN_IF_ERROR(Step(path, false, happens));
  return Open(found->second);
}

absl::StatusOr<size_t> FakeFileSystem::Write(int file, const std::string& path, ByteView bytes) {
  bool happens = false;
  const absl::Status status = Step(path, true, happens);
  // A write that fails may still have taken its beginning.
  size_t taken = bytes.size();
  if (!status.ok()) taken = happens ? random_.Below(bytes.size() + 1) : 0;
  // Short now and then, as the real one may be.
  if (status.ok() && taken > 1 && random_.Below(4) == 0) taken = 1 + random_.Below(taken - 1);
  Bytes& content = open_.at(file)->now;
  content.insert(content.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(taken));
  if (!status.ok()) return status;
  return taken;
}

absl::Status FakeFileSystem::SyncFile(int file, const std::string& path) {
  bool happens = false;
  const absl::Status status = Step(path, false, happens);
  Content& content = *open_.at(file);
  if (happens && lie_ != Lie::kSync) content.durable_bytes = content.now.size();
  // Linux drops what it could not write, and calls it clean.
  if (!status.ok() && !happens && !crashed()) MeetFate(content);
  return status;
}

absl::Status FakeFileSystem::Sync(int file, const std::string& path) {
  return SyncFile(file, path);
}

absl::Status FakeFileSystem::SyncContent(int file, const std::string& path) {
  return SyncFile(file, path);
}

void FakeFileSystem::Close(int file) { open_.erase(file); }

absl::Status FakeFileSystem::Rename(const std::string& from, const std::string& to) {
  const auto found = names_.find(from);
  if (found == names_.end()) return FileError(ENOENT, "cannot replace", to);
  bool happens = false;
  const absl::Status status = Step(to, false, happens);
  if (happens) {
    Change([from, to, content = found->second](Names& names) {
      names.erase(from);
      names[to] = content;
    });
  }
  return status;
}

absl::Status FakeFileSystem::Unlink(const std::string& path) {
  if (!names_.contains(path)) return FileError(ENOENT, "cannot remove", path);
  bool happens = false;
  const absl::Status status = Step(path, false, happens);
  if (happens) Change([path](Names& names) { names.erase(path); });
  return status;
}

absl::Status FakeFileSystem::SyncFolder(const std::string& folder) {
  bool happens = false;
  const absl::Status status = Step(folder, false, happens);
  if (happens && lie_ != Lie::kSyncFolder) {
    durable_names_ = names_;
    changes_.clear();
  }
  return status;
}

absl::StatusOr<Bytes> FakeFileSystem::Read(const std::string& path, size_t limit_bytes) {
  if (crashed()) return PowerIsOff();
  const auto found = names_.find(path);
  if (found == names_.end()) return FileError(ENOENT, "cannot open", path);
  if (found->second->now.size() > limit_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(path, " is too large"));
  }
  return found->second->now;
}

void FakeFileSystem::MeetFate(Content& content) {
  Bytes& bytes = content.now;
  const size_t durable = content.durable_bytes;
  if (bytes.size() > durable) {
    switch (random_.Below(4)) {
      case 0:
        bytes.resize(durable);
        break;
      case 1:
        bytes.resize(durable + random_.Below(bytes.size() - durable + 1));
        break;
      case 2:
        // The length is there, some sectors are not.
        for (size_t at = durable; at < bytes.size();) {
          const size_t end = std::min((at / kSectorBytes + 1) * kSectorBytes, bytes.size());
          if (random_.Below(2) == 0) {
            std::fill(bytes.begin() + static_cast<ptrdiff_t>(at),
                      bytes.begin() + static_cast<ptrdiff_t>(end), 0);
          }
          at = end;
        }
        break;
      default:
        break;
    }
  }
  content.durable_bytes = bytes.size();
}

void FakeFileSystem::Restart() {
  names_ = durable_names_;
  for (const NameChange& change : changes_) {
    if (random_.Below(2) == 0) change(names_);
  }
  durable_names_ = names_;
  changes_.clear();
  for (auto& [path, content] : names_) MeetFate(*content);
  open_.clear();
  operations_ = 0;
  crash_at_ = UINT64_MAX;
}

}  // namespace nark::securespace
