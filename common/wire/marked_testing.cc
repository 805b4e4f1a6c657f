#include "common/wire/marked_testing.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/audit/family.h"
#include "common/audit/stream_keys.h"

namespace nark::wire {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "SealingCipher: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::unique_ptr<AduCipher> SealingCipher(const TestSession& session, const TestAduName& adu,
                                         size_t plaintext_bytes) {
  const CipherSuite& suite = *Must(FindCipher(session.session().terms().cipher()));
  if (!suite.properties().marks) return Must(suite.Create());
  const audit::Family family = session.family();
  auto block = std::make_shared<const ChameleonBlock>(Must(ChameleonBlock::Of(
      Must(audit::BaseBlockBytes(Must(family.BaseBlockKey()), family.words_log2())))));
  std::unique_ptr<AduCipher> cipher = Must(suite.Create(std::move(block)));
  const SecretBytes stream = Must(family.StreamKey(session.name(), adu.sub_session, adu.sender_id));
  cipher->MarkNext({.keys = Must(audit::MarkKeysOf(stream, adu.adu_id)),
                    .offset = 0,
                    .bytes = static_cast<uint32_t>(plaintext_bytes / 2 * 2)});
  return cipher;
}

}  // namespace nark::wire
