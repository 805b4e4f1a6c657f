#include "common/rpc/call_ids.h"

#include <algorithm>
#include <map>

namespace nark::rpc {
namespace {

constexpr char kTraceParentKey[] = "traceparent";
constexpr size_t kLongestRequestId = 64;

bool IsLowerHex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool AllZero(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '0'; });
}

std::string_view Find(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
                      const char* key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return {found->second.data(), found->second.size()};
}

}  // namespace

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kLongestRequestId && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

// version "-" trace-id "-" parent-id "-" trace-flags: 2, 32, 16 and 2 digits.
std::string TraceIdOf(std::string_view traceparent) {
  if (traceparent.size() != 55 || !traceparent.starts_with("00-") || traceparent[35] != '-' ||
      traceparent[52] != '-') {
    return "";
  }
  const std::string_view trace = traceparent.substr(3, 32), parent = traceparent.substr(36, 16);
  if (!IsLowerHex(trace) || !IsLowerHex(parent) || !IsLowerHex(traceparent.substr(53)) ||
      AllZero(trace) || AllZero(parent)) {
    return "";
  }
  return std::string(trace);
}

CallIds CallIdsOf(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const std::string_view request_id = Find(metadata, kRequestIdKey);
  return {.request_id = IsRequestId(request_id) ? std::string(request_id) : "",
          .trace_id = TraceIdOf(Find(metadata, kTraceParentKey))};
}

}  // namespace nark::rpc
