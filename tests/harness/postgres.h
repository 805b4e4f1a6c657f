#ifndef NARK_TESTS_HARNESS_POSTGRES_H_
#define NARK_TESTS_HARNESS_POSTGRES_H_

#include <memory>
#include <string>

#include "tests/harness/process.h"

namespace nark::harness {

// A PostgreSQL server of its own: in a new temporary folder, on a Unix socket in
// it and no TCP port. Throws where it does not start. One thread only.
class Postgres {
 public:
  Postgres();
  ~Postgres();
  Postgres(const Postgres&) = delete;
  Postgres& operator=(const Postgres&) = delete;

  // Of an empty database, for --ledger.
  std::string url() const;
  // Immediately, with no check point. Start() recovers.
  void Crash();
  void Start();

 private:
  std::string folder_;
  std::unique_ptr<Process> process_;
};

// The same, on a disk of its own that can be filled up. It cannot be restarted.
class SmallDisk {
 public:
  SmallDisk();
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  std::string url() const;
  // Takes all of the space that is left, and gives it back.
  void Fill();
  void Empty();

 private:
  std::string filler() const;
  std::string folder_;
  std::unique_ptr<Process> process_;
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_POSTGRES_H_
