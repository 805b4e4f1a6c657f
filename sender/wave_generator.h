#ifndef NARK_SENDER_WAVE_GENERATOR_H_
#define NARK_SENDER_WAVE_GENERATOR_H_

#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"

namespace nark::sender {

// RIFF WAVE files for tests, as they are wanted.
struct WaveGenerator {
  enum class Form : uint8_t { kPlain, kExtensible };

  Form form = Form::kPlain;
  uint16_t encoding = 1;
  uint16_t channels = 2;
  uint32_t sample_rate = 8000;
  uint16_t bits = 16;
  uint16_t valid_bits = 16;         // kExtensible
  uint32_t data_size = 0xffffffff;  // as the header says
  // Of a chunk before "fmt ".
  Bytes list = {};

  static void Chunk(Bytes& to, std::string_view id, ByteView content) {
    to.insert(to.end(), id.begin(), id.end());
    Little(to, static_cast<uint32_t>(content.size()), 4);
    to.insert(to.end(), content.begin(), content.end());
    if (content.size() % 2 == 1) to.push_back(0);
  }

  uint16_t block_bytes() const { return static_cast<uint16_t>(channels * bits / 8); }

  // Up to the first sample.
  Bytes Header() const {
    Bytes wave = ToBytes(AsBytes("RIFF\xff\xff\xff\xffWAVE"));
    if (!list.empty()) Chunk(wave, "LIST", list);
    Chunk(wave, "fmt ", Format());
    const std::string_view data = "data";
    wave.insert(wave.end(), data.begin(), data.end());
    Little(wave, data_size, 4);
    return wave;
  }

  // With a pattern for samples.
  Bytes File(size_t data_bytes) const {
    Bytes wave = Header();
    for (size_t i = 0; i < data_bytes; ++i) wave.push_back(static_cast<uint8_t>(i * 7 + i / 251));
    return wave;
  }

 private:
  static void Little(Bytes& to, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) to.push_back(static_cast<uint8_t>(value >> 8 * i));
  }

  Bytes Format() const {
    Bytes format;
    Little(format, form == Form::kExtensible ? 0xfffe : encoding, 2);
    Little(format, channels, 2);
    Little(format, sample_rate, 4);
    Little(format, sample_rate * block_bytes(), 4);
    Little(format, block_bytes(), 2);
    Little(format, bits, 2);
    if (form == Form::kPlain) return format;
    Little(format, 22, 2);
    Little(format, valid_bits, 2);
    Little(format, 3, 4);
    Little(format, encoding, 2);
    for (uint8_t byte :
         {0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71}) {
      format.push_back(byte);
    }
    return format;
  }
};

}  // namespace nark::sender

#endif  // NARK_SENDER_WAVE_GENERATOR_H_
