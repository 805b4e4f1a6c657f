// What strangers send to a key manager: what is parsed has been counted, and says nothing that
// the contract does not know.

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "common/base/bytes.h"
#include "keymanager/request_shape.h"

namespace nark::keymanager {
namespace {

constexpr size_t kMostFields = 128;

void Require(bool condition) {
  if (!condition) std::abort();
}

size_t CountFields(const google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  Require(reflection.GetUnknownFields(message).empty());
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  size_t count = 0;
  for (const auto* field : fields) {
    if (field->message_type() != nullptr) {
      count += 1 + CountFields(reflection.GetMessage(message, field));
    } else {
      count += field->is_repeated() ? static_cast<size_t>(reflection.FieldSize(message, field)) : 1;
    }
  }
  return count;
}

template <typename Request>
void Fuzz(ByteView bytes) {
  Request request, plain;
  const bool parsed = ParseRequest(bytes, request).ok();
  Require(!parsed || CountFields(request) <= kMostFields);
  if (parsed) Require(plain.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
}

}  // namespace
}  // namespace nark::keymanager

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nark::keymanager::Fuzz<nark::v1::IssueGrantRequest>({data, size});
  nark::keymanager::Fuzz<nark::v1::GetChallengeRequest>({data, size});
  return 0;
}
