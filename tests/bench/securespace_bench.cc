// Keys that a secure space releases a second, beside the cryptography that none can do
// without in the same run; durable ones beside fdatasync, counted ones beside bare
// increments of a software TPM. One JSON line a figure: medians of interleaved rounds on
// one core.

#include <sys/stat.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/storage.h"
#include "common/crypto/secret_bytes.h"
#include "common/crypto/signature.h"
#include "common/schedule/generator.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/header.h"
#include "securespace/testing.h"
#include "securespace/tpm_counter.h"
#include "tests/bench/releases.h"
#include "tests/harness/swtpm.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;

// What no secure space can do without: the leaf, two keys from it, and its part of a
// signature's verification. Per ADU.
double BareSeconds(Releases& bench, const std::vector<Bytes>& headers, size_t signatures) {
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
      const schedule::AduKeys adu = Must(schedule::AduKeys::Of(leaf));
      (void)adu.ControlKey(context, header.core);
      (void)Must(adu.DataKey(context, header.core, header.header.control_block, 16));
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

void InMemory(Releases& bench, const char* figure, const std::vector<Bytes>& headers,
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

// One command of the TPM's, with the authorisation in clear, and nothing else.
double BareIncrementSeconds(const std::string& tcti, uint32_t index, const SecretBytes& auth) {
  constexpr int kTimes = 50;
  const auto must = [](TSS2_RC code) {
    if (code != TSS2_RC_SUCCESS) Must(absl::InternalError("the TPM fails"));
  };
  TSS2_TCTI_CONTEXT* transport = nullptr;
  ESYS_CONTEXT* esys = nullptr;
  ESYS_TR counter = ESYS_TR_NONE;
  must(Tss2_TctiLdr_Initialize(tcti.c_str(), &transport));
  must(Esys_Initialize(&esys, transport, nullptr));
  must(Esys_TR_FromTPMPublic(esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &counter));
  TPM2B_AUTH value{};
  value.size = static_cast<uint16_t>(auth.size());
  std::copy(auth.Reveal().begin(), auth.Reveal().end(), value.buffer);
  must(Esys_TR_SetAuth(esys, counter, &value));
  const double seconds = SecondsOf(
      [&] {
        for (int i = 0; i < kTimes; ++i) {
          must(Esys_NV_Increment(esys, counter, counter, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE));
        }
      },
      CLOCK_MONOTONIC);
  Esys_Finalize(&esys);
  Tss2_TctiLdr_Finalize(&transport);
  return seconds / kTimes;
}

void Durable(Releases& bench, const char* figure, const std::vector<Bytes>& headers) {
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

void Counted(Releases& bench, const char* figure, const std::vector<Bytes>& headers) {
  harness::Swtpm tpm;
  char path[] = "/var/tmp/nark-bench-XXXXXX";
  const std::string root = mkdtemp(path);
  SecretBytes auth(32);
  Must(bench.world().random.Fill(auth.RevealMutable()));
  std::vector<double> values, limits, lists;
  for (int round = 0; round < kRounds; ++round) {
    const auto counter = Must(securespace::TpmCounter::Define(tpm.tcti(), auth));
    const std::string folder = root + "/" + std::to_string(round);
    if (mkdir(folder.c_str(), 0700) != 0) std::exit(1);
    FolderStorage storage(folder);
    const std::vector<double> seconds =
        bench.Release(storage, headers, CLOCK_MONOTONIC, counter.get());
    values.push_back(static_cast<double>(headers.size()) / Sum(seconds));
    lists.insert(lists.end(), seconds.begin(), seconds.end());
    limits.push_back(kList / BareIncrementSeconds(tpm.tcti(), counter->binding().index, auth));
  }
  std::filesystem::remove_all(root);
  char detail[160];
  std::snprintf(detail, sizeof detail,
                ",\"detail\":{\"median ms a list\":%.3f,\"p99 ms a list\":%.3f}",
                1e3 * Median(lists), 1e3 * Quantile(lists, 0.99));
  Print(figure, values, limits, "a bare NV increment of swtpm for every list of 256", detail);
}

// All figures, or the one that is named.
void Run(std::string_view only) {
  Releases bench;
  const auto wanted = [&](const char* figure) { return only.empty() || only == figure; };
  if (wanted("releases")) InMemory(bench, "releases", bench.batched(), kAdus / kBatch);
  if (wanted("releases single")) InMemory(bench, "releases single", bench.single(), kSingles);
  if (wanted("releases durable")) Durable(bench, "releases durable", bench.batched());
  if (wanted("releases durable single")) {
    Durable(bench, "releases durable single", bench.single());
  }
  if (wanted("releases tpm")) Counted(bench, "releases tpm", bench.batched());
}

}  // namespace
}  // namespace nark::bench

int main(int argc, char** argv) {
  nark::bench::Run(argc > 1 ? argv[1] : "");
  return 0;
}
