// Feeds a reassembler with whatever a network can bring. The input is a list of
// u16 length || bytes; bytes whose first is 0xff stand for a genuine datagram of a
// fixed session (the second byte says which), spoilt at the place and by the value
// that follow.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <vector>

#include "common/crypto/random.h"
#include "receiver/reassembler.h"
#include "receiver/testing.h"

namespace nark::receiver {
namespace {

// One session with a few ADUs of every shape.
struct Genuine {
  Genuine() : session(provider.MakeSession()), maker(session) {
    for (const MadeAdu& adu :
         {maker.MakeWhole(0, maker.Text(0, 200)), maker.Make(1, maker.Text(1, 3000)),
          maker.Make(2, maker.Text(2, 40'000), 512), maker.Make(3, maker.Text(3, 8000), 512, 4)}) {
      ciphertexts[adu.id] = adu.ciphertext;
      datagrams.insert(datagrams.end(), adu.datagrams.begin(), adu.datagrams.end());
    }
  }
  TestProvider provider;
  TestSession session;
  AduMaker maker;
  std::vector<Bytes> datagrams;
  std::map<uint64_t, Bytes> ciphertexts;
};

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace
}  // namespace nark::receiver

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nark;
  using namespace nark::receiver;
  static const Genuine& genuine = *new Genuine();
  ReassemblerOptions options;
  options.waiting_bytes = 64 << 10;
  options.assembly_bytes = 128 << 10;
  Reassembler reassembler(genuine.session.session(), 0, options);
  std::vector<CompleteAdu> complete;
  Timestamp now = kTestTime;
  while (size >= 2) {
    const size_t length = std::min<size_t>(LoadBig16(data), size - 2);
    const ByteView bytes(data + 2, length);
    data += 2 + length;
    size -= 2 + length;
    now += std::chrono::milliseconds(100);
    if (length >= 2 && bytes[0] == 0xff) {
      Bytes datagram = genuine.datagrams[bytes[1] % genuine.datagrams.size()];
      for (size_t i = 2; i + 3 <= length; i += 3) {
        datagram[LoadBig16(&bytes[i]) % datagram.size()] ^= bytes[i + 2];
      }
      reassembler.OnDatagram(datagram, now, complete);
    } else {
      reassembler.OnDatagram(bytes, now, complete);
    }
    Check(reassembler.waiting_bytes() <= options.waiting_bytes);
    Check(reassembler.assembly_bytes() <= options.assembly_bytes);
  }
  // What completes is what the sender made.
  for (const CompleteAdu& adu : complete) {
    Check(adu.ciphertext == genuine.ciphertexts.at(adu.header.adu_id));
  }
  reassembler.Expire(now + std::chrono::hours(1));
  const ReassemblerStatistics& numbers = reassembler.statistics();
  uint64_t accounted = numbers.used;
  for (uint64_t drops : numbers.drops) accounted += drops;
  Check(accounted == numbers.datagrams);
  Check(reassembler.waiting_bytes() == 0 && reassembler.assembly_bytes() == 0);
  return 0;
}
