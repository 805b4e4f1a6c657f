#include "sender/stream_generator.h"

#include <algorithm>

namespace nark::sender {
namespace {

constexpr uint64_t kFrameTicks = 27'000'000 / 25;

uint32_t BitwiseCrc(ByteView bytes) {
  uint32_t crc = 0xffffffff;
  for (uint8_t byte : bytes) {
    for (int bit = 7; bit >= 0; --bit) {
      bool top = ((crc >> 31) & 1) != ((byte >> bit) & 1u);
      crc = crc << 1 ^ (top ? 0x04c11db7 : 0);
    }
  }
  return crc;
}

// Adds length and CRC to a section whose first three bytes are its header.
Bytes Close(Bytes section) {
  StoreBig16(&section[1], static_cast<uint16_t>(0xb000 | (section.size() - 3 + 4)));
  uint32_t crc = BitwiseCrc(section);
  section.resize(section.size() + 4);
  StoreBig32(&section[section.size() - 4], crc);
  return section;
}

void Add16(Bytes& to, int value) {
  to.push_back(static_cast<uint8_t>(value >> 8));
  to.push_back(static_cast<uint8_t>(value));
}

}  // namespace

void StreamGenerator::Tables(uint16_t pcr_pid) {
  Bytes pat = {0, 0, 0, 0, 1, 0xc1, 0, 0};
  Add16(pat, 0);  // network information, no programme
  Add16(pat, 0xe010);
  Add16(pat, 7);
  Add16(pat, 0xe000 | kPmtPid);
  Add16(pat, 8);
  Add16(pat, 0xe1ff);
  Section(0, Close(pat));
  Bytes pmt = {2, 0, 0, 0, 7, 0xc1, 0, 0};
  Add16(pmt, 0xe000 | pcr_pid);
  Add16(pmt, 0xf000 | 200);  // descriptors that push the rest into a second packet
  pmt.resize(pmt.size() + 200, 0x2a);
  pmt.push_back(0x0f);  // AAC
  Add16(pmt, 0xe000 | kAudioPid);
  Add16(pmt, 0xf000);
  pmt.push_back(0x1b);  // H.264
  Add16(pmt, 0xe000 | kVideoPid);
  Add16(pmt, 0xf000);
  Section(kPmtPid, Close(pmt));
}

void StreamGenerator::Section(uint16_t pid, Bytes section) {
  section.insert(section.begin(), 0);  // pointer field
  bool first = true;
  for (size_t at = 0; at < section.size(); at += 184, first = false) {
    Bytes packet = {0x47, 0, 0, static_cast<uint8_t>(0x10 | (counter_++ & 0xf))};
    StoreBig16(&packet[1], static_cast<uint16_t>((first ? 0x4000 : 0) | pid));
    size_t size = std::min<size_t>(184, section.size() - at);
    packet.insert(packet.end(), section.begin() + static_cast<ptrdiff_t>(at),
                  section.begin() + static_cast<ptrdiff_t>(at + size));
    packet.resize(188, 0xff);
    Raw(packet);
  }
}

void StreamGenerator::Packet(uint16_t pid, RandomAccess random_access, int64_t pcr, Splice splice) {
  Bytes packet = {0x47, 0, 0, static_cast<uint8_t>(0x30 | (counter_++ & 0xf))};
  StoreBig16(&packet[1], pid);
  Bytes field = {0};
  if (random_access == RandomAccess::kYes) field[0] |= 0x40;
  if (splice == Splice::kYes) field[0] |= 0x80;
  if (pcr >= 0) {
    field[0] |= 0x10;
    uint64_t base = static_cast<uint64_t>(pcr) / 300;
    uint64_t extension = static_cast<uint64_t>(pcr) % 300;
    for (int shift : {25, 17, 9, 1}) field.push_back(static_cast<uint8_t>(base >> shift));
    field.push_back(static_cast<uint8_t>((base & 1) << 7 | 0x7e | extension >> 8));
    field.push_back(static_cast<uint8_t>(extension));
  }
  packet.push_back(static_cast<uint8_t>(field.size()));
  packet.insert(packet.end(), field.begin(), field.end());
  // A payload full of sync bytes, as real ones have some.
  packet.resize(188, 0x47);
  Raw(packet);
}

std::vector<size_t> StreamGenerator::Programme(int frames, int frames_per_gop,
                                               int packets_per_frame, uint64_t first_pcr) {
  std::vector<size_t> gops;
  for (int frame = 0; frame < frames; ++frame) {
    bool gop = frame % frames_per_gop == 0;
    if (frame % 5 == 0) Tables();
    Packet(kAudioPid, RandomAccess::kYes);
    if (gop) gops.push_back(size());
    auto pcr = static_cast<int64_t>((first_pcr + static_cast<uint64_t>(frame) * kFrameTicks) %
                                    kPcrModulus);
    Packet(kVideoPid, gop ? RandomAccess::kYes : RandomAccess::kNo, pcr);
    for (int i = 1; i < packets_per_frame; ++i) Packet(kVideoPid, RandomAccess::kNo);
  }
  return gops;
}

}  // namespace nark::sender
