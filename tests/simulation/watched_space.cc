#include "tests/simulation/watched_space.h"

#include <stdexcept>

#include "common/base/status.h"
#include "common/wire/header.h"

namespace nark::simulation {

uint64_t AduIdOf(ByteView signed_header) {
  const auto parsed = wire::ParseSignedHeader(signed_header);
  if (!parsed.ok()) throw std::runtime_error(parsed.status().ToString());
  return parsed->header.adu_id;
}

void WatchedSpace::OnAsked(ByteView header) { released_.in_doubt.insert(AduIdOf(header)); }

void WatchedSpace::OnDecision(ByteView header, v1::RefusalReason refusal) {
  const uint64_t id = AduIdOf(header);
  journal_.Event(name_, "asked for " + std::to_string(id) + ": " + std::to_string(refusal));
  released_.in_doubt.erase(id);
  const bool bought = released_.first <= id && id <= released_.last;
  if (refusal == v1::REFUSAL_REASON_UNSPECIFIED) {
    journal_.Require(bought, name_ + " got a key outside its range: " + std::to_string(id));
    journal_.Require(!released_.headers.contains(id),
                     name_ + " got the key of " + std::to_string(id) + " twice");
    released_.headers.emplace(id, ToBytes(header));
  } else {
    journal_.Require(bought || refusal == v1::REFUSAL_REASON_RANGE,
                     name_ + " was refused what it never bought with another reason");
  }
}

absl::StatusOr<std::vector<securespace::KeyDecision>> WatchedSpace::ReleaseKeys(
    const securespace::ReleaseRequest& request) {
  for (const ByteView header : request.headers) OnAsked(header);
  auto decisions = inner_.ReleaseKeys(request);
  if (!decisions.ok()) return decisions;
  for (size_t i = 0; i < decisions->size(); ++i) {
    const auto& decision = (*decisions)[i];
    const bool has_key = decision.data_key.size() > 0;
    journal_.Require(has_key == (decision.refusal == v1::REFUSAL_REASON_UNSPECIFIED),
                     name_ + ": a key with a refusal, or none without");
    OnDecision(request.headers[i], decision.refusal);
  }
  return decisions;
}

absl::StatusOr<std::vector<securespace::OpenDecision>> WatchedSpace::OpenAdus(
    const securespace::OpenRequest& request) {
  for (const auto& adu : request.adus) OnAsked(adu.header);
  auto decisions = inner_.OpenAdus(request);
  if (!decisions.ok()) return decisions;
  for (size_t i = 0; i < decisions->size(); ++i) {
    OnDecision(request.adus[i].header, (*decisions)[i].refusal);
  }
  return decisions;
}

}  // namespace nark::simulation
