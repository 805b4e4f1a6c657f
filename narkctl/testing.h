#ifndef NARK_NARKCTL_TESTING_H_
#define NARK_NARKCTL_TESTING_H_

#include <string>

#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "narkctl/session.h"
#include "narkctl/voucher.h"

namespace nark::narkctl {

// A provider, a pool and an issuer in folders of a new temporary folder, made by
// the commands' own functions. Ends the program where something fails.
class Desk {
 public:
  Desk();
  ~Desk();
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  Timestamp now() const { return now_; }
  Random& random() { return random_; }
  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }
  std::string provider() const { return PathOf("provider"); }
  std::string pool() const { return PathOf("pool"); }
  std::string issuer() const { return PathOf("issuer"); }

  // Flags that do; files NAME.nark and NAME.sender.
  SessionFlags GoodSession(const std::string& name) const;
  // 10-19 of NAME.nark, in NAME.voucher.
  VoucherFlags GoodVoucher(const std::string& name) const;

  // Writes a request of a new secure space; returns its id.
  Digest WriteRequest(const std::string& path) const;

 private:
  Timestamp now_;
  SystemRandom random_;
  std::string folder_;
};

}  // namespace nark::narkctl

#endif  // NARK_NARKCTL_TESTING_H_
