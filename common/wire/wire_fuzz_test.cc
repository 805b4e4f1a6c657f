// Everything of this folder that reads bytes from the network: must neither crash
// nor accept two spellings of one thing.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/wire/control_block.h"
#include "common/wire/datagram.h"
#include "common/wire/fragment.h"
#include "common/wire/header.h"

namespace nark::wire {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// Of a header that the parser takes, over any bytes.
void FuzzClearMap(const Header& header, ByteView body) {
  Require(CheckClearMap(header.clear_map, header.plaintext_bytes).ok());
  Require(EncryptedBytes(header.clear_map, header.plaintext_bytes) >= 1);
  const auto ranges = ResolveClearMap(header.clear_map, body);
  if (!ranges.ok()) return;
  const auto size = static_cast<uint32_t>(body.size());
  Require(TotalBytes(*ranges) + TotalBytes(Complement(*ranges, size)) == size);
  Bytes masked = ToBytes(body);
  Require(MaskEncrypted(header.clear_map, masked).ok());
  const auto again = ResolveClearMap(header.clear_map, masked);
  Require(again.ok() && *again == *ranges);
}

void FuzzSignedHeader(ByteView bytes, ByteView ciphertext) {
  const auto parsed = ParseSignedHeader(bytes);
  if (!parsed.ok()) return;
  Require(Equal(SerialiseHeader(parsed->header), parsed->bytes));
  Require(ParseAuthentication(parsed->authentication).ok());
  FuzzClearMap(parsed->header, ciphertext);
  HashTreeReceiver tree(parsed->header);
  Require(tree.fragments() >= 1);
  for (uint32_t i : {0u, tree.fragments() - 1, tree.fragments()}) {
    (void)tree.CheckFragment(i, ciphertext);
  }
  for (uint32_t page = 0; page <= tree.pages(); ++page) (void)tree.AcceptPage(page, ciphertext);
}

void FuzzControlBlock(ByteView bytes) {
  const auto entries = ParseControlBlock(bytes);
  if (!entries.ok()) return;
  const auto serialised = SerialiseControlBlock(*entries, bytes.size());
  Require(serialised.ok() && Equal(*serialised, bytes));
}

void FuzzDatagram(ByteView bytes) {
  const ParsedDatagram datagram = ParseDatagram(bytes);
  if (datagram.drop != Drop::kNone) return;
  uint8_t prefix[kPrefixBytes];
  WritePrefix(datagram.prefix, prefix);
  Require(Equal(prefix, bytes.first(kPrefixBytes)));
  if (datagram.prefix.kind == DatagramKind::kHeader) FuzzSignedHeader(datagram.payload, {});
  if (datagram.prefix.kind == DatagramKind::kWhole) {
    const auto whole = ParseWhole(datagram.payload);
    if (!whole.ok()) return;
    Require(Equal(SerialiseWhole(whole->signed_header, whole->ciphertext), datagram.payload));
    FuzzSignedHeader(whole->signed_header, whole->ciphertext);
  }
}

}  // namespace
}  // namespace nark::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const nark::ByteView bytes(data, size);
  nark::wire::FuzzDatagram(bytes);
  nark::wire::FuzzControlBlock(bytes);
  nark::wire::FuzzSignedHeader(bytes, {});
  return 0;
}
