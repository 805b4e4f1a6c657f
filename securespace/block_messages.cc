#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "common/base/status.h"
#include "securespace/messages.h"

// Marked blocks over a socket.
namespace nark::securespace {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// OpenMarkedBlockResponse.block: field 1, length-delimited.
constexpr uint32_t kBlockTag = 1 << 3 | 2;
// The largest sealed block and what names its session.
constexpr size_t kMaxRequestBytes = (512 << 10) + 256;

}  // namespace

absl::StatusOr<OpenBlockRequest> FromMessage(const v1::OpenMarkedBlockRequest& message) {
  OpenBlockRequest request;
  ASSIGN_OR_RETURN(request.session, SessionName::FromProto(message.session()));
  request.sealed = AsBytes(message.sealed_block());
  return request;
}

v1::OpenMarkedBlockRequest ToMessage(const OpenBlockRequest& request) {
  v1::OpenMarkedBlockRequest message;
  *message.mutable_session() = request.session.ToProto();
  message.set_sealed_block(ToText(request.sealed));
  return message;
}

SecretBytes FrameBlock(const ChameleonBlock* block) {
  if (block == nullptr) return MakeFrame(0, size_t{0});
  const ByteView bytes = block->bytes().Reveal();
  const auto size = static_cast<uint32_t>(bytes.size());
  SecretBytes frame = MakeFrame(0, 1 + CodedOutputStream::VarintSize32(size) + bytes.size());
  uint8_t* to = MessageIn(frame).data();
  to = CodedOutputStream::WriteVarint32ToArray(kBlockTag, to);
  to = CodedOutputStream::WriteVarint32ToArray(size, to);
  std::copy(bytes.begin(), bytes.end(), to);
  return frame;
}

SecretBytes AnswerOpenBlock(SecureSpace& space, ByteView message) {
  v1::OpenMarkedBlockRequest request;
  if (message.size() > kMaxRequestBytes ||
      !request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return FrameStatus(absl::InvalidArgumentError("the message does not parse"));
  }
  const absl::StatusOr<OpenBlockRequest> parsed = FromMessage(request);
  if (!parsed.ok()) return FrameStatus(parsed.status());
  const auto block = space.OpenMarkedBlock(parsed->session, parsed->sealed);
  return block.ok() ? FrameBlock(block->get()) : FrameStatus(block.status());
}

absl::StatusOr<std::shared_ptr<const ChameleonBlock>> ParseBlock(ByteView message) {
  const absl::Status malformed = absl::InternalError("its answer does not parse");
  CodedInputStream in(message.data(), static_cast<int>(message.size()));
  std::shared_ptr<const ChameleonBlock> block;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag != kBlockTag) {
      if (!google::protobuf::internal::WireFormatLite::SkipField(&in, tag)) return malformed;
      continue;
    }
    uint32_t size = 0;
    const void* data = nullptr;
    int available = 0;
    if (!in.ReadVarint32(&size)) return malformed;
    if (size == 0) continue;
    if (!in.GetDirectBufferPointer(&data, &available) || size > static_cast<uint32_t>(available)) {
      return malformed;
    }
    auto made = ChameleonBlock::Of(SecretBytes::CopyOf({static_cast<const uint8_t*>(data), size}));
    if (!made.ok()) return malformed;
    block = std::make_shared<const ChameleonBlock>(*std::move(made));
    in.Skip(static_cast<int>(size));
  }
  if (!in.ConsumedEntireMessage()) return malformed;
  return block;
}

}  // namespace nark::securespace
