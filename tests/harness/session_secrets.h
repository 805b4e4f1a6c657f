#ifndef NARK_TESTS_HARNESS_SESSION_SECRETS_H_
#define NARK_TESTS_HARNESS_SESSION_SECRETS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/crypto/secret_bytes.h"
#include "common/object/session.h"
#include "common/schedule/generator.h"
#include "tests/harness/secret_search.h"

namespace nark::harness {

// A provider's secrets of one session, as its pool knows them, given to a search: "session
// seed", "sender root", and a "node N" for each that a grant holds of the ADUs from 0 to
// `last_id`. Throws std::runtime_error where the files are not those of a session.
class SessionSecrets {
 public:
  SessionSecrets(const std::string& pool, const std::string& session, uint64_t last_id,
                 SecretSearch& search);

  // Adds "leaf N" and "control key N" of an ADU that was sent, from its datagrams. Throws where
  // its header is not among them.
  void AddKeysOf(const std::vector<Bytes>& datagrams, uint64_t adu_id);

  // The names of what every grant for the range holds.
  const std::set<std::string>& granted() const { return granted_; }
  // Which is no secret.
  std::string session_id() const { return ToText(session_->name().session_id); }

 private:
  void Add(const std::string& name, const SecretBytes& secret);
  SecretSearch& search_;
  std::optional<VerifiedSession> session_;
  std::unique_ptr<schedule::KeySource> source_;
  std::set<std::string> granted_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_SESSION_SECRETS_H_
