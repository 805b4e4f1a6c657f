#include "sender/wave.h"

#include <gtest/gtest.h>

#include <limits>

#include "sender/wave_generator.h"

namespace nark::sender {
namespace {

using Form = WaveGenerator::Form;

WaveFormat Probed(const WaveGenerator& generator) {
  WaveFormat format;
  EXPECT_EQ(ProbeWave(generator.File(10), format), WaveProbe::kYes);
  return format;
}

TEST(WaveTest, SaysWhatTheSoundIs) {
  for (const Form form : {Form::kPlain, Form::kExtensible}) {
    const WaveGenerator generator{
        .form = form, .channels = 6, .sample_rate = 44'100, .data_size = 1000, .list = Bytes(3, 7)};
    const WaveFormat format = Probed(generator);
    EXPECT_EQ(format.encoding, 1);
    EXPECT_EQ(format.channels, 6);
    EXPECT_EQ(format.sample_rate, 44'100u);
    EXPECT_EQ(format.byte_rate, 44'100u * 12);
    EXPECT_EQ(format.block_bytes, 12u);
    EXPECT_EQ(format.bits_per_sample, 16);
    EXPECT_EQ(format.data_offset, generator.Header().size());
    EXPECT_EQ(format.data_bytes, 1000u);
    EXPECT_EQ(format.data_end(), format.data_offset + 1000);
    EXPECT_TRUE(format.IsPcm16());
    EXPECT_EQ(format.ToString(), "16-bit PCM of 6 channels in blocks of 12 bytes");
  }
}

TEST(WaveTest, SizesThatPipesPutThereMeanToTheEnd) {
  for (const uint32_t size :
       {0u, 0x7ffff000u, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0xffffffdbu}) {
    const WaveFormat format = Probed({.data_size = size});
    EXPECT_FALSE(format.data_bytes.has_value()) << size;
    EXPECT_EQ(format.data_end(), std::numeric_limits<uint64_t>::max());
  }
  for (const uint32_t size : {1u, 0x7fffefffu, 0x80000001u, 0xffffefffu}) {
    EXPECT_EQ(Probed({.data_size = size}).data_bytes, size);
  }
}

TEST(WaveTest, OtherSoundIsNot16BitPcm) {
  for (const WaveGenerator& generator :
       {WaveGenerator{.bits = 8}, WaveGenerator{.bits = 24}, WaveGenerator{.bits = 32},
        WaveGenerator{.encoding = 3}, WaveGenerator{.encoding = 2}, WaveGenerator{.channels = 0},
        WaveGenerator{.form = Form::kExtensible, .encoding = 3},
        WaveGenerator{.form = Form::kExtensible, .valid_bits = 12}}) {
    WaveFormat format;
    if (ProbeWave(generator.File(10), format) != WaveProbe::kYes) continue;
    EXPECT_FALSE(format.IsPcm16()) << format.ToString();
  }
  EXPECT_EQ(Probed({.encoding = 3, .bits = 32}).ToString(),
            "32-bit floating point of 2 channels in blocks of 8 bytes");
  EXPECT_EQ(Probed({.encoding = 0x55, .channels = 1}).ToString(),
            "16-bit encoding 0x55 of 1 channel in blocks of 2 bytes");
  EXPECT_EQ(Probed({.channels = 1, .bits = 8}).ToString(),
            "8-bit PCM of 1 channel in blocks of 1 byte");
}

TEST(WaveTest, BlocksOfAnotherSizeAreNot16BitPcm) {
  Bytes file = WaveGenerator{}.File(10);
  file[12 + 8 + 12] = 6;  // the block's bytes
  WaveFormat format;
  ASSERT_EQ(ProbeWave(file, format), WaveProbe::kYes);
  EXPECT_FALSE(format.IsPcm16());
}

TEST(WaveTest, AnotherSubFormatIsNot16BitPcm) {
  const WaveGenerator generator{.form = Form::kExtensible};
  for (size_t at = 24; at < 40; ++at) {
    Bytes file = generator.File(10);
    file[12 + 8 + at] ^= 2;
    WaveFormat format;
    ASSERT_EQ(ProbeWave(file, format), WaveProbe::kYes);
    EXPECT_FALSE(format.IsPcm16()) << at;
  }
}

TEST(WaveTest, EveryShorterHeaderNeedsMore) {
  for (const Form form : {Form::kPlain, Form::kExtensible}) {
    const Bytes header = WaveGenerator{.form = form, .list = Bytes(5, 7)}.Header();
    WaveFormat format;
    for (size_t size = 0; size < header.size(); ++size) {
      EXPECT_EQ(ProbeWave(ByteView(header).first(size), format), WaveProbe::kNeedsMore) << size;
    }
    EXPECT_EQ(ProbeWave(header, format), WaveProbe::kYes);
  }
}

TEST(WaveTest, TrailingChunksAreWholeAndNothingElse) {
  Bytes chunks;
  EXPECT_TRUE(AreTrailingChunks(chunks));
  WaveGenerator::Chunk(chunks, "LIST", Bytes(10, 0xff));
  WaveGenerator::Chunk(chunks, "id3 ", Bytes(5, 0xff));
  EXPECT_TRUE(AreTrailingChunks(chunks));
  EXPECT_TRUE(AreTrailingChunks(ByteView(chunks).first(chunks.size() - 1)));  // the padding
  for (size_t size = 1; size < chunks.size() - 1; ++size) {
    if (size == 18) continue;  // behind the first
    EXPECT_FALSE(AreTrailingChunks(ByteView(chunks).first(size))) << size;
  }
  EXPECT_FALSE(AreTrailingChunks(Bytes(1000, 0)));
  for (const char* id : {"data", "RIFF", "wavl"}) {
    Bytes sound;
    WaveGenerator::Chunk(sound, id, Bytes(10, 1));
    EXPECT_FALSE(AreTrailingChunks(sound)) << id;
  }
}

}  // namespace
}  // namespace nark::sender
