#include "tests/fec/recorded_sender.h"

#include <cstdlib>
#include <iostream>
#include <utility>

#include "common/base/storage.h"

namespace nark::fec {
namespace {

constexpr size_t kFragmentBytes = 1424;

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  if (!value.ok()) {
    std::cerr << "RecordedSender: " << value.status() << "\n";
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

class RecordedSender::Recorder final : public net::DatagramSink {
 public:
  absl::Status Send(std::span<const ByteView> sent) override {
    for (ByteView one : sent) datagrams.push_back(ToBytes(one));
    return absl::OkStatus();
  }
  std::vector<Bytes> datagrams;
};

class RecordedSender::MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Bytes> Read(std::string_view) override { return absl::NotFoundError("none"); }
  absl::Status Replace(std::string_view, ByteView) override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view) override {
    return absl::UnimplementedError("");
  }
  absl::Status Remove(std::string_view) override { return absl::OkStatus(); }
};

RecordedSender::RecordedSender(uint32_t fec_percent)
    : session_(provider_.MakeSession()),
      sender_(Must(OpenSenderFile(session_.sender_files.at(1), kTestTime))),
      recorder_(std::make_unique<Recorder>()),
      storage_(std::make_unique<MemoryStorage>()) {
  reservation_ =
      Must(sender::Reservation::Open(*storage_, "state", sender::Broadcaster::OwnerOf(sender_, 0)));
  broadcaster_ = Must(sender::Broadcaster::Create(
      sender_, {*recorder_, clock_, random_, *reservation_}, {.fec_percent = fec_percent}));
}

RecordedSender::~RecordedSender() = default;

std::vector<Bytes> RecordedSender::Send(size_t plaintext_bytes) {
  return SendTogether(1, plaintext_bytes);
}

std::vector<Bytes> RecordedSender::SendTogether(size_t adus, size_t plaintext_bytes) {
  recorder_->datagrams.clear();
  Bytes plaintext(plaintext_bytes);
  if (!random_.Fill(plaintext).ok()) std::abort();
  const std::vector<sender::OutgoingAdu> burst(adus, {.plaintext = plaintext, .clear = {}});
  Must(broadcaster_->SendBurst(burst));
  return recorder_->datagrams;
}

size_t RecordedSender::BytesFor(uint32_t source_fragments) {
  // With the tag of 16 bytes; the only fragment of an ADU is too large for one datagram.
  return source_fragments * kFragmentBytes - 16 - 8;
}

}  // namespace nark::fec
