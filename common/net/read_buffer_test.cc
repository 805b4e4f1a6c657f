#include "common/net/read_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace nark::net {
namespace {

// As from a pipe whose writer writes single bytes.
TEST(ReadBufferTest, AByteCostsAByte) {
  ReadBuffer buffer;
  MutableByteView room = buffer.Room();
  ASSERT_GE(room.size(), ReadBuffer::kRoomBytes);
  std::fill(room.begin(), room.end(), 0x5a);
  buffer.Filled(1);
  // Nobody touched what was not read.
  room = buffer.Room();
  EXPECT_GE(room.size(), ReadBuffer::kRoomBytes);
  EXPECT_TRUE(std::all_of(room.begin(), room.end(), [](uint8_t byte) { return byte == 0x5a; }));
}

TEST(ReadBufferTest, KeepsWhatIsUnread) {
  ReadBuffer buffer;
  uint8_t next = 0, expected = 0;
  size_t left = 0;
  // Pieces of many sizes in and out, for many times its memory.
  for (size_t turn = 1; turn < 40; ++turn) {
    const size_t in = turn * 7919 % ReadBuffer::kRoomBytes + 1;
    const MutableByteView room = buffer.Room();
    for (size_t i = 0; i < in; ++i) room[i] = next++;
    buffer.Filled(in);
    left += in;
    ASSERT_EQ(buffer.unread().size(), left);
    const size_t out = std::min(left, turn * 104729 % (2 * ReadBuffer::kRoomBytes));
    for (size_t i = 0; i < out; ++i) ASSERT_EQ(buffer.unread()[i], expected++) << turn;
    buffer.Use(out);
    left -= out;
  }
  buffer.Clear();
  EXPECT_TRUE(buffer.unread().empty());
}

}  // namespace
}  // namespace nark::net
