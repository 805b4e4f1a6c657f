#include "common/net/datagram_index.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "common/base/bytes.h"
#include "common/net/datagram_record.h"

namespace nark::net {
namespace {

constexpr size_t kEndContentBytes = 12;
constexpr uint32_t kMaxPages = kMaxIndexEntries / kMaxPageEntries;

using StreamKey = std::pair<uint64_t, uint32_t>;  // session tag, sender

// Whether nothing of its stream that comes before an ADU is of the range.
bool MayBeginWith(const PlayRange& range, const IndexEntry& entry) {
  if (range.from_adu) return entry.adu_id <= *range.from_adu;
  // Several may have the time at which it begins.
  return entry.signed_time_us < range.from_time_us.value_or(0);
}

// Places in a file that can be read in any order.
class IndexReader {
 public:
  IndexReader(int fd, uint64_t size) : fd_(fd), size_(size) {}

  // Where to begin for a range; nothing where the index is missing, damaged or wrong.
  std::optional<uint64_t> Start(const PlayRange& range) {
    const size_t end_bytes = kRecordHeadBytes + kEndContentBytes;
    if (size_ < end_bytes) return std::nullopt;
    const ByteView end = ContentAt(size_ - end_bytes, RecordKind::kIndexEnd, end_bytes);
    if (end.size() != kEndContentBytes) return std::nullopt;
    uint64_t at = LoadBig64(&end[0]);
    const uint32_t pages = LoadBig32(&end[8]);
    if (pages > kMaxPages) return std::nullopt;
    std::map<StreamKey, IndexEntry> best;
    for (uint32_t page = 0; page < pages; ++page) {
      const ByteView content = ContentAt(at, RecordKind::kIndexPage,
                                         kRecordHeadBytes + kMaxPageEntries * kIndexEntryBytes);
      if (content.empty() || content.size() % kIndexEntryBytes != 0) return std::nullopt;
      at += kRecordHeadBytes + content.size();
      TakePage(content, range, best);
      // The entries of each are compared with the file, and a full index leaves streams out.
      if (best.size() >= kMaxIndexedStreams) return std::nullopt;
    }
    std::optional<uint64_t> start;
    for (const auto& [stream, entry] : best) {
      if (!Holds(entry)) return std::nullopt;
      start = std::min(start.value_or(UINT64_MAX), entry.offset);
    }
    return start;
  }

 private:
  // Of each stream the last ADU that it may begin with, else the first one of all.
  static void TakePage(ByteView content, const PlayRange& range,
                       std::map<StreamKey, IndexEntry>& best) {
    for (size_t i = 0; i < content.size(); i += kIndexEntryBytes) {
      IndexEntry entry;
      entry.tag = LoadBig64(&content[i]);
      entry.sender_id = LoadBig32(&content[i + 8]);
      entry.adu_id = LoadBig64(&content[i + 12]);
      entry.signed_time_us = LoadBig64(&content[i + 20]);
      entry.offset = LoadBig64(&content[i + 28]);
      const auto [known, is_new] = best.try_emplace({entry.tag, entry.sender_id}, entry);
      if (!is_new && MayBeginWith(range, entry)) known->second = entry;
    }
  }

  // Whether that ADU's header stands where the entry says.
  bool Holds(const IndexEntry& entry) {
    const ByteView datagram =
        ContentAt(entry.offset, RecordKind::kDatagram, kRecordHeadBytes + kMaxRecordContent);
    IndexEntry there;
    return ReadIndexEntry(datagram, there) && there.tag == entry.tag &&
           there.sender_id == entry.sender_id && there.adu_id == entry.adu_id &&
           there.signed_time_us == entry.signed_time_us;
  }

  // Of the record there, which has at most `most` bytes; empty where there is none.
  ByteView ContentAt(uint64_t offset, RecordKind kind, size_t most) {
    if (offset >= size_ || offset > INT64_MAX) return {};
    buffer_.resize(most);
    size_t had = 0;
    while (had < most) {
      const ssize_t n = ::pread(fd_, &buffer_[had], most - had, static_cast<off_t>(offset + had));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      had += static_cast<size_t>(n);
    }
    const ParsedRecord parsed = ParseRecord(ByteView(buffer_).first(had));
    const bool fits = parsed.result == ParsedRecord::Result::kRecord && parsed.kind == kind;
    return fits ? parsed.content : ByteView();
  }

  const int fd_;
  const uint64_t size_;
  Bytes buffer_;
};

}  // namespace

std::optional<uint64_t> LookUpStart(int fd, uint64_t file_bytes, const PlayRange& range) {
  return IndexReader(fd, file_bytes).Start(range);
}

}  // namespace nark::net
