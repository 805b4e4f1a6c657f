#ifndef NARK_TESTS_HARNESS_SECRET_SEARCH_H_
#define NARK_TESTS_HARNESS_SECRET_SEARCH_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/harness/process_memory.h"

namespace nark::harness {

// Finds secrets in whatever form a program may give them away: as they are, in reverse (as
// OpenSSL keeps large numbers), in hexadecimal digits of either case, and in base64 of either
// alphabet, wherever in a longer base64 they begin. Thread-compatible.
class SecretSearch {
 public:
  SecretSearch();
  // Throws std::invalid_argument for less than 16 bytes, which chance could make.
  void Add(const std::string& name, std::string_view secret);

  // The names of those that are there.
  std::set<std::string> FindIn(std::string_view text) const;
  // In a process's memory; errors are those of VisitMemory.
  std::set<std::string> FindInMemory(pid_t pid, Part part) const;

 private:
  void AddForm(const std::string& name, std::string form);
  // Name and form, by the form's first two bytes.
  std::vector<std::vector<std::pair<std::string, std::string>>> forms_;
};

// The private keys in the PEM files of a folder and those below, by path: of a P-256 key in
// PKCS #8 the scalar, else the bytes. Throws std::runtime_error where there is none.
std::map<std::string, std::string> KeysIn(const std::string& folder);

// The private key's scalar, in PKCS #8 of a P-256 key; else the bytes themselves.
std::string PrivatePartOf(const std::string& key);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_SECRET_SEARCH_H_
