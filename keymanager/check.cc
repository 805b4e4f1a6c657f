#include "keymanager/check.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/status.h"
#include "common/object/pool_folder.h"
#include "common/rpc/server.h"
#include "keymanager/client.h"

namespace nark::keymanager {
namespace {

using std::chrono::days;
using std::chrono::hours;

// A certificate is replaced by people, a list by a timer.
constexpr days kCertificateNotice{30};
constexpr hours kListNotice{24};
constexpr days kOldKey{90};
constexpr size_t kFewConnections = 500;

std::string_view NameOf(Grade grade) {
  switch (grade) {
    case Grade::kGood:
      return "ok";
    case Grade::kWarning:
      return "warning";
    case Grade::kBad:
      return "bad";
  }
  return "";
}

std::string Date(Timestamp t) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromChrono(t), absl::UTCTimeZone());
}

class NoLog final : public RefusalLog {
  void OnRefusal(Cause, std::string_view) override {}
};

class Checker {
 public:
  explicit Checker(Timestamp now) : now_(now) {}

  std::vector<Finding> Take() { return std::move(findings_); }

  void Good(std::string_view what, std::string text) { Add(Grade::kGood, what, std::move(text)); }
  void Warn(std::string_view what, std::string text) {
    Add(Grade::kWarning, what, std::move(text));
  }
  void Bad(std::string_view what, std::string text) { Add(Grade::kBad, what, std::move(text)); }

  void CheckDates(const ReplicaDates& dates) {
    CheckEnd("root", "the provider's root", dates.root_ends);
    CheckEnd("signing", "the signing certificate", dates.signing_certificate_ends);
    CheckEnd("tls", "the TLS certificate", dates.tls_certificate_ends);
    CheckEnd("issuer", "the issuer's certificate", dates.issuer_ends);
    CheckAge("hpke key", dates.hpke_key_made);
    CheckAge("challenge key", dates.challenge_key_made);
  }

  void CheckFiles(const std::string& pool) {
    const auto unlisted = UnlistedFiles(pool);
    if (!unlisted.ok()) return Warn("files", std::string(unlisted.status().message()));
    if (unlisted->empty()) return;
    const size_t more = unlisted->size() - 1;
    Warn("files", absl::StrCat("the manifest of ", pool, " does not list ", unlisted->front(),
                               more == 0 ? "" : absl::StrCat(" and ", more, " more"),
                               ": remove what is old, keys among it are secrets still"));
  }

  void CheckLists(const GrantAuthority& authority) {
    const Timestamp next = authority.lists_next_update();
    if (absl::Status ready = authority.CheckReady(); !ready.ok()) {
      return Bad("lists", absl::StrCat(ready.message(), ": every join would be refused"));
    }
    if (next == Timestamp::max()) {
      return Warn("lists", "no --crl and no --deny: whoever was certified once gets grants");
    }
    const std::string text = absl::StrCat("valid until ", Date(next));
    next - now_ < kListNotice ? Warn("lists", text) : Good("lists", text);
  }

  void CheckAddress(std::string_view what, const std::string& listen) {
    if (absl::Status free = rpc::CheckListen(listen); !free.ok()) {
      return Bad(what, std::string(free.message()));
    }
    Good(what, listen);
  }

 private:
  void Add(Grade grade, std::string_view what, std::string text) {
    findings_.push_back({grade, std::string(what), std::move(text)});
  }
  void CheckEnd(std::string_view what, std::string_view name, Timestamp ends) {
    const std::string text = absl::StrCat(Absl(name), " ends on ", Date(ends));
    ends - now_ < kCertificateNotice ? Warn(what, text) : Good(what, text);
  }
  void CheckAge(std::string_view what, Timestamp made) {
    const std::string text = absl::StrCat("the newest was made on ", Date(made));
    if (now_ - made > kOldKey) return Warn(what, text + "; see narkctl pool rotate");
    Good(what, text);
  }

  const Timestamp now_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> CheckReplica(const ReplicaOptions& options, Clock& clock, Random& random) {
  NoLog no_log;
  Checker checker(clock.Now());
  const auto source =
      ReplicaSource::Load(options.files, {.clock = clock, .random = random, .refusals = no_log});
  if (!source.ok()) {
    checker.Bad("files", std::string(source.status().message()));
  } else {
    const GrantAuthority& authority = *(*source)->authority();
    checker.Good("pool", absl::StrCat("of provider ", ToHex(authority.provider())));
    checker.CheckFiles(options.files.pool);
    checker.CheckDates((*source)->dates());
    checker.CheckLists(authority);
    if (options.transport == Transport::kTls && !(*source)->tls_names_role()) {
      checker.Warn("tls", absl::StrCat("the certificate is not for ", kServerName,
                                       ", which receivers ask for: only a balancer can take it"));
    }
  }
  checker.CheckAddress("listen", options.listen);
  if (options.http == options.listen && !options.http.ends_with(":0")) {
    checker.Bad("http", options.http + " is the address of --listen; give another port");
  } else if (!options.http.empty()) {
    checker.CheckAddress("http", options.http);
  }
  const size_t most = rpc::MostConnections();
  const std::string connections = absl::StrCat(
      options.connections == 0 ? most : std::min(options.connections, most), " at most");
  most < kFewConnections
      ? checker.Warn("connections", connections + "; raise the limits on open files and memory")
      : checker.Good("connections", connections);
  return checker.Take();
}

std::string ShowText(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& one : findings) {
    absl::StrAppendFormat(&text, "%-8s %-14s %s\n", Absl(NameOf(one.grade)), one.what, one.text);
  }
  return text;
}

std::string ShowJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json json = {{"ok", AllServes(findings)},
                                 {"findings", nlohmann::ordered_json::array()}};
  for (const Finding& one : findings) {
    json["findings"].push_back(
        {{"grade", NameOf(one.grade)}, {"what", one.what}, {"text", one.text}});
  }
  return json.dump(2) + "\n";
}

bool AllServes(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings,
                              [](const Finding& one) { return one.grade == Grade::kBad; });
}

}  // namespace nark::keymanager
