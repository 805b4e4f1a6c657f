#ifndef NARK_COMMON_OBJECT_LEAF_FORM_H_
#define NARK_COMMON_OBJECT_LEAF_FORM_H_

#include <array>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/certificate.h"
#include "common/crypto/signature.h"

namespace nark {

// A secure space's certificate, as far as a grant or a refund needs it.
struct SecureSpaceLeaf {
  PublicKey attestation_key;
  Bytes note_spki;
  uint8_t assurance = 0;  // value of nark.v1.AssuranceClass
  std::string serial_hex;
  Timestamp not_before;
  Timestamp not_after;
};

// What the certificates of one issuer have in common, learnt from one of them that
// OpenSSL has verified in full. They differ in serial number, times, name, keys
// and signature only; one that equals the example in every other byte needs no
// second opinion on its structure, its extensions or its issuer's name, so what
// is left to check is what differs. That saves X.509 parsing, which costs three
// times a signature check. Whatever deviates has another form: the general way
// decides on it. Immutable; thread-safe.
class LeafForm {
 public:
  // Of a secure space's certificate that has verified under its issuer; nullopt
  // where its parts can not be told apart.
  static std::optional<LeafForm> Of(const Certificate& verified);

  // The leaf, where `der` has this form, is signed by `issuer` and valid at `at`
  // (nullopt: at any time, as in ChainRules). nullopt says nothing but that the general way must be
  // gone.
  std::optional<SecureSpaceLeaf> Verify(ByteView der, const PublicKey& issuer,
                                        std::optional<Timestamp> at) const;

 private:
  // A part that differs from certificate to certificate, always of the same size.
  struct Part {
    size_t begin = 0;
    size_t size = 0;
    ByteView In(ByteView tbs) const { return tbs.subspan(begin, size); }
  };
  enum : size_t { kSerial, kNotBefore, kNotAfter, kSubject, kSpki, kKeyId, kNoteSpki, kParts };

  LeafForm() = default;
  bool Matches(ByteView tbs) const;

  Bytes tbs_;              // the example's TBSCertificate, its parts zeroed
  uint8_t assurance_ = 0;  // stands in tbs_
  std::array<Part, kParts> parts_{};
};

}  // namespace nark

#endif  // NARK_COMMON_OBJECT_LEAF_FORM_H_
