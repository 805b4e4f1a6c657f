#ifndef NARK_TESTS_FEC_RECORDED_SENDER_H_
#define NARK_TESTS_FEC_RECORDED_SENDER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/crypto/random.h"
#include "common/net/datagram_io.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "sender/broadcaster.h"

namespace nark::fec {

// A real sender whose datagrams are kept instead of sent. Ends the program where something
// fails. One thread only.
class RecordedSender {
 public:
  explicit RecordedSender(uint32_t fec_percent);
  ~RecordedSender();

  // The datagrams of one ADU of so many bytes, in the order in which they leave.
  std::vector<Bytes> Send(size_t plaintext_bytes);
  // Of several that leave together; their ids follow each other.
  std::vector<Bytes> SendTogether(size_t adus, size_t plaintext_bytes);
  // How many bytes make so many source fragments, the last of them not full.
  static size_t BytesFor(uint32_t source_fragments);

  const VerifiedSession& session() const { return session_.session(); }

 private:
  class Recorder;
  class MemoryStorage;
  TestProvider provider_;
  TestSession session_;
  OpenedSenderFile sender_;
  ManualClock clock_{kTestTime};
  SeededRandom random_{7};
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<MemoryStorage> storage_;
  std::unique_ptr<sender::Reservation> reservation_;
  std::unique_ptr<sender::Broadcaster> broadcaster_;
};

}  // namespace nark::fec

#endif  // NARK_TESTS_FEC_RECORDED_SENDER_H_
