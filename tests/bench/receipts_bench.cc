// What receipts take: in a delivery note beside the entropy of the loss pattern, the note
// besides them, and the storage of each type. 24 h at 30 ADU/s, 1 % lost. One JSON line a
// figure.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/crypto/random.h"
#include "common/object/id_codec.h"
#include "common/object/id_set.h"
#include "nark/v1/note.pb.h"
#include "securespace/codec.h"
#include "securespace/receipts.h"
#include "securespace/testing.h"

namespace nark::bench {
namespace {

constexpr uint64_t kAdus = 24 * 3600 * 30;
constexpr uint64_t kLossOneIn = 100;
constexpr uint64_t kBurst = 20;  // mean length
constexpr double kMaxNoteBytes = 1024;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "receipts_bench: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Must<int>(status);
}

struct History {
  const char* name;
  std::vector<uint64_t> released;
  double entropy_bytes = 0;
};

double BinaryEntropy(double p) { return -p * std::log2(p) - (1 - p) * std::log2(1 - p); }

// Each ADU lost by itself.
History RandomLoss() {
  History history{"random", {}, 0};
  SeededRandom random(1);
  for (uint64_t id = 0; id < kAdus; ++id) {
    if (random.Below(kLossOneIn) != 0) history.released.push_back(id);
  }
  const double lost = static_cast<double>(kAdus - history.released.size()) / kAdus;
  history.entropy_bytes = kAdus * BinaryEntropy(lost) / 8;
  return history;
}

// Losses come in bursts of geometric length (Gilbert's model). The entropy is that of its
// two transitions, as often as they were seen.
History BurstyLoss() {
  History history{"bursty", {}, 0};
  SeededRandom random(2);
  bool lost = false;
  double bursts = 0;
  for (uint64_t id = 0; id < kAdus; ++id) {
    const bool before = lost;
    lost = lost ? random.Below(kBurst) != 0 : random.Below((kLossOneIn - 1) * kBurst) == 0;
    if (lost && !before) ++bursts;
    if (!lost) history.released.push_back(id);
  }
  const double present = static_cast<double>(history.released.size());
  const double missing = kAdus - present;
  history.entropy_bytes =
      (present * BinaryEntropy(bursts / present) + missing * BinaryEntropy(bursts / missing)) / 8;
  return history;
}

void PrintNote(const History& history) {
  securespace::TestWorld world;
  Must(world.Join(world.Voucher(0, kAdus - 1)).status());
  Must(world.EditState([&](securespace::SessionState& state) {
    securespace::Receipts& released = *state.Stream({0, 1}).released;
    for (uint64_t id : history.released) released.Insert(id);
  }));
  v1::GetDeliveryNoteRequest request;
  *request.mutable_session() = world.session.name().ToProto();
  request.set_status(v1::NOTE_STATUS_FINAL);
  const v1::SignedEnvelope note = Must(world.space().GetDeliveryNote(request)).note();
  v1::DeliveryNote payload;
  if (!payload.ParseFromString(note.payload()) || payload.receipts_size() != 1) std::exit(1);
  const double receipts = static_cast<double>(payload.receipts(0).ByteSizeLong());
  const double besides = static_cast<double>(note.ByteSizeLong()) - receipts;
  std::printf(
      "{\"figure\":\"note receipts %s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.4f,"
      "\"unit\":\"bytes\",\"limit_is\":\"the entropy of the loss pattern\"}\n",
      history.name, receipts, history.entropy_bytes, receipts / history.entropy_bytes);
  std::printf(
      "{\"figure\":\"note besides receipts %s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.4f,"
      "\"unit\":\"bytes\",\"limit_is\":\"1 KiB\"}\n",
      history.name, besides, kMaxNoteBytes, besides / kMaxNoteBytes);
}

void PrintStorage(const History& history) {
  for (v1::ReceiptType type : securespace::ReceiptTypes()) {
    auto receipts = Must(securespace::MakeReceipts(type));
    for (uint64_t id : history.released) receipts->Insert(id);
    securespace::Writer writer;
    Must(receipts->Write(writer));
    const double bytes = static_cast<double>(writer.bytes().size());
    std::string name = v1::ReceiptType_Name(type).substr(sizeof "RECEIPT_TYPE_" - 1);
    for (char& letter : name) letter = static_cast<char>(letter | 0x20);
    std::printf(
        "{\"figure\":\"storage %s %s\",\"value\":%.0f,\"limit\":%.0f,\"ratio\":%.4f,"
        "\"unit\":\"bytes\",\"limit_is\":\"the entropy of the loss pattern\"}\n",
        name.c_str(), history.name, bytes, history.entropy_bytes, bytes / history.entropy_bytes);
  }
}

}  // namespace
}  // namespace nark::bench

int main() {
  for (const nark::bench::History& history :
       {nark::bench::RandomLoss(), nark::bench::BurstyLoss()}) {
    nark::bench::PrintNote(history);
    nark::bench::PrintStorage(history);
  }
  return 0;
}
