#include "tests/harness/session_secrets.h"

#include <stdexcept>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/object/file.h"
#include "common/object/pool_folder.h"
#include "common/object/sealed_session.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"

namespace nark::harness {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

}  // namespace

SessionSecrets::SessionSecrets(const std::string& pool, const std::string& session,
                               uint64_t last_id, SecretSearch& search)
    : search_(search) {
  const Timestamp now = SystemClock().Now();
  const PoolFolder folder = Must(LoadPoolFolder(pool, now));
  const v1::NarkFile file = Must(ReadNarkFile(session, v1::NarkFile::kSessionDescriptor));
  session_.emplace(Must(VerifiedSession::Verify(file.session_descriptor(), now)));
  const SecretBytes seed = Must(OpenSealedSession(*session_, folder.hpke_keys));
  const v1::Terms& terms = session_->terms();
  const schedule::Parameters parameters = {terms.generator().id(), terms.generator().depth()};
  const schedule::Generator& generator = *Must(schedule::FindGenerator(parameters.id));
  const SecretBytes root = Must(
      schedule::SenderRoot(seed, session_->name(), 0, parameters, terms.senders(0).sender_id()));
  Add("session seed", seed);
  Add("sender root", root);
  std::vector<schedule::Node> cover = Must(generator.Cover(root, parameters, 0, last_id));
  for (const schedule::Node& node : cover) {
    const std::string name = "node " + std::to_string(node.prefix);
    Add(name, node.key);
    granted_.insert(name);
  }
  source_ = Must(generator.Open(parameters, std::move(cover)));
}

void SessionSecrets::AddKeysOf(const std::vector<Bytes>& datagrams, uint64_t adu_id) {
  for (const Bytes& datagram : datagrams) {
    const wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    if (parsed.drop != wire::Drop::kNone || parsed.prefix.adu_id != adu_id ||
        parsed.prefix.kind != wire::DatagramKind::kHeader) {
      continue;
    }
    SecretBytes leaf(32);
    if (!source_->Leaf(adu_id, leaf).ok()) throw std::runtime_error("no leaf");
    const wire::ParsedHeader header = Must(wire::ParseSignedHeader(parsed.payload));
    Add("leaf " + std::to_string(adu_id), leaf);
    Add("control key " + std::to_string(adu_id),
        Must(schedule::ControlKey(leaf, SessionContext(session_->name(), 0), header.core)));
    return;
  }
  throw std::runtime_error("no header was captured of ADU " + std::to_string(adu_id));
}

void SessionSecrets::Add(const std::string& name, const SecretBytes& secret) {
  search_.Add(name, ToText(secret.Reveal()));
}

}  // namespace nark::harness
