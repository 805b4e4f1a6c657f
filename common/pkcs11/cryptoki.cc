#include "common/pkcs11/cryptoki.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace nark::pkcs11 {
namespace {

enum class Kind { kPin, kRefusal, kLoss };

struct Entry {
  CK_RV result;
  const char* name;
  Kind kind;
};

constexpr Entry kEntries[] = {
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", Kind::kPin},
    {CKR_PIN_INVALID, "CKR_PIN_INVALID", Kind::kPin},
    {CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", Kind::kPin},
    {CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", Kind::kPin},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", Kind::kPin},
    {CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", Kind::kPin},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", Kind::kRefusal},
    {CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", Kind::kRefusal},
    {CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", Kind::kRefusal},
    {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", Kind::kRefusal},
    {CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", Kind::kRefusal},
    {CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", Kind::kRefusal},
    {CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", Kind::kRefusal},
    {CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", Kind::kRefusal},
    {CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", Kind::kRefusal},
    {CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", Kind::kRefusal},
    {CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", Kind::kRefusal},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", Kind::kRefusal},
    {CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", Kind::kRefusal},
    {CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", Kind::kRefusal},
    {CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", Kind::kRefusal},
    {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", Kind::kRefusal},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", Kind::kLoss},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", Kind::kLoss},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", Kind::kLoss},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", Kind::kLoss},
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", Kind::kLoss},
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", Kind::kLoss},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", Kind::kLoss},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", Kind::kLoss},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT", Kind::kLoss},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", Kind::kLoss},
    {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", Kind::kLoss},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", Kind::kLoss},
    {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", Kind::kLoss},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", Kind::kLoss},
};

const Entry* Find(CK_RV result) {
  for (const Entry& entry : kEntries) {
    if (entry.result == result) return &entry;
  }
  return nullptr;
}

}  // namespace

std::string NameOf(CK_RV result) {
  const Entry* entry = Find(result);
  return entry != nullptr ? entry->name : absl::StrCat("result 0x", absl::Hex(result));
}

bool IsRefusal(CK_RV result) {
  const Entry* entry = Find(result);
  return entry != nullptr && entry->kind != Kind::kLoss;
}

absl::Status ToStatus(CK_RV result, const std::string& what) {
  const Entry* entry = Find(result);
  const std::string message = absl::StrCat(what, ": ", NameOf(result));
  if (entry == nullptr || entry->kind == Kind::kLoss) return absl::UnavailableError(message);
  return entry->kind == Kind::kPin ? absl::UnauthenticatedError(message)
                                   : absl::FailedPreconditionError(message);
}

}  // namespace nark::pkcs11
