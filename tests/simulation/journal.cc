#include "tests/simulation/journal.h"

namespace nark::simulation {
namespace {
constexpr size_t kRemembered = 40;
}  // namespace

void Journal::Event(const std::string& who, const std::string& what) {
  const std::string line =
      std::to_string(ToMicros(clock_.Now()) % 1'000'000'000) + " " + who + " " + what;
  hash_ = ToHex(Sha256(AsBytes(hash_ + line)));
  ++events_;
  if (recent_.size() == kRemembered) recent_.erase(recent_.begin());
  recent_.push_back(line);
}

void Journal::Violation(const std::string& what) {
  violations_.push_back(std::to_string(ToMicros(clock_.Now()) % 1'000'000'000) + " " + what);
  Event("VIOLATION", what);
}

std::string Journal::Tail() const {
  std::string tail;
  for (const std::string& line : recent_) tail += line + "\n";
  return tail;
}

}  // namespace nark::simulation
