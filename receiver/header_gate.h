#ifndef NARK_RECEIVER_HEADER_GATE_H_
#define NARK_RECEIVER_HEADER_GATE_H_

#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/object/session.h"
#include "common/wire/cipher.h"
#include "common/wire/datagram.h"
#include "common/wire/header.h"
#include "receiver/bad_headers.h"
#include "receiver/drop.h"

namespace nark::receiver {

// Decides whether a header is genuine: whole, of the ADU that its datagram names,
// as the session's terms want it, and signed by the certified sender. The cheap
// checks come first. One thread only.
class HeaderGate {
 public:
  // `session` must outlive it.
  HeaderGate(const VerifiedSession& session, uint32_t sub_session, uint32_t bad_headers_per_second);

  // Empty, and `parsed` views `signed_header`, where it is genuine; else why not.
  std::optional<Drop> Judge(const wire::Prefix& prefix, ByteView signed_header, Timestamp now,
                            wire::ParsedHeader& parsed);

  uint64_t session_tag() const { return session_tag_; }
  uint64_t signatures_checked() const { return verifier_.signatures_checked(); }

 private:
  HeaderGate(const VerifiedSession& session, const Digest& context,
             uint32_t bad_headers_per_second);
  bool Fits(const wire::Prefix& prefix, const wire::Header& header) const;

  const VerifiedSession& session_;
  const uint64_t session_tag_;
  const wire::CipherSuite* cipher_ = nullptr;  // of the terms
  const size_t control_block_bytes_;           // of the ciphertext
  const bool has_deadline_;
  wire::HeaderVerifier verifier_;
  BadHeaders bad_headers_;
};

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_HEADER_GATE_H_
