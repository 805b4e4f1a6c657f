#include "receiver/statistics.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"

namespace nark::receiver {

Statistics Statistics::Of(const Reception& reception) {
  Statistics statistics{.adus = reception.adus(),
                        .datagrams = reception.datagrams(),
                        .unwanted = reception.unwanted(),
                        .incomplete = 0,
                        .signatures_checked = reception.signatures_checked(),
                        .socket_drops = 0};
  statistics.incomplete = statistics.datagrams.incomplete + reception.unfinished();
  return statistics;
}

std::string Statistics::ToText() const {
  uint64_t refused = 0;
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : adus.refused) {
    refused += count;
    reasons.push_back(absl::StrCat(ReasonName(reason), " ", count));
  }
  std::vector<std::string> drops;
  for (size_t i = 0; i < kDrops; ++i) {
    if (datagrams.drops[i] == 0) continue;
    drops.push_back(absl::StrCat(Absl(Name(static_cast<Drop>(i))), " ", datagrams.drops[i]));
  }
  std::string text = absl::StrCat("received ", adus.received, ", delivered ", adus.delivered, " (",
                                  adus.delivered_bytes, " bytes), incomplete ", incomplete,
                                  ", missing ", adus.missing, ", refused ", refused);
  if (!reasons.empty()) absl::StrAppend(&text, " (", absl::StrJoin(reasons, ", "), ")");
  uint64_t put_off = 0;
  for (const auto& [reason, count] : adus.put_off) put_off += count;
  if (put_off != 0) absl::StrAppend(&text, ", put off ", put_off);
  if (adus.behind != 0) absl::StrAppend(&text, ", behind ", adus.behind);
  if (adus.crowded_out != 0) absl::StrAppend(&text, ", crowded out ", adus.crowded_out);
  if (datagrams.repaired != 0) {
    absl::StrAppend(&text, ", repaired ", datagrams.repaired, " (", datagrams.repaired_fragments,
                    " fragments)");
  }
  if (datagrams.wrong_parity != 0) {
    absl::StrAppend(&text, ", wrong parity ", datagrams.wrong_parity);
  }
  if (adus.damaged != 0) absl::StrAppend(&text, ", damaged ", adus.damaged);
  if (unwanted != 0) absl::StrAppend(&text, "; ", unwanted, " datagrams of senders not wanted");
  absl::StrAppend(&text, "; ", datagrams.datagrams, " datagrams, ", datagrams.used, " used");
  if (!drops.empty()) absl::StrAppend(&text, " (dropped: ", absl::StrJoin(drops, ", "), ")");
  if (socket_drops != 0) absl::StrAppend(&text, ", ", socket_drops, " lost to a full buffer");
  return text;
}

std::string Statistics::ToJson() const {
  nlohmann::ordered_json refused = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : adus.refused) refused[ReasonName(reason)] = count;
  nlohmann::ordered_json put_off = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : adus.put_off) put_off[ReasonName(reason)] = count;
  nlohmann::ordered_json dropped = nlohmann::ordered_json::object();
  for (size_t i = 0; i < kDrops; ++i) {
    dropped[std::string(Name(static_cast<Drop>(i)))] = datagrams.drops[i];
  }
  nlohmann::ordered_json senders = nlohmann::ordered_json::array();
  for (const auto& [stream, count] : adus.delivered_of) {
    senders.push_back({{"sub_session", stream.first}, {"id", stream.second}, {"delivered", count}});
  }
  const nlohmann::ordered_json all = {
      {"received", adus.received},
      {"delivered", adus.delivered},
      {"delivered_bytes", adus.delivered_bytes},
      {"incomplete", incomplete},
      {"missing", adus.missing},
      {"behind", adus.behind},
      {"repeated", adus.repeated},
      {"crowded_out", adus.crowded_out},
      {"damaged", adus.damaged},
      {"repaired", datagrams.repaired},
      {"repaired_fragments", datagrams.repaired_fragments},
      {"wrong_parity", datagrams.wrong_parity},
      {"refused", refused},
      {"put_off", put_off},
      {"senders", senders},
      {"signatures_checked", signatures_checked},
      {"datagrams",
       {{"received", datagrams.datagrams},
        {"bytes", datagrams.bytes},
        {"used", datagrams.used},
        {"unwanted", unwanted},
        {"dropped", dropped},
        {"socket_drops", socket_drops}}},
  };
  return all.dump();
}

}  // namespace nark::receiver
