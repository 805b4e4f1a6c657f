#ifndef NARK_COMMON_PKCS11_TOKEN_H_
#define NARK_COMMON_PKCS11_TOKEN_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/secret_bytes.h"
#include "common/pkcs11/cryptoki.h"

namespace nark::pkcs11 {

// A PKCS#11 module, loaded into this process and initialised for many threads. The last
// owner finalises it. Thread-safe.
class Module {
 public:
  // One module for each path, however often it is asked for: PKCS#11 initialises a module
  // once in a process (version 2.40, section 5.4). NOT_FOUND, UNAVAILABLE.
  static absl::StatusOr<std::shared_ptr<Module>> Load(const std::string& path);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::string& path() const { return path_; }
  CK_FUNCTION_LIST& functions() const { return *functions_; }
  // Held for reading wherever `functions` are called.
  absl::Mutex& calls() const ABSL_LOCK_RETURNED(calls_) { return calls_; }
  // Grows with each restart, before which sessions and handles end.
  uint64_t generation() const ABSL_SHARED_LOCKS_REQUIRED(calls_) { return generation_; }

  // The slot that holds the token with this label. NOT_FOUND, naming those there are;
  // FAILED_PRECONDITION for two of them.
  absl::StatusOr<CK_SLOT_ID> FindToken(const std::string& label) const
      ABSL_SHARED_LOCKS_REQUIRED(calls_);

  // Finalises and initialises the module again, for modules that see only then a token that
  // is back, unless that was done since `generation`. Whether it is worth trying again: a
  // restart ends the sessions of all tokens, so there is one a second.
  bool Restart(uint64_t generation) ABSL_LOCKS_EXCLUDED(calls_);

 private:
  Module(std::string path, CK_FUNCTION_LIST* functions)
      : path_(std::move(path)), functions_(functions) {}
  const std::string path_;
  CK_FUNCTION_LIST* const functions_;
  mutable absl::Mutex calls_;
  uint64_t generation_ ABSL_GUARDED_BY(calls_) = 1;
  std::chrono::steady_clock::time_point restarted_ ABSL_GUARDED_BY(calls_);
};

// What a session may do: one that only reads can neither make keys nor destroy them.
enum class Access { kRead, kWrite };

// A session of a token, lent to one caller.
struct Session {
  CK_FUNCTION_LIST& functions;
  CK_SESSION_HANDLE handle;
  // Handles of objects hold as long as this stays the same.
  uint64_t epoch;
};

// A token that the user is logged in to, with a pool of sessions. A token that was gone and
// is back is logged in to again; a PIN that was refused once is not tried again, as three
// wrong ones lock a token. Thread-safe; calls wait for the token as long as its module
// does.
class Token {
 public:
  // Logs in. UNAUTHENTICATED where the PIN is refused; else as Module::FindToken.
  static absl::StatusOr<std::shared_ptr<Token>> Open(std::shared_ptr<Module> module,
                                                     std::string label, SecretBytes pin,
                                                     Access access);
  ~Token();
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  const std::string& label() const { return label_; }

  // Calls `use` with a session, and up to twice more with a new one where its result can
  // mean that session, handles or token are gone. UNAVAILABLE where that fails too; else what
  // ToStatus makes of the result, with `what` in the message.
  absl::Status Run(const std::string& what, absl::FunctionRef<CK_RV(const Session&)> use);

 private:
  struct Lease {
    CK_SESSION_HANDLE handle;
    uint64_t epoch;
  };
  Token(std::shared_ptr<Module> module, std::string label, SecretBytes pin, Access access);
  // RESOURCE_EXHAUSTED where the token has no session left.
  absl::StatusOr<Lease> Acquire() ABSL_SHARED_LOCKS_REQUIRED(module_->calls());
  absl::StatusOr<CK_SESSION_HANDLE> OpenSession() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_)
      ABSL_SHARED_LOCKS_REQUIRED(module_->calls());
  absl::Status LogIn(CK_SESSION_HANDLE session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(const Lease& lease);
  // Drops the lease and, unless somebody did so before, all that is known of the token.
  void Lose(const Lease& lease);
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Module> module_;
  const std::string label_;
  const Access access_;
  absl::Mutex mutex_;
  SecretBytes pin_ ABSL_GUARDED_BY(mutex_);
  absl::Status pin_refused_ ABSL_GUARDED_BY(mutex_);
  bool logged_in_ ABSL_GUARDED_BY(mutex_) = false;
  CK_SLOT_ID slot_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;  // the module's, when last asked
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 1;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;  // of this epoch, idle or lent
  int most_ ABSL_GUARDED_BY(mutex_);      // that may be open
  std::vector<CK_SESSION_HANDLE> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace nark::pkcs11

#endif  // NARK_COMMON_PKCS11_TOKEN_H_
