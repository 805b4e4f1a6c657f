#ifndef NARK_SECURESPACE_SESSION_TOOLS_H_
#define NARK_SECURESPACE_SESSION_TOOLS_H_

#include "absl/status/statusor.h"
#include "common/schedule/generator.h"
#include "common/wire/cipher.h"
#include "nark/v1/session.pb.h"

namespace nark::securespace {

// What the terms of a session ask for, found in the registries.
struct SessionTools {
  const wire::CipherSuite* suite = nullptr;
  const schedule::Generator* generator = nullptr;
  schedule::Parameters parameters;

  // INVALID_ARGUMENT where something is not built in.
  static absl::StatusOr<SessionTools> Find(const v1::Terms& terms);

  bool secure() const { return suite->properties().secure && generator->properties().secure; }
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SESSION_TOOLS_H_
