#include "tests/harness/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <sstream>
#include <stdexcept>

#include "tests/harness/process.h"

namespace nark::harness {
namespace {

struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool readable = false;
  bool shared = false;
  bool file = false;
  bool written = false;  // has pages of the process's own
  bool left_out = false;
};

// What /proc/PID/smaps says (proc(5)).
std::vector<Mapping> MappingsOf(const std::string& folder) {
  std::vector<Mapping> mappings;
  std::istringstream smaps(ReadAll(folder + "/smaps"));
  for (std::string line; std::getline(smaps, line);) {
    Mapping next;
    char readable = '-', shared = 'p';
    unsigned long inode = 0, kilobytes = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %c%*c%*c%c %*x %*x:%*x %lu", &next.begin, &next.end,
                    &readable, &shared, &inode) == 5) {
      next.readable = readable == 'r';
      next.shared = shared == 's';
      next.file = inode != 0;
      mappings.push_back(next);
    } else if (std::sscanf(line.c_str(), "Anonymous: %lu", &kilobytes) == 1) {
      mappings.back().written = kilobytes > 0;
    } else if (line.starts_with("VmFlags:")) {
      mappings.back().left_out = line.find(" dd") != std::string::npos;
    }
  }
  return mappings;
}

// Whether a mapping is in an image by the bits of core(5): anonymous private, anonymous
// shared, file-backed private, file-backed shared. Its first page alone counts as none.
bool Passes(const Mapping& mapping, unsigned filter) {
  if (mapping.shared) return (filter & (mapping.file ? 8U : 2U)) != 0;
  const bool anonymous = !mapping.file || mapping.written;
  return (anonymous && (filter & 1U) != 0) || (mapping.file && (filter & 4U) != 0);
}

bool Wanted(const Mapping& mapping, Part part, unsigned filter) {
  // What is larger is nobody's heap but a sanitizer's shadow.
  constexpr uint64_t kMaxBytes = 1 << 30;
  if (!mapping.readable || mapping.end - mapping.begin > kMaxBytes) return false;
  if (part == Part::kAll) return true;
  return !mapping.left_out && (part == Part::kDumpable || Passes(mapping, filter));
}

}  // namespace

std::vector<std::string> Owned(const std::string& program,
                               const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"-r", ProgramPath(program)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

size_t VisitMemory(pid_t pid, Part part, const std::function<void(std::string_view)>& visit) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const int memory = open((folder + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  const std::vector<Mapping> mappings = MappingsOf(folder);
  const std::string filter = ReadAll(folder + "/coredump_filter");
  if (memory < 0 || mappings.empty() || filter.empty()) {
    if (memory >= 0) close(memory);
    throw std::runtime_error("cannot read the memory of " + folder);
  }
  const auto bits = static_cast<unsigned>(std::stoul(filter, nullptr, 16));
  size_t visited = 0;
  for (const Mapping& mapping : mappings) {
    if (!Wanted(mapping, part, bits)) continue;
    std::string bytes(mapping.end - mapping.begin, '\0');
    const ssize_t got =
        pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(mapping.begin));
    if (got <= 0) continue;  // unmapped meanwhile, or not for readers, as [vvar]
    ++visited;
    visit(std::string_view(bytes).substr(0, static_cast<size_t>(got)));
  }
  close(memory);
  return visited;
}

}  // namespace nark::harness
