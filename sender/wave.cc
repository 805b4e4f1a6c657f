#include "sender/wave.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace nark::sender {
namespace {

constexpr size_t kRiffBytes = 12;
constexpr size_t kChunkBytes = 8;
constexpr size_t kFormatBytes = 16;
constexpr size_t kExtensibleBytes = 40;
constexpr uint16_t kPcm = 1;
constexpr uint16_t kFloat = 3;
constexpr uint16_t kExtensible = 0xfffe;
// Of the sub-formats that are format tags, what follows the tag.
constexpr std::array<uint8_t, 14> kTagGuid = {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80,
                                              0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71};
constexpr int64_t kMicrosPerSecond = 1'000'000;

uint16_t LoadLittle16(const uint8_t* from) {
  return static_cast<uint16_t>(from[0] | uint32_t{from[1]} << 8);
}

uint32_t LoadLittle32(const uint8_t* from) {
  return uint32_t{from[0]} | uint32_t{from[1]} << 8 | uint32_t{from[2]} << 16 |
         uint32_t{from[3]} << 24;
}

bool Matches(ByteView bytes, std::string_view text) {
  size_t size = std::min(bytes.size(), text.size());
  return Equal(bytes.first(size), AsBytes(text.substr(0, size)));
}

// Sizes that mean that the writer did not know: a little below 2^32, since some count their
// header, and from sox' 0x7ffff000 to arecord's 2^31.
bool IsUnknownSize(uint32_t size) {
  return size == 0 || size >= 0xfffff000 || (size >= 0x7ffff000 && size <= 0x80000000);
}

// False where it is no format; `content` has 16 bytes, or 40 if it is to have them.
bool ParseFormat(ByteView content, WaveFormat& format) {
  format.encoding = LoadLittle16(&content[0]);
  format.channels = LoadLittle16(&content[2]);
  format.sample_rate = LoadLittle32(&content[4]);
  format.byte_rate = LoadLittle32(&content[8]);
  format.block_bytes = std::max<uint32_t>(1, LoadLittle16(&content[12]));
  format.bits_per_sample = LoadLittle16(&content[14]);
  if (format.encoding == kExtensible && content.size() >= kExtensibleBytes) {
    // Samples may be wider than what they say; the rest of their bits are 0.
    const uint16_t valid_bits = LoadLittle16(&content[18]);
    if (valid_bits != 0) format.bits_per_sample = valid_bits;
    if (Equal(content.subspan(26, kTagGuid.size()), kTagGuid)) {
      format.encoding = LoadLittle16(&content[24]);
    }
  }
  return format.byte_rate != 0;
}

}  // namespace

bool WaveFormat::IsPcm16() const {
  return encoding == kPcm && bits_per_sample == 16 && channels > 0 &&
         block_bytes == uint32_t{2} * channels;
}

std::string WaveFormat::ToString() const {
  std::string sound = encoding == kPcm     ? "PCM"
                      : encoding == kFloat ? "floating point"
                                           : absl::StrCat("encoding 0x", absl::Hex(encoding));
  return absl::StrCat(bits_per_sample, "-bit ", sound, " of ", channels,
                      channels == 1 ? " channel" : " channels", " in blocks of ", block_bytes,
                      block_bytes == 1 ? " byte" : " bytes");
}

uint64_t WaveFormat::data_end() const {
  return data_bytes.has_value() ? data_offset + *data_bytes : std::numeric_limits<uint64_t>::max();
}

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
    const uint32_t size = LoadLittle32(&chunk[4]);
    if (Matches(chunk, "data")) {
      format.data_offset = at + kChunkBytes;
      format.data_bytes.reset();
      if (!IsUnknownSize(size)) format.data_bytes = size;
      return has_format ? WaveProbe::kYes : WaveProbe::kNo;
    }
    if (Matches(chunk, "fmt ")) {
      if (size < kFormatBytes) return WaveProbe::kNo;
      const size_t wanted = std::min<size_t>(size, kExtensibleBytes);
      if (chunk.size() < kChunkBytes + wanted) return WaveProbe::kNeedsMore;
      if (!ParseFormat(chunk.subspan(kChunkBytes, wanted), format)) return WaveProbe::kNo;
      has_format = true;
    }
    at += kChunkBytes + size_t{size} + (size & 1);
  }
  return WaveProbe::kNeedsMore;
}

bool AreTrailingChunks(ByteView bytes) {
  size_t at = 0;
  while (at + kChunkBytes <= bytes.size()) {
    const ByteView chunk = bytes.subspan(at);
    if (Matches(chunk, "RIFF") || Matches(chunk, "data") || Matches(chunk, "wavl")) return false;
    for (const uint8_t letter : chunk.first(4)) {
      if (letter < ' ' || letter > '~') return false;
    }
    const uint32_t size = LoadLittle32(&chunk[4]);
    if (size > chunk.size() - kChunkBytes) return false;
    at += kChunkBytes + size_t{size} + (size & 1);
  }
  return at == bytes.size() || at == bytes.size() + 1;
}

}  // namespace nark::sender
