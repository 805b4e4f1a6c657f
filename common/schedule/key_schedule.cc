#include "common/schedule/key_schedule.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "common/base/status.h"
#include "common/crypto/hash.h"

namespace nark::schedule {
namespace {

constexpr std::string_view kRootSalt = "nark sender root v1";
constexpr std::string_view kControlLabel = "nark control key v1";
constexpr std::string_view kDataLabel = "nark data key v1";
constexpr size_t kSecretBytes = 32;  // seed, root, leaf
constexpr size_t kControlKeyBytes = 16;
constexpr uint8_t kFirstBlock[1] = {1};

absl::Status CheckSize(const SecretBytes& secret, std::string_view what) {
  if (secret.size() == kSecretBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(what) + " has 32 bytes");
}

// The first key_bytes, at most 32, of the only block of an HKDF-Expand.
SecretBytes FirstBytes(const SecretBytes& block, size_t key_bytes) {
  return SecretBytes::CopyOf(block.Reveal().first(key_bytes));
}

}  // namespace

absl::StatusOr<SecretBytes> SenderRoot(const SecretBytes& session_seed, const SessionName& session,
                                       uint32_t sub_session, const Parameters& generator,
                                       uint32_t sender_id) {
  RETURN_IF_ERROR(CheckSize(session_seed, "a session seed"));
  ASSIGN_OR_RETURN(const Generator* registered, FindGenerator(generator.id));
  RETURN_IF_ERROR(registered->Check(generator));
  Bytes info;
  const auto append = [&info](ByteView bytes) {
    info.insert(info.end(), bytes.begin(), bytes.end());
  };
  std::array<uint8_t, 4> number;
  append(session.provider);
  append(session.session_id);
  StoreBig32(number.data(), sub_session);
  append(number);
  info.push_back(static_cast<uint8_t>(generator.id.size()));
  append(AsBytes(generator.id));
  info.push_back(static_cast<uint8_t>(generator.depth));
  StoreBig32(number.data(), sender_id);
  append(number);
  return Hkdf(AsBytes(kRootSalt), session_seed, info, kSecretBytes);
}

absl::StatusOr<AduKeys> AduKeys::Of(const SecretBytes& leaf) {
  RETURN_IF_ERROR(CheckSize(leaf, "a leaf"));
  return AduKeys(leaf);
}

SecretBytes AduKeys::ControlKey(const Digest& session_context, ByteView core) const {
  SecretBytes block(kSecretBytes);
  leaf_.MacInto({AsBytes(kControlLabel), session_context, core, kFirstBlock},
                block.RevealMutable());
  return FirstBytes(block, kControlKeyBytes);
}

absl::StatusOr<SecretBytes> AduKeys::DataKey(const Digest& session_context, ByteView core,
                                             ByteView control_block, size_t key_bytes) const {
  if (key_bytes == 0 || key_bytes > kSecretBytes) {
    return absl::InvalidArgumentError("a data key has 1 to 32 bytes");
  }
  const Digest control_hash = Sha256(control_block);
  SecretBytes block(kSecretBytes);
  leaf_.MacInto({AsBytes(kDataLabel), session_context, control_hash, core, kFirstBlock},
                block.RevealMutable());
  return FirstBytes(block, key_bytes);
}

absl::StatusOr<SecretBytes> ControlKey(const SecretBytes& leaf, const Digest& session_context,
                                       ByteView core) {
  ASSIGN_OR_RETURN(const AduKeys keys, AduKeys::Of(leaf));
  return keys.ControlKey(session_context, core);
}

absl::StatusOr<SecretBytes> DataKey(const SecretBytes& leaf, const Digest& session_context,
                                    ByteView core, ByteView control_block, size_t key_bytes) {
  ASSIGN_OR_RETURN(const AduKeys keys, AduKeys::Of(leaf));
  return keys.DataKey(session_context, core, control_block, key_bytes);
}

}  // namespace nark::schedule
