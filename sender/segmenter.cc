#include "sender/segmenter.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace nark::sender {
namespace {

using std::chrono::microseconds;

// Sync bytes in a row that make bytes a transport stream.
constexpr size_t kSyncsInARow = 5;
// Whole packets where there are packets.
constexpr size_t kSplitBytes = Segmenter::kMaxBytes / kPacketBytes * kPacketBytes;
constexpr size_t kCompactBytes = 1 << 20;

absl::Status CutsByPictures() {
  return absl::InvalidArgumentError(
      "the session's ADUs are to be marked and cut at pictures, and sound has none: create it "
      "with ADUs of a duration or of bytes");
}

absl::Status NotMarkable(std::string_view found) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the input is no WAV file of 16-bit PCM (", Absl(found),
      "), and only that can carry marks: pass it through ffmpeg -i INPUT -c:a pcm_s16le -f wav -"));
}

// Of bytes that ProbeWave says kNo to.
std::string WhyNoWave(ByteView begin) {
  const std::string_view text = AsText(begin.first(std::min<size_t>(begin.size(), 12)));
  if (text.size() == 12 && text.starts_with("RIFF") && text.ends_with("WAVE")) {
    return "its header does not say what the samples are";
  }
  const std::string_view id = text.substr(0, 4);
  const bool readable = id.size() == 4 && std::all_of(id.begin(), id.end(), [](char letter) {
                          return letter >= ' ' && letter <= '~' && letter != '"';
                        });
  return absl::StrCat("it does not begin with RIFF and WAVE",
                      readable ? absl::StrCat(" but with \"", Absl(id), "\"") : "");
}

}  // namespace

absl::StatusOr<CutRule> CutRule::FromTerms(const v1::Terms& terms) {
  const v1::AduTiming& timing = terms.adu_timing();
  CutRule rule;
  rule.marking = MarkingOf(terms);
  switch (timing.cut_case()) {
    case v1::AduTiming::kGop:
      rule.kind = Kind::kGop;
      if (rule.marking == Marking::kSamples) return CutsByPictures();
      if (timing.gop()) return rule;
      break;
    case v1::AduTiming::kDurationMs:
      rule.kind = Kind::kDuration;
      rule.duration = std::chrono::milliseconds(timing.duration_ms());
      if (timing.duration_ms() > 0) return rule;
      break;
    case v1::AduTiming::kBytes:
      rule.kind = Kind::kBytes;
      rule.bytes = timing.bytes();
      if (rule.bytes > 0 && rule.bytes <= Segmenter::kMaxBytes) return rule;
      break;
    case v1::AduTiming::CUT_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("the session's terms do not say how to cut the stream");
}

Segmenter::Segmenter(const CutRule& rule) : rule_(rule), next_boundary_(rule.duration) {
  if (marks_samples() && rule.kind == CutRule::Kind::kGop) status_ = CutsByPictures();
}

void Segmenter::Append(ByteView bytes) {
  if (!status_.ok()) return;
  Compact();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void Segmenter::Finish() { finished_ = true; }

std::optional<Adu> Segmenter::Next() {
  if (!Recognise() || !status_.ok()) return std::nullopt;
  switch (state_) {
    case State::kProbing:
      return std::nullopt;
    case State::kTransportStream:
      return rule_.kind == CutRule::Kind::kBytes ? NextBySize(rule_.bytes) : NextByMarks();
    case State::kWave:
      return NextOfWave();
    case State::kPieces:
      return NextBySize(kFallbackBytes);
  }
  return std::nullopt;
}

Segmenter::ClockSource Segmenter::clock_source() const {
  if (state_ == State::kWave) return ClockSource::kByteRate;
  if (state_ == State::kPieces) return ClockSource::kNone;
  if (scanner_.time().has_value()) return ClockSource::kPcr;
  if (state_ == State::kProbing) return ClockSource::kUnknown;
  bool looked_far_enough = finished_ || consumed_ + pending() >= kLookAheadBytes;
  return looked_far_enough ? ClockSource::kNone : ClockSource::kUnknown;
}

bool Segmenter::Recognise() {
  if (state_ == State::kProbing && status_.ok()) Probe();
  return state_ != State::kProbing || !status_.ok();
}

// Finds out what the input is. Nothing has been taken from it so far.
void Segmenter::Probe() {
  if (marks_samples()) return ProbeSamples();
  if (rule_.kind == CutRule::Kind::kBytes) {
    state_ = State::kTransportStream;
    return;
  }
  if (rule_.kind == CutRule::Kind::kDuration) {
    WaveProbe probe = ProbeWave(buffer_, wave_);
    if (probe == WaveProbe::kYes) {
      state_ = State::kWave;
      return;
    }
    if (probe == WaveProbe::kNeedsMore && !finished_ && buffer_.size() < kNoSyncBytes) return;
  }
  while (!scanner_.programme_known()) {
    std::optional<size_t> packet = NextPacket();
    if (!packet.has_value()) break;
    scanner_.Look(ByteView(buffer_).subspan(*packet, kPacketBytes));
    scan_ += kPacketBytes;
  }
  if (scanner_.programme_known()) {
    // Marks may stand before the tables that say which they are.
    scanner_.Rewind();
    scan_ = 0;
    in_sync_ = false;
    state_ = State::kTransportStream;
    return;
  }
  if (finished_ || buffer_.size() >= (ever_in_sync_ ? kLookAheadBytes : kNoSyncBytes)) FallBack();
}

void Segmenter::ProbeSamples() {
  const WaveProbe probe = ProbeWave(buffer_, wave_);
  const bool found = probe == WaveProbe::kYes && wave_.data_offset <= kNoSyncBytes;
  if (found && wave_.IsPcm16()) {
    state_ = State::kWave;
  } else if (found) {
    status_ = NotMarkable(wave_.ToString());
  } else if (finished_ && buffer_.empty()) {
    status_ = NotMarkable("it is empty");
  } else if (probe == WaveProbe::kNo) {
    status_ = NotMarkable(WhyNoWave(buffer_));
  } else if (buffer_.size() >= kNoSyncBytes) {
    status_ = NotMarkable(absl::StrCat("no samples begin in its first ", kNoSyncBytes, " bytes"));
  } else if (finished_) {
    status_ =
        NotMarkable(absl::StrCat("it ends within its header, after ", buffer_.size(), " bytes"));
  }
}

void Segmenter::FallBack() {
  state_ = State::kPieces;
  begin_time_.reset();
  if (finished_ && pending() == 0) return;  // an empty input needs no warning
  std::string_view missing = rule_.kind == CutRule::Kind::kGop
                                 ? "random-access indicators on its first video"
                                 : "programme clock (PCR)";
  warning_ = ever_in_sync_ ? absl::StrCat("the transport stream has no ", Absl(missing))
                           : std::string("the input is no transport stream");
  absl::StrAppend(&warning_, " as far as its first ", pending(),
                  " bytes show: cutting it into pieces of 64 KiB, sent unpaced");
}

Segmenter::Sync Segmenter::SyncAt(size_t offset) const {
  for (size_t i = 0; i < kSyncsInARow; ++i) {
    size_t at = offset + i * kPacketBytes;
    if (at >= buffer_.size()) return finished_ ? Sync::kYes : Sync::kUnknown;
    if (buffer_[at] != kSyncByte) return Sync::kNo;
  }
  return Sync::kYes;
}

// Where the next whole packet stands: at scan_, which goes over what is none.
std::optional<size_t> Segmenter::NextPacket() {
  for (; scan_ + kPacketBytes <= buffer_.size(); ++scan_) {
    if (in_sync_ && buffer_[scan_] == kSyncByte) return scan_;
    in_sync_ = false;
    Sync sync = SyncAt(scan_);
    if (sync == Sync::kUnknown) return std::nullopt;
    if (sync == Sync::kNo) continue;
    in_sync_ = true;
    ever_in_sync_ = true;
    return scan_;
  }
  return std::nullopt;
}

// Looks at packets that begin before `stop`, up to the next cut.
void Segmenter::ScanPackets(size_t stop) {
  while (!cut_.has_value() && scan_ < stop) {
    std::optional<size_t> packet = NextPacket();
    if (!packet.has_value() || *packet >= stop) return;
    OnPacket(*packet);
  }
}

void Segmenter::OnPacket(size_t offset) {
  bool full = offset > begin_ && offset + kPacketBytes - begin_ > kSplitBytes;
  if (full && rule_.kind != CutRule::Kind::kBytes) {
    cut_ = Cut{offset, false};
    return;
  }
  TransportStreamScanner::Packet packet =
      scanner_.Look(ByteView(buffer_).subspan(offset, kPacketBytes));
  scan_ = offset + kPacketBytes;
  if (packet.time.has_value() && !begin_time_.has_value()) begin_time_ = packet.time;
  bool cut = false;
  if (rule_.kind == CutRule::Kind::kGop) {
    cut = packet.video_random_access;
    marks_seen_ = marks_seen_ || cut;
  } else if (rule_.kind == CutRule::Kind::kDuration && packet.time.has_value()) {
    marks_seen_ = true;
    cut = *packet.time >= next_boundary_;
    microseconds duration = rule_.duration;
    if (cut) next_boundary_ = (*packet.time / duration + 1) * duration;
  }
  if (offset == begin_) {
    random_access_ = packet.video_random_access;
  } else if (cut) {
    cut_ = Cut{offset, packet.video_random_access};
  }
}

std::optional<Adu> Segmenter::NextByMarks() {
  ScanPackets(buffer_.size());
  if (!marks_seen_) {
    if (!finished_ && pending() < kLookAheadBytes) return std::nullopt;
    FallBack();
    return NextBySize(kFallbackBytes);
  }
  size_t known =
      cut_.has_value() ? cut_->offset - begin_ : (finished_ ? buffer_.size() : scan_) - begin_;
  if (known > kSplitBytes) return Take(kSplitBytes);
  if (!cut_.has_value()) {
    if (!finished_ || known == 0) return std::nullopt;
    return Take(known);
  }
  Adu adu = Take(known);
  random_access_ = cut_->random_access;
  cut_.reset();
  return adu;
}

std::optional<Adu> Segmenter::NextBySize(size_t bytes) {
  if (state_ == State::kTransportStream) ScanPackets(begin_ + bytes);
  if (pending() < bytes && !(finished_ && pending() > 0)) return std::nullopt;
  return Take(std::min(bytes, pending()));
}

std::optional<Adu> Segmenter::NextOfWave() {
  if (marks_samples() && finished_) WarnOfMissingSamples();
  if (marks_samples() && consumed_ >= wave_.data_end()) return NextOfTrailer();
  size_t bytes = NextWaveCut() - consumed_;
  if (pending() < bytes && !(finished_ && pending() > 0)) return std::nullopt;
  bytes = std::min(bytes, pending());
  begin_time_ = wave_.TimeOf(consumed_);
  microseconds end_time = wave_.TimeOf(consumed_ + bytes);
  const Samples samples = SamplesOfNext(bytes);
  Adu adu = Take(bytes);
  adu.time->end = end_time;
  if (marks_samples()) adu.samples = samples;
  return adu;
}

// The input has ended.
void Segmenter::WarnOfMissingSamples() {
  const uint64_t end = consumed_ + pending();
  if (!warning_.empty()) return;
  if (end <= wave_.data_offset) {
    warning_ = "the input has a header and no samples";
  } else if (wave_.data_bytes.has_value() && end < wave_.data_end()) {
    warning_ = absl::StrCat("the input has ", end - wave_.data_offset, " of the ",
                            *wave_.data_bytes, " bytes of sound that its header counts");
  }
}

// Where the ADU that grows ends, behind its begin and by 16 MiB at most.
uint64_t Segmenter::NextWaveCut() {
  uint64_t end = consumed_ + rule_.bytes;
  if (rule_.kind == CutRule::Kind::kDuration) {
    do {
      end = wave_.OffsetOf(rule_.duration * (wave_cuts_ + 1));
      if (end <= consumed_) ++wave_cuts_;
    } while (end <= consumed_);
  }
  end = std::min<uint64_t>(end, consumed_ + kMaxBytes);
  return marks_samples() ? std::min(WholeBlocks(end), wave_.data_end()) : end;
}

// The last end of a block until `end`, or the first one there is.
uint64_t Segmenter::WholeBlocks(uint64_t end) const {
  const uint64_t first = std::max(consumed_, wave_.data_offset);
  const uint64_t blocks = end > first ? (end - first) / wave_.block_bytes : 0;
  return first + std::max<uint64_t>(blocks, 1) * wave_.block_bytes;
}

// Of the next so many bytes those that are whole samples, as the ADU that has them counts.
Samples Segmenter::SamplesOfNext(size_t bytes) const {
  const uint64_t begin = std::max(consumed_, wave_.data_offset);
  const uint64_t end = std::min(consumed_ + bytes, wave_.data_end());
  if (end < begin + 2) return {};
  return {.offset = static_cast<uint32_t>(begin - consumed_),
          .bytes = static_cast<uint32_t>((end - begin) / 2 * 2)};
}

// What follows the samples. It goes out without marks, so it is looked at before any of it
// does: samples that a header did not count must not be taken for it.
std::optional<Adu> Segmenter::NextOfTrailer() {
  if (pending() <= kMaxTrailerBytes && (!finished_ || pending() == 0)) return std::nullopt;
  const ByteView trailer = ByteView(buffer_).subspan(begin_);
  const size_t padding = *wave_.data_bytes & 1;
  if (trailer.size() > kMaxTrailerBytes || !AreTrailingChunks(trailer.subspan(padding))) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("behind the ", *wave_.data_bytes,
                     " bytes of sound that the input's header counts there "
                     "is more than chunks: what may be sound is not sent without marks; where "
                     "that count is wrong, pass it through "
                     "ffmpeg -ignore_length 1 -i INPUT -c:a pcm_s16le -f wav -"));
    return std::nullopt;
  }
  begin_time_ = wave_.TimeOf(wave_.data_end());
  Adu adu = Take(trailer.size());
  adu.time->end = adu.time->begin;
  adu.samples = Samples{};
  return adu;
}

// The first bytes of what is pending, as an ADU; the next one begins behind them.
Adu Segmenter::Take(size_t bytes) {
  Adu adu;
  auto from = buffer_.begin() + static_cast<ptrdiff_t>(begin_);
  adu.bytes.assign(from, from + static_cast<ptrdiff_t>(bytes));
  adu.random_access = random_access_;
  random_access_ = false;
  if (begin_time_.has_value()) {
    adu.time = ProgrammeTime{*begin_time_, scanner_.time().value_or(*begin_time_)};
    begin_time_ = adu.time->end;
  }
  begin_ += bytes;
  consumed_ += bytes;
  return adu;
}

void Segmenter::Compact() {
  // Where pieces are cut by size a packet may begin in one that is gone already.
  size_t unused = state_ == State::kTransportStream ? std::min(begin_, scan_) : begin_;
  if (unused < kCompactBytes && unused < buffer_.size()) return;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(unused));
  begin_ -= unused;
  scan_ -= std::min(scan_, unused);
  if (cut_.has_value()) cut_->offset -= unused;
}

}  // namespace nark::sender
