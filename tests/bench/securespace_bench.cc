// Keys that a secure space releases a second, beside the cryptography that none can do
// without in the same run; durable ones beside fdatasync. One JSON line a figure: medians
// of interleaved rounds on one core.

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/storage.h"
#include "common/crypto/signature.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/header.h"
#include "securespace/testing.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr size_t kAdus = 16384;
constexpr size_t kBatch = 512;
constexpr size_t kSingles = 2048;
constexpr size_t kList = 256;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "securespace_bench: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Must<int>(status);
}

double Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of the processor where nothing is waited for, so that a busy machine slows neither
// value nor limit.
double SecondsOf(auto&& work, clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  const double begin = Now(clock);
  work();
  return Now(clock) - begin;
}

double Quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(part * static_cast<double>(values.size())))];
}
double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

// Storage that keeps nothing durably, for the cost of all else.
class MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Bytes> Read(std::string_view name) override {
    const auto found = files_.find(std::string(name));
    if (found == files_.end()) return absl::NotFoundError("none");
    return found->second;
  }
  absl::Status Replace(std::string_view name, ByteView content) override {
    files_[std::string(name)] = ToBytes(content);
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view name) override {
    return std::make_unique<File>(files_[std::string(name)]);
  }
  absl::Status Remove(std::string_view name) override {
    files_.erase(std::string(name));
    return absl::OkStatus();
  }

 private:
  class File final : public AppendFile {
   public:
    explicit File(Bytes& bytes) : bytes_(bytes) {}
    absl::Status Append(ByteView bytes) override {
      bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
      return absl::OkStatus();
    }
    absl::Status Sync() override { return absl::OkStatus(); }

   private:
    Bytes& bytes_;
  };
  std::map<std::string, Bytes> files_;
};

// A world whose ADUs are made once; every round begins with nothing released.
class Bench {
 public:
  Bench() {
    for (uint64_t first = 0; first < kAdus; first += kBatch) {
      for (auto& adu : securespace::MakeBatch(world_.session, first, kBatch)) {
        batched_.push_back(std::move(adu.header));
      }
    }
    for (uint64_t id = 0; id < kSingles; ++id) {
      single_.push_back(securespace::MakeAdu(world_.session, id).header);
    }
    voucher_ = world_.Voucher(0, (uint64_t{1} << 24) - 1);
  }
  const std::vector<Bytes>& batched() const { return batched_; }
  const std::vector<Bytes>& single() const { return single_; }
  securespace::TestWorld& world() { return world_; }

  // Seconds each list took.
  std::vector<double> Release(Storage& storage, const std::vector<Bytes>& headers,
                              clockid_t clock) {
    Must(securespace::Emulation::Initialise(world_.state_key, storage, world_.random));
    world_.UseStorage(storage);
    Must(world_.Reopen());
    Must(world_.Join(voucher_).status());
    std::vector<double> seconds;
    for (size_t at = 0; at < headers.size(); at += kList) {
      securespace::ReleaseRequest request{world_.session.name(), 0, {}};
      request.headers.assign(headers.begin() + static_cast<ptrdiff_t>(at),
                             headers.begin() + static_cast<ptrdiff_t>(at + kList));
      absl::StatusOr<std::vector<securespace::KeyDecision>> decisions;
      seconds.push_back(SecondsOf([&] { decisions = world_.space().ReleaseKeys(request); }, clock));
      for (const securespace::KeyDecision& decision : Must(std::move(decisions))) {
        if (decision.refusal != v1::REFUSAL_REASON_UNSPECIFIED) {
          Must(absl::InternalError(v1::RefusalReason_Name(decision.refusal)));
        }
      }
    }
    return seconds;
  }

 private:
  securespace::TestWorld world_;
  std::vector<Bytes> batched_;
  std::vector<Bytes> single_;
  v1::SignedEnvelope voucher_;
};

double Sum(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

// What no secure space can do without: the leaf, two keys from it, and its part of a
// signature's verification. Per ADU.
double BareSeconds(Bench& bench, const std::vector<Bytes>& headers, size_t signatures) {
  const auto& session = bench.world().session;
  std::vector<schedule::Node> nodes;
  nodes.push_back({0, 0, SecretBytes(32)});
  const auto source =
      Must(Must(schedule::FindGenerator("marks"))->Open({"marks", 32}, std::move(nodes)));
  const Digest context = SessionContext(session.name(), 0);
  SecretBytes leaf(32);
  const wire::ParsedHeader header = Must(wire::ParseSignedHeader(headers[0]));
  const double keys = SecondsOf([&] {
    for (size_t id = 0; id < headers.size(); ++id) {
      Must(source->Leaf(id, leaf));
      (void)Must(schedule::ControlKey(leaf, context, header.core));
      (void)Must(schedule::DataKey(leaf, context, header.core, header.header.control_block, 16));
    }
  });
  const PublicKey& key = session.session().FindSender(1)->key;
  constexpr int kVerifications = 64;
  const double verifications = SecondsOf([&] {
    for (int i = 0; i < kVerifications; ++i) {
      wire::HeaderVerifier verifier(context);
      Must(verifier.Verify(header, key));
    }
  });
  return keys / static_cast<double>(headers.size()) + verifications / kVerifications *
                                                          static_cast<double>(signatures) /
                                                          static_cast<double>(headers.size());
}

void Print(const char* figure, const std::vector<double>& values, const std::vector<double>& limits,
           const char* limit_is, const std::string& detail = "") {
  const double value = Median(values), limit = Median(limits);
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.3f,\"unit\":\"keys/s\","
      "\"limit_is\":\"%s\"%s}\n",
      figure, value, limit, value / limit, limit_is, detail.c_str());
}

void InMemory(Bench& bench, const char* figure, const std::vector<Bytes>& headers,
              size_t signatures) {
  std::vector<double> values, limits;
  for (int round = 0; round < kRounds; ++round) {
    MemoryStorage storage;
    values.push_back(static_cast<double>(headers.size()) /
                     Sum(bench.Release(storage, headers, CLOCK_THREAD_CPUTIME_ID)));
    limits.push_back(1 / BareSeconds(bench, headers, signatures));
  }
  Print(figure, values, limits, "verifying a P-256 signature for its ADUs, and deriving keys");
}

// Appending and syncing what a list records, and nothing else.
double BareSyncSeconds(const std::string& folder) {
  constexpr int kTimes = 50;
  constexpr size_t kRecordBytes = 256;
  FolderStorage storage(folder);
  auto file = Must(storage.OpenAppend("bare"));
  const Bytes record(kRecordBytes, 1);
  const double seconds = SecondsOf(
      [&] {
        for (int i = 0; i < kTimes; ++i) {
          Must(file->Append(record));
          Must(file->Sync());
        }
      },
      CLOCK_MONOTONIC);
  return seconds / kTimes;
}

void Durable(Bench& bench, const char* figure, const std::vector<Bytes>& headers) {
  char path[] = "/var/tmp/nark-bench-XXXXXX";
  const std::string root = mkdtemp(path);
  std::vector<double> values, limits, lists;
  for (int round = 0; round < kRounds; ++round) {
    const std::string folder = root + "/" + std::to_string(round);
    if (mkdir(folder.c_str(), 0700) != 0) std::exit(1);
    FolderStorage storage(folder);
    const std::vector<double> seconds = bench.Release(storage, headers, CLOCK_MONOTONIC);
    values.push_back(static_cast<double>(headers.size()) / Sum(seconds));
    // The first list of a file that was only read rewrites it.
    lists.insert(lists.end(), seconds.begin() + 1, seconds.end());
    limits.push_back(kList / BareSyncSeconds(folder));
  }
  std::filesystem::remove_all(root);
  char detail[160];
  std::snprintf(detail, sizeof detail,
                ",\"detail\":{\"median ms a list\":%.3f,\"p99 ms a list\":%.3f}",
                1e3 * Median(lists), 1e3 * Quantile(lists, 0.99));
  Print(figure, values, limits, "an append and fdatasync for every list of 256", detail);
}

void Run() {
  Bench bench;
  InMemory(bench, "releases", bench.batched(), kAdus / kBatch);
  InMemory(bench, "releases single", bench.single(), kSingles);
  Durable(bench, "releases durable", bench.batched());
  Durable(bench, "releases durable single", bench.single());
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
