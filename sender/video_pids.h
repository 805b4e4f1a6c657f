#ifndef NARK_SENDER_VIDEO_PIDS_H_
#define NARK_SENDER_VIDEO_PIDS_H_

#include <cstdint>
#include <map>
#include <set>

#include "common/base/bytes.h"
#include "sender/transport_stream.h"

namespace nark::sender {

// Finds the PIDs of video of every programme of a transport stream (ISO/IEC 13818-1,
// 2.4.4). Whatever the bytes, it neither fails nor reads beyond the packet. One thread
// only.
class VideoPids {
 public:
  // `packet` has kPacketBytes bytes and begins with kSyncByte.
  void Look(ByteView packet);

  // The association table and the map of every programme in it have been seen.
  bool complete() const;
  // Of the tables in force, ascending.
  std::set<uint16_t> pids() const;
  // Goes up with every table that was read.
  uint64_t version() const { return version_; }

 private:
  void ReadPat(ByteView section);
  void ReadPmt(ByteView section);

  SectionCollector pat_;
  std::map<uint16_t, SectionCollector> pmts_;     // by PID
  std::map<uint16_t, uint16_t> programmes_;       // number: PID of its map
  std::map<uint16_t, std::set<uint16_t>> video_;  // by number, once its map is known
  uint64_t version_ = 0;
};

}  // namespace nark::sender

#endif  // NARK_SENDER_VIDEO_PIDS_H_
