#include "common/rpc/status.h"

#include <string>

#include "common/base/status.h"
#include "google/rpc/status.pb.h"

namespace nark::rpc {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const google::rpc::Status details = ToDetails(status);
  if (details.details().empty()) return grpc::Status(code, details.message());
  return grpc::Status(code, details.message(), details.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  return FromDetails(status.error_code(), status.error_message(), details);
}

}  // namespace nark::rpc
