#include "sender/wave.h"

#include <algorithm>

namespace nark::sender {
namespace {

constexpr size_t kRiffBytes = 12;
constexpr size_t kChunkBytes = 8;
constexpr size_t kFormatBytes = 16;
constexpr int64_t kMicrosPerSecond = 1'000'000;

uint32_t LoadLittle32(const uint8_t* from) {
  return uint32_t{from[0]} | uint32_t{from[1]} << 8 | uint32_t{from[2]} << 16 |
         uint32_t{from[3]} << 24;
}

bool Matches(ByteView bytes, std::string_view text) {
  size_t size = std::min(bytes.size(), text.size());
  return Equal(bytes.first(size), AsBytes(text.substr(0, size)));
}

}  // namespace

uint64_t WaveFormat::OffsetOf(std::chrono::microseconds time) const {
  auto bytes = static_cast<uint64_t>(static_cast<unsigned __int128>(time.count()) * byte_rate /
                                     kMicrosPerSecond);
  return data_offset + bytes / block_bytes * block_bytes;
}

std::chrono::microseconds WaveFormat::TimeOf(uint64_t offset) const {
  if (offset <= data_offset) return std::chrono::microseconds(0);
  return std::chrono::microseconds(static_cast<int64_t>(
      static_cast<unsigned __int128>(offset - data_offset) * kMicrosPerSecond / byte_rate));
}

WaveProbe ProbeWave(ByteView begin, WaveFormat& format) {
  if (!Matches(begin, "RIFF")) return WaveProbe::kNo;
  if (begin.size() >= 8 && !Matches(begin.subspan(8), "WAVE")) return WaveProbe::kNo;
  bool has_format = false;
  size_t at = kRiffBytes;
  while (begin.size() >= at + kChunkBytes) {
    ByteView chunk = begin.subspan(at);
    if (Matches(chunk, "data")) {
      format.data_offset = at + kChunkBytes;
      return has_format ? WaveProbe::kYes : WaveProbe::kNo;
    }
    size_t size = LoadLittle32(&chunk[4]);
    if (Matches(chunk, "fmt ")) {
      if (size < kFormatBytes) return WaveProbe::kNo;
      if (chunk.size() < kChunkBytes + kFormatBytes) return WaveProbe::kNeedsMore;
      format.byte_rate = LoadLittle32(&chunk[kChunkBytes + 8]);
      format.block_bytes =
          std::max<uint32_t>(1, chunk[kChunkBytes + 12] | uint32_t{chunk[kChunkBytes + 13]} << 8);
      if (format.byte_rate == 0) return WaveProbe::kNo;
      has_format = true;
    }
    at += kChunkBytes + size + (size & 1);
  }
  return WaveProbe::kNeedsMore;
}

}  // namespace nark::sender
