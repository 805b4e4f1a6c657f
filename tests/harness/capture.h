#ifndef NARK_TESTS_HARNESS_CAPTURE_H_
#define NARK_TESTS_HARNESS_CAPTURE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/bytes.h"

namespace nark::harness {

// Listens to a group for as long as it lives and keeps every datagram, in the
// order in which they came. Thread-safe.
class Capture {
 public:
  // Throws where the group can not be joined.
  explicit Capture(const std::string& uri);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  std::vector<Bytes> datagrams() const;
  size_t size() const;
  // Datagrams that the kernel had to drop: the capture is whole only at 0.
  uint64_t lost() const { return lost_; }

  // The highest ADU id seen; empty before the first datagram.
  std::optional<uint64_t> HighestAdu() const;

 private:
  void Listen(const std::string& uri);
  mutable std::mutex mutex_;
  std::vector<Bytes> datagrams_;
  std::optional<uint64_t> highest_adu_;
  std::atomic<uint64_t> lost_{0};
  std::atomic<bool> listening_{false};
  std::atomic<bool> end_{false};
  std::string error_;
  std::thread thread_;
};

// The different datagrams of each ADU, by ADU id: a repeated header counts once.
std::map<uint64_t, std::set<Bytes>> ByAdu(const std::vector<Bytes>& datagrams);

// The ADUs of `sent` of which every different datagram is in `received` too,
// bit for bit: exactly those can be put together.
std::vector<uint64_t> IntactAdus(const std::vector<Bytes>& sent,
                                 const std::vector<Bytes>& received);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_CAPTURE_H_
