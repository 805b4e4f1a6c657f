#ifndef NARK_SENDER_INDEX_H_
#define NARK_SENDER_INDEX_H_

#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sender/broadcaster.h"

namespace nark::sender {

// Writes down where each ADU began in the input, one JSON object a line:
//   {"adu_id":7,"offset":1234,"bytes":5678}
// so that a seller of ranges can tell what an id stands for. One thread only.
class Index {
 public:
  // Truncates `path`; an empty path writes nothing.
  static absl::StatusOr<Index> Create(const std::string& path);
  // ADUs that were sent under consecutive ids.
  absl::Status Add(uint64_t first_id, std::span<const OutgoingAdu> adus);

 private:
  explicit Index(std::string path) : path_(std::move(path)) {}
  std::string path_;
  std::ofstream file_;
  uint64_t offset_ = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_INDEX_H_
