#ifndef NARK_TESTS_HARNESS_PROCESS_MEMORY_H_
#define NARK_TESTS_HARNESS_PROCESS_MEMORY_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace nark::harness {

// The arguments of unshare(1) that run a program in a user namespace of its own. Who made it
// owns it, and so may read memory and descriptors of a program that forbids debuggers.
std::vector<std::string> Owned(const std::string& program,
                               const std::vector<std::string>& arguments);

enum class Part {
  kAll,          // all that can be read
  kDumpable,     // but for what the program asked to leave out (madvise(2), MADV_DONTDUMP)
  kInCoreImage,  // what of kDumpable its core filter lets into an image (core(5))
};

// Shows `visit` the content of each mapping of a process, one after the other; returns how many.
// What changes meanwhile is seen as it is then. Throws std::runtime_error where the memory can
// not be read.
size_t VisitMemory(pid_t pid, Part part, const std::function<void(std::string_view)>& visit);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_PROCESS_MEMORY_H_
