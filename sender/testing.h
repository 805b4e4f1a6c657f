#ifndef NARK_SENDER_TESTING_H_
#define NARK_SENDER_TESTING_H_

#include <map>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/net/datagram_io.h"

namespace nark::sender {

// Keeps datagrams in memory; fails when told to.
class MemorySink final : public net::DatagramSink {
 public:
  absl::Status Send(std::span<const ByteView> sent) override {
    if (!status.ok()) return status;
    for (ByteView one : sent) datagrams.push_back(ToBytes(one));
    return absl::OkStatus();
  }
  std::vector<Bytes> datagrams;
  absl::Status status;
};

// Files in memory; writing fails when told to.
class MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Bytes> Read(std::string_view name) override {
    auto file = files.find(std::string(name));
    if (file == files.end()) return absl::NotFoundError("no file");
    return file->second;
  }
  absl::Status Replace(std::string_view name, ByteView content) override {
    if (!status.ok()) return status;
    files[std::string(name)] = ToBytes(content);
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view) override {
    return absl::UnimplementedError("");
  }
  absl::Status Remove(std::string_view) override { return absl::OkStatus(); }
  std::map<std::string, Bytes> files;
  absl::Status status;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_TESTING_H_
