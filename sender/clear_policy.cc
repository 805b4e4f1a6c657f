#include "sender/clear_policy.h"

#include <array>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/cli/units.h"
#include "sender/transport_stream.h"
#include "sender/video_pids.h"

namespace nark::sender {
namespace {

// So many packets in a row do not begin as packets by chance.
constexpr size_t kPacketsThatProve = 5;

class EncryptAllPolicy final : public ClearPolicy {
 public:
  wire::ClearMap Next(ByteView) override { return {}; }
};

class EncryptFirstPolicy final : public ClearPolicy {
 public:
  explicit EncryptFirstPolicy(uint32_t bytes) : bytes_(bytes) {}
  wire::ClearMap Next(ByteView adu) override {
    if (adu.size() <= bytes_) return {};
    return wire::ClearRanges{{bytes_, static_cast<uint32_t>(adu.size()) - bytes_}};
  }

 private:
  const uint32_t bytes_;
};

// Where the packets of a stream begin that comes in pieces.
class PacketPhase {
 public:
  // Of the next piece; nothing where it does not consist of packets, but for its ends.
  std::optional<uint8_t> Next(ByteView piece) {
    const std::optional<uint8_t> phase = Find(piece);
    const size_t at = phase.value_or(expected_.value_or(0));
    if (phase.has_value() || expected_.has_value()) {
      expected_ = (at + kPacketBytes - piece.size() % kPacketBytes) % kPacketBytes;
    }
    return phase;
  }

 private:
  std::optional<uint8_t> Find(ByteView piece) const {
    if (piece.size() < kPacketBytes) return std::nullopt;
    std::array<size_t, kPacketBytes> begins{};
    for (size_t at = 0; at + kPacketBytes <= piece.size(); ++at) {
      if (piece[at] == kSyncByte) ++begins[at % kPacketBytes];
    }
    const auto whole = [&](size_t phase) {
      return phase + kPacketBytes <= piece.size() ? (piece.size() - phase) / kPacketBytes : 0;
    };
    if (expected_.has_value() && whole(*expected_) > 0 && begins[*expected_] == whole(*expected_)) {
      return static_cast<uint8_t>(*expected_);
    }
    for (size_t phase = 0; phase < kPacketBytes; ++phase) {
      if (whole(phase) >= kPacketsThatProve && begins[phase] == whole(phase)) {
        return static_cast<uint8_t>(phase);
      }
    }
    return std::nullopt;
  }

  std::optional<size_t> expected_;
};

class EncryptVideoPolicy final : public ClearPolicy {
 public:
  wire::ClearMap Next(ByteView adu) override {
    const std::optional<uint8_t> phase = phase_.Next(adu);
    const bool first = std::exchange(first_, false);
    if (!phase.has_value()) {
      // As the tables ahead of a stream's first picture are: nothing that people need hear of.
      if (first && adu.size() < kPacketsThatProve * kPacketBytes) return {};
      return All("it is not made of whole transport-stream packets");
    }
    // Those that hold at its begin too, so that a change of tables leaves nothing clear.
    std::set<uint16_t> pids = video_.pids();
    for (size_t at = *phase; at + kPacketBytes <= adu.size(); at += kPacketBytes) {
      video_.Look(adu.subspan(at, kPacketBytes));
      if (video_.version() != version_) {
        version_ = video_.version();
        pids.merge(video_.pids());
      }
    }
    if (!video_.complete()) return All("the tables of its programmes are not known");
    if (pids.empty()) return All("its programmes have no video");
    if (pids.size() > wire::kMaxEncryptedPids) return All("it has more than 8 PIDs of video");
    wire::PacketRule rule{*phase, std::vector<uint16_t>(pids.begin(), pids.end()), 0};
    const size_t clear = wire::TotalBytes(wire::ClearBytesOfPackets(rule.phase, rule.pids, adu));
    rule.encrypted_bytes = static_cast<uint32_t>(adu.size() - clear);
    wire::ClearMap map(std::move(rule));
    // Nothing to encrypt, or PIDs that no stream may have.
    if (!wire::CheckClearMap(map, static_cast<uint32_t>(adu.size())).ok()) return {};
    return map;
  }

  std::string TakeWarning() override { return std::exchange(warning_, {}); }

 private:
  wire::ClearMap All(std::string_view why) {
    if (!warned_) {
      warning_ = absl::StrCat("--encrypt video finds no video in an ADU, as ", Absl(why),
                              ": everything of it and of others like it is encrypted");
      warned_ = true;
    }
    return {};
  }

  PacketPhase phase_;
  VideoPids video_;
  uint64_t version_ = 0;
  bool first_ = true;
  std::string warning_;
  bool warned_ = false;
};

}  // namespace

std::unique_ptr<ClearPolicy> EncryptFirst(uint32_t bytes) {
  return std::make_unique<EncryptFirstPolicy>(bytes);
}

std::unique_ptr<ClearPolicy> EncryptVideo() { return std::make_unique<EncryptVideoPolicy>(); }

absl::StatusOr<std::unique_ptr<ClearPolicy>> MakeClearPolicy(std::string_view encrypt,
                                                             std::string_view first_bytes) {
  if (!first_bytes.empty()) {
    absl::StatusOr<uint64_t> bytes = cli::ParseBytes(first_bytes);
    if (!bytes.ok()) return Annotate(bytes.status(), "--encrypt-first");
    if (*bytes == 0 || *bytes > std::numeric_limits<uint32_t>::max()) {
      return absl::InvalidArgumentError("--encrypt-first is not 1 byte to 4 GiB");
    }
    if (encrypt != "all") {
      return absl::InvalidArgumentError("--encrypt and --encrypt-first exclude each other");
    }
    return EncryptFirst(static_cast<uint32_t>(*bytes));
  }
  if (encrypt == "video") return EncryptVideo();
  if (encrypt == "all") return std::unique_ptr<ClearPolicy>(std::make_unique<EncryptAllPolicy>());
  return absl::InvalidArgumentError(absl::StrCat("--encrypt is all or video, not ", Absl(encrypt)));
}

}  // namespace nark::sender
