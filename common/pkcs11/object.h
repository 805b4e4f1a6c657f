#ifndef NARK_COMMON_PKCS11_OBJECT_H_
#define NARK_COMMON_PKCS11_OBJECT_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/pkcs11/token.h"

namespace nark::pkcs11 {

// Attributes for a call, which own their values. One thread only.
class Template {
 public:
  Template& Add(CK_ATTRIBUTE_TYPE type, ByteView value);
  Template& Add(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  Template& Add(CK_ATTRIBUTE_TYPE type, bool value);
  // A secret; borrowed, for as long as the template.
  Template& Borrow(CK_ATTRIBUTE_TYPE type, ByteView value);

  CK_ATTRIBUTE* data() { return attributes_.data(); }
  CK_ULONG size() const { return static_cast<CK_ULONG>(attributes_.size()); }

 private:
  std::deque<Bytes> values_;  // whose elements stay where they are
  std::vector<CK_ATTRIBUTE> attributes_;
};

// All objects of the token that match.
CK_RV FindObjects(const Session& session, Template& what, std::vector<CK_OBJECT_HANDLE>& found);
// One attribute, of at most 256 bytes.
CK_RV ReadAttribute(const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                    Bytes& value);
// One that is a CK_BBOOL.
CK_RV ReadFlag(const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
               bool& value);

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_OBJECT_H_
