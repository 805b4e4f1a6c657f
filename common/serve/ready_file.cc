#include "common/serve/ready_file.h"

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"
#include "common/base/storage.h"

namespace nark::serve {

absl::Status WriteReadyFile(const std::string& path,
                            const std::vector<std::pair<std::string, std::string>>& addresses) {
  if (path.empty()) return absl::OkStatus();
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, address] : addresses) object[name] = address;
  const std::string text = object.dump() + "\n";
  return WriteFile(path, AsBytes(text), FileMode::kPublic);
}

}  // namespace nark::serve
