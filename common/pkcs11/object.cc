#include "common/pkcs11/object.h"

#include <algorithm>

namespace nark::pkcs11 {

Template& Template::Borrow(CK_ATTRIBUTE_TYPE type, ByteView value) {
  // The interface has no const; what is given to it is only read.
  attributes_.push_back(
      {type, const_cast<uint8_t*>(value.data()), static_cast<CK_ULONG>(value.size())});
  return *this;
}

Template& Template::Add(CK_ATTRIBUTE_TYPE type, ByteView value) {
  return Borrow(type, values_.emplace_back(ToBytes(value)));
}

Template& Template::Add(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  return Add(type, ByteView(reinterpret_cast<const uint8_t*>(&value), sizeof value));
}

Template& Template::Add(CK_ATTRIBUTE_TYPE type, bool value) {
  const uint8_t flag = value ? CK_TRUE : CK_FALSE;
  return Add(type, ByteView(&flag, 1));
}

CK_RV FindObjects(const Session& session, Template& what, std::vector<CK_OBJECT_HANDLE>& found) {
  CK_FUNCTION_LIST& functions = session.functions;
  CK_RV result = functions.C_FindObjectsInit(session.handle, what.data(), what.size());
  if (result != CKR_OK) return result;
  for (;;) {
    CK_OBJECT_HANDLE some[32];
    CK_ULONG count = 0;
    result = functions.C_FindObjects(session.handle, some, 32, &count);
    if (result != CKR_OK || count == 0) break;
    found.insert(found.end(), some, some + count);
  }
  const CK_RV ended = functions.C_FindObjectsFinal(session.handle);
  return result != CKR_OK ? result : ended;
}

CK_RV ReadAttribute(const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                    Bytes& value) {
  value.assign(256, 0);
  CK_ATTRIBUTE attribute = {type, value.data(), static_cast<CK_ULONG>(value.size())};
  const CK_RV result = session.functions.C_GetAttributeValue(session.handle, object, &attribute, 1);
  value.resize(result == CKR_OK ? std::min<size_t>(attribute.ulValueLen, value.size()) : 0);
  return result;
}

CK_RV ReadFlag(const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
               bool& value) {
  Bytes bytes;
  const CK_RV result = ReadAttribute(session, object, type, bytes);
  value = bytes.size() == 1 && bytes[0] != CK_FALSE;
  return result;
}

}  // namespace nark::pkcs11
