#include "common/serve/http_get.h"

#include <httplib.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/rpc/address.h"

namespace nark::serve {
namespace {

constexpr size_t kMostBytes = 8 << 20;

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& host_port, const std::string& path,
                                    std::chrono::milliseconds timeout) {
  RETURN_IF_ERROR(rpc::ParseAddress(host_port).status());
  const std::string where = absl::StrCat("http://", host_port);
  httplib::Client client(where);
  client.set_connection_timeout(timeout);
  client.set_read_timeout(timeout);
  client.set_write_timeout(timeout);
  std::string body;
  const httplib::Result result = client.Get(path.c_str(), [&body](const char* data, size_t size) {
    body.append(data, size);
    return body.size() <= kMostBytes;
  });
  if (result && result->status == 200) return body;
  return MarkRemote(absl::UnavailableError(
      absl::StrCat(where, path, ": ",
                   result ? absl::StrCat("HTTP status ", result->status)
                          : absl::StrCat("no answer (", httplib::to_string(result.error()), ")"))));
}

}  // namespace nark::serve
