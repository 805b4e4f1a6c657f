#include "common/serve/ready_file.h"

#include <systemd/sd-daemon.h>

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::serve {

absl::Status AnnounceReady(const std::string& path,
                           const std::vector<std::pair<std::string, std::string>>& addresses) {
  if (!path.empty()) {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (const auto& [name, address] : addresses) object[name] = address;
    const std::string text = object.dump() + "\n";
    RETURN_IF_ERROR(WriteFile(path, AsBytes(text), FileMode::kPublic));
  }
  std::string status = "READY=1\nSTATUS=serving";
  for (const auto& [name, address] : addresses) status += " " + name + " " + address;
  sd_notify(0, status.c_str());
  return absl::OkStatus();
}

}  // namespace nark::serve
