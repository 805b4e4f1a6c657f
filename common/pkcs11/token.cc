#include "common/pkcs11/token.h"

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::pkcs11 {
namespace {

// More threads than that wait for one another: tokens have few processors.
constexpr int kMaxSessions = 32;

// Tokens pad with spaces.
std::string LabelOf(const CK_TOKEN_INFO& info) {
  const std::string_view label(reinterpret_cast<const char*>(info.label), sizeof info.label);
  const size_t end = label.find_last_not_of(' ');
  return std::string(label.substr(0, end == label.npos ? 0 : end + 1));
}

CK_RV Initialise(CK_FUNCTION_LIST& functions) {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  return functions.C_Initialize(&arguments);
}

struct Registry {
  absl::Mutex mutex;
  std::map<std::string, std::weak_ptr<Module>> modules ABSL_GUARDED_BY(mutex);
};

Registry& Loaded() {
  static auto* registry = new Registry;
  return *registry;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Module>> Module::Load(const std::string& path) {
  Registry& registry = Loaded();
  absl::MutexLock lock(&registry.mutex);
  std::weak_ptr<Module>& known = registry.modules[path];
  if (std::shared_ptr<Module> module = known.lock()) return module;
  // Never unloaded: modules leave threads and handlers behind that would run into nothing.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::NotFoundError(
        absl::StrCat("cannot load the PKCS#11 module ", path, ": ", why != nullptr ? why : "?"));
  }
  const auto list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (list == nullptr || list(&functions) != CKR_OK || functions == nullptr) {
    return absl::InvalidArgumentError(path + " is not a PKCS#11 module");
  }
  if (const CK_RV result = Initialise(*functions); result != CKR_OK) {
    return absl::UnavailableError(
        absl::StrCat("cannot initialise the PKCS#11 module ", path, ": ", NameOf(result)));
  }
  std::shared_ptr<Module> module(new Module(path, functions));
  known = module;
  return module;
}

Module::~Module() {
  absl::MutexLock lock(&Loaded().mutex);
  functions_->C_Finalize(nullptr);
}

bool Module::Restart(uint64_t generation) {
  absl::MutexLock lock(&calls_);
  if (generation_ != generation) return true;
  const auto now = std::chrono::steady_clock::now();
  if (now - restarted_ < std::chrono::seconds(1)) return false;
  restarted_ = now;
  ++generation_;
  functions_->C_Finalize(nullptr);
  // Where this fails, so does every call, and the next restart tries it again.
  return Initialise(*functions_) == CKR_OK;
}

absl::StatusOr<CK_SLOT_ID> Module::FindToken(const std::string& label) const {
  CK_ULONG count = 0;
  CK_RV result = functions_->C_GetSlotList(CK_TRUE, nullptr, &count);
  std::vector<CK_SLOT_ID> slots(count);
  if (result == CKR_OK) result = functions_->C_GetSlotList(CK_TRUE, slots.data(), &count);
  if (result != CKR_OK) return ToStatus(result, absl::StrCat("the slots of ", path_));
  slots.resize(std::min<size_t>(slots.size(), count));
  std::vector<CK_SLOT_ID> found;
  std::string others;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (functions_->C_GetTokenInfo(slot, &info) != CKR_OK) continue;
    if ((info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    const std::string its = LabelOf(info);
    if (its == label) found.push_back(slot);
    absl::StrAppend(&others, others.empty() ? "" : ", ", "'", its, "'");
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " has two tokens with the label '", label, "'; rename one"));
  }
  return absl::NotFoundError(absl::StrCat(path_, " has no token '", label, "'; ",
                                          others.empty() ? "it has none" : "it has ", others));
}

Token::Token(std::shared_ptr<Module> module, std::string label, SecretBytes pin, Access access)
    : module_(std::move(module)),
      label_(std::move(label)),
      access_(access),
      pin_(std::move(pin)),
      most_(kMaxSessions) {}

absl::StatusOr<std::shared_ptr<Token>> Token::Open(std::shared_ptr<Module> module,
                                                   std::string label, SecretBytes pin,
                                                   Access access) {
  std::shared_ptr<Token> token(
      new Token(std::move(module), std::move(label), std::move(pin), access));
  absl::ReaderMutexLock calls(&token->module_->calls());
  ASSIGN_OR_RETURN(const Lease lease, token->Acquire());
  token->Release(lease);
  return token;
}

Token::~Token() {
  absl::ReaderMutexLock calls(&module_->calls());
  absl::MutexLock lock(&mutex_);
  if (generation_ != module_->generation()) return;
  // Also logs out: the last session takes the login with it.
  for (const CK_SESSION_HANDLE session : idle_) module_->functions().C_CloseSession(session);
}

absl::Status Token::Run(const std::string& what, absl::FunctionRef<CK_RV(const Session&)> use) {
  const std::string where = absl::StrCat("token '", label_, "', ", what);
  absl::Status failed;
  // A session that fails, a token that is not found, and the module begun again.
  for (int attempt = 0; attempt < 3; ++attempt) {
    uint64_t generation = 0;
    {
      absl::ReaderMutexLock calls(&module_->calls());
      generation = module_->generation();
      absl::StatusOr<Lease> lease = Acquire();
      if (lease.ok()) {
        const CK_RV result = use({module_->functions(), lease->handle, lease->epoch});
        if (result == CKR_OK) {
          Release(*lease);
          return absl::OkStatus();
        }
        // After an error an operation may be half begun: the session is not lent again.
        Lose(*lease);
        failed = ToStatus(result, where);
        if (IsRefusal(result)) return failed;
        continue;
      }
      failed = lease.status();
    }
    if (absl::IsUnauthenticated(failed) || absl::IsFailedPrecondition(failed)) return failed;
    if (absl::IsResourceExhausted(failed) || !module_->Restart(generation)) break;
  }
  return absl::UnavailableError(failed.message());
}

absl::StatusOr<Token::Lease> Token::Acquire() {
  absl::MutexLock lock(&mutex_);
  if (generation_ != module_->generation()) {
    generation_ = module_->generation();
    Forget();
  }
  const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !idle_.empty() || open_ < most_;
  };
  for (;;) {
    mutex_.Await(absl::Condition(&free));
    if (!idle_.empty()) {
      const CK_SESSION_HANDLE session = idle_.back();
      idle_.pop_back();
      return Lease{session, epoch_};
    }
    const absl::StatusOr<CK_SESSION_HANDLE> session = OpenSession();
    if (session.ok()) {
      ++open_;
      return Lease{*session, epoch_};
    }
    if (!absl::IsResourceExhausted(session.status()) || open_ == 0) return session.status();
    most_ = open_;  // the token has fewer than this allows: those it has are waited for
  }
}

absl::StatusOr<CK_SESSION_HANDLE> Token::OpenSession() {
  if (!pin_refused_.ok()) return pin_refused_;
  if (!logged_in_) {
    ASSIGN_OR_RETURN(slot_, module_->FindToken(label_));
  }
  CK_SESSION_HANDLE session = 0;
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (access_ == Access::kWrite ? CKF_RW_SESSION : 0);
  const CK_RV result = module_->functions().C_OpenSession(slot_, flags, nullptr, nullptr, &session);
  const std::string where = absl::StrCat("token '", label_, "', opening a session");
  if (result == CKR_SESSION_COUNT) {
    return absl::ResourceExhaustedError(absl::StrCat(where, ": ", NameOf(result)));
  }
  if (result != CKR_OK) {
    logged_in_ = false;
    return ToStatus(result, where);
  }
  if (!logged_in_) {
    if (absl::Status status = LogIn(session); !status.ok()) {
      module_->functions().C_CloseSession(session);
      return status;
    }
    logged_in_ = true;
  }
  return session;
}

absl::Status Token::LogIn(CK_SESSION_HANDLE session) {
  const MutableByteView pin = pin_.RevealMutable();
  const CK_RV result = module_->functions().C_Login(session, CKU_USER, pin.data(),
                                                    static_cast<CK_ULONG>(pin.size()));
  if (result == CKR_OK || result == CKR_USER_ALREADY_LOGGED_IN) return absl::OkStatus();
  absl::Status status = ToStatus(
      result, absl::StrCat("token '", label_, "' refuses the PIN (see --pkcs11-pin-file)"));
  if (absl::IsUnauthenticated(status)) pin_refused_ = status;
  return status;
}

void Token::Release(const Lease& lease) {
  absl::MutexLock lock(&mutex_);
  if (lease.epoch == epoch_) {
    idle_.push_back(lease.handle);
  } else {
    module_->functions().C_CloseSession(lease.handle);
  }
}

void Token::Lose(const Lease& lease) {
  absl::MutexLock lock(&mutex_);
  module_->functions().C_CloseSession(lease.handle);
  if (lease.epoch != epoch_) return;
  for (const CK_SESSION_HANDLE session : idle_) module_->functions().C_CloseSession(session);
  Forget();
}

void Token::Forget() {
  idle_.clear();
  open_ = 0;
  logged_in_ = false;
  ++epoch_;
}

}  // namespace nark::pkcs11
