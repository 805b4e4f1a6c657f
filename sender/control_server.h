#ifndef NARK_SENDER_CONTROL_SERVER_H_
#define NARK_SENDER_CONTROL_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/object/sender_file.h"
#include "sender/order_book.h"
#include "sender/service.h"

namespace nark::rpc {
class Server;
}

namespace nark::sender {

// A sender's --control: TLS under the sender file's certificate for sender.nark.
// Thread-safe.
class ControlServer {
 public:
  // All must outlive it. Errors of rpc::Server::Start.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Start(const std::string& listen,
                                                              const OpenedSenderFile& sender,
                                                              OrderBook& book,
                                                              const Position& position,
                                                              Clock& clock);
  ~ControlServer();
  const std::string& address() const;

 private:
  ControlServer(const OpenedSenderFile& sender, OrderBook& book, const Position& position,
                Clock& clock);
  SenderControlService service_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_CONTROL_SERVER_H_
