#include "securespace/fake_storage.h"

#include <algorithm>
#include <vector>

namespace nark::securespace {
namespace {

constexpr size_t kSectorBytes = 512;

absl::Status PowerIsOff() { return absl::InternalError("the storage has lost its power"); }

}  // namespace

class FakeStorage::File final : public AppendFile {
 public:
  File(FakeStorage& storage, std::string name) : storage_(storage), name_(std::move(name)) {}
  absl::Status Append(ByteView bytes) override { return storage_.Append(name_, bytes); }
  absl::Status Sync() override { return storage_.Sync(name_); }

 private:
  FakeStorage& storage_;
  std::string name_;
};

bool FakeStorage::Step() { return operations_++ < crash_at_; }

absl::StatusOr<Bytes> FakeStorage::Read(std::string_view name) {
  if (crashed()) return PowerIsOff();
  auto found = files_.find(name);
  if (found == files_.end()) return absl::NotFoundError(std::string(name) + " does not exist");
  return found->second;
}

absl::Status FakeStorage::Replace(std::string_view name, ByteView content) {
  bool powered = Step();
  // At the moment of the crash the renaming may have happened or not.
  if (powered || (operations_ - 1 == crash_at_ && random_.Below(2) == 0)) {
    files_[std::string(name)] = ToBytes(content);
    synced_[std::string(name)] = content.size();
  }
  return powered ? absl::OkStatus() : PowerIsOff();
}

absl::StatusOr<std::unique_ptr<AppendFile>> FakeStorage::OpenAppend(std::string_view name) {
  if (!Step()) return PowerIsOff();
  files_.try_emplace(std::string(name));
  synced_.try_emplace(std::string(name), 0);
  return std::make_unique<File>(*this, std::string(name));
}

absl::Status FakeStorage::Remove(std::string_view name) {
  if (!Step()) return PowerIsOff();
  files_.erase(std::string(name));
  synced_.erase(std::string(name));
  return absl::OkStatus();
}

absl::Status FakeStorage::Append(const std::string& name, ByteView bytes) {
  bool powered = Step();
  if (powered || operations_ - 1 == crash_at_) {
    Bytes& file = files_[name];
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  return powered ? absl::OkStatus() : PowerIsOff();
}

absl::Status FakeStorage::Sync(const std::string& name) {
  if (!Step()) return PowerIsOff();
  synced_[name] = files_[name].size();
  return absl::OkStatus();
}

void FakeStorage::LoseUnsynced(const std::string& name) {
  Bytes& file = files_[name];
  size_t durable = synced_[name];
  if (file.size() > durable) {
    switch (random_.Below(4)) {
      case 0:
        file.resize(durable);
        break;
      case 1:
        file.resize(durable + random_.Below(file.size() - durable + 1));
        break;
      case 2:
        // The length is there, some sectors are not.
        for (size_t at = durable; at < file.size();) {
          size_t end = std::min((at / kSectorBytes + 1) * kSectorBytes, file.size());
          if (random_.Below(2) == 0) std::fill(file.begin() + at, file.begin() + end, 0);
          at = end;
        }
        break;
      default:
        break;
    }
  }
  synced_[name] = file.size();
}

void FakeStorage::Restart() {
  for (auto& [name, file] : files_) LoseUnsynced(name);
  operations_ = 0;
  crash_at_ = UINT64_MAX;
}

}  // namespace nark::securespace
