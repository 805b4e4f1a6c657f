#include "common/crypto/secret_bytes.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "common/crypto/secret_memory.h"

namespace nark {

SecretBytes::SecretBytes(size_t size) : size_(size) {
  if (size_ > kInline) heap_ = AllocateSecret(size_);
}

SecretBytes SecretBytes::CopyOf(ByteView plain) {
  SecretBytes copy(plain.size());
  if (!plain.empty()) std::memcpy(copy.data(), plain.data(), plain.size());
  return copy;
}

SecretBytes::~SecretBytes() { Wipe(); }

SecretBytes::SecretBytes(SecretBytes&& other) noexcept { *this = std::move(other); }

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  size_ = other.size_;
  if (size_ <= kInline) {
    std::memcpy(inline_, other.inline_, kInline);
    other.Wipe();
  } else {
    heap_ = other.heap_;
    other.heap_ = nullptr;
    other.size_ = 0;
  }
  return *this;
}

void SecretBytes::Wipe() {
  if (size_ > kInline) {
    FreeSecret(heap_, size_);
    heap_ = nullptr;
  } else {
    nark::Wipe({inline_, kInline});
  }
  size_ = 0;
}

bool operator==(const SecretBytes& a, const SecretBytes& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Wipe(MutableByteView memory) {
  if (memory.empty()) return;
  std::memset(memory.data(), 0, memory.size());
  // The compiler must assume that this reads the memory just cleared.
  asm volatile("" : : "r"(memory.data()) : "memory");
}

namespace {

// Leaves all memory out of images that somebody may still make, as root does with gcore(1)
// (core(5)). Best effort: the kernel makes none in any case.
void EmptyCoreImages() {
  const int filter = ::open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
  if (filter < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(filter, "0", 1);
  ::close(filter);
}

}  // namespace

absl::Status DisableCoreDumps() {
  // First: a process that is not dumpable may not write to its own filter.
  EmptyCoreImages();
  rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return absl::InternalError(std::string("cannot disable core dumps: ") + std::strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace nark
