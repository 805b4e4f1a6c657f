#include "narkctl/trace/recording.h"

#include <fcntl.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/bytes.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/net/descriptor.h"
#include "narkctl/trace/apart.h"

namespace nark::trace {
namespace {

// An hour and a half of stereo at 44.1 kHz, in 2 GiB.
constexpr size_t kMostSamples = size_t{1} << 29;
constexpr uint32_t kLeastRate = 1000, kMostRate = 768'000, kMostChannels = 64;
// Far beyond full scale, and far from where arithmetic breaks.
constexpr float kLoudest = 1e6;
constexpr float kStepsOfFullScale = 32768;
constexpr size_t kFramesAtATime = 1 << 16;

// As one word of a shell's, and no option.
std::string ShellWord(std::string text) {
  if (text.starts_with('-')) text.insert(0, "./");
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || std::strchr("_./+-", c) != nullptr;
  });
  return plain ? text : absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

absl::Status CannotRead(const std::string& path, const std::string& why) {
  // Beside it, and never over it.
  std::filesystem::path made(path);
  made.replace_extension(absl::EqualsIgnoreCase(made.extension().string(), ".wav") ? ".16-bit.wav"
                                                                                   : ".wav");
  return absl::InvalidArgumentError(absl::StrCat(path, " is no sound that can be read here (", why,
                                                 "); make WAV of it: ffmpeg -i ", ShellWord(path),
                                                 " -vn -c:a pcm_s16le ", ShellWord(made.string())));
}

absl::Status CheckIsFile(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return FileError(errno, "cannot read", path);
  if (S_ISDIR(status.st_mode)) return FileError(EISDIR, "cannot read", path);
  if (::access(path.c_str(), R_OK) != 0) return FileError(errno, "cannot read", path);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file; save it to one"));
  }
  if (status.st_size > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
}

// What the process that decodes says, in this machine's order: the head, then either samples
// as libsndfile has them, full scale 1, or why there are none.
struct Head {
  int32_t readable = 0;
  int32_t sample_rate = 0;
  int32_t channels = 0;
};

bool WriteAll(const void* bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    const ssize_t written = ::write(STDOUT_FILENO, static_cast<const char*>(bytes) + at, size - at);
    if (written < 0) return false;
    at += static_cast<size_t>(written);
  }
  return true;
}

// In a process of its own, from standard input to standard output.
int Decode(const std::optional<RawFormat>& raw) {
  SF_INFO info{};
  if (raw.has_value()) {
    info.samplerate = static_cast<int>(raw->sample_rate);
    info.channels = static_cast<int>(raw->channels);
    info.format = SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE;
  }
  SNDFILE* const file = sf_open_fd(STDIN_FILENO, SFM_READ, &info, 0);
  const Head head = {file != nullptr ? 1 : 0, info.samplerate, info.channels};
  if (!WriteAll(&head, sizeof head)) return 1;
  if (file == nullptr) {
    const char* const why = sf_strerror(nullptr);
    return WriteAll(why, std::strlen(why)) ? 0 : 1;
  }
  if (info.channels < 1 || info.channels > static_cast<int>(kMostChannels)) return 0;
  std::vector<float> samples(kFramesAtATime * static_cast<size_t>(info.channels));
  for (;;) {
    const sf_count_t frames = sf_readf_float(file, samples.data(), kFramesAtATime);
    if (frames <= 0) return 0;
    const size_t count = static_cast<size_t>(frames) * static_cast<size_t>(info.channels);
    if (!WriteAll(samples.data(), count * sizeof(float))) return 1;
  }
}

// What was told by a process that a stranger's file may have taken over.
class Told {
 public:
  absl::Status Take(ByteView bytes) {
    const size_t of_head = std::min(bytes.size(), sizeof head_ - head_bytes_);
    std::copy_n(bytes.begin(), of_head, reinterpret_cast<uint8_t*>(&head_) + head_bytes_);
    head_bytes_ += of_head;
    bytes = bytes.subspan(of_head);
    const size_t most = readable() ? kMostSamples * sizeof(float) : kMostWhyBytes;
    if (bytes.size() > most - body_bytes_) {
      return absl::ResourceExhaustedError("it is longer than 2^29 samples; cut an excerpt of it");
    }
    samples_.resize((body_bytes_ + bytes.size() + sizeof(float) - 1) / sizeof(float));
    std::copy(bytes.begin(), bytes.end(),
              reinterpret_cast<uint8_t*>(samples_.data()) + body_bytes_);
    body_bytes_ += bytes.size();
    return absl::OkStatus();
  }

  absl::StatusOr<Recording> Finish(const std::string& path) {
    if (!readable()) return CannotRead(path, Why());
    if (head_.channels < 1 || head_.channels > static_cast<int32_t>(kMostChannels) ||
        head_.sample_rate < static_cast<int32_t>(kLeastRate) ||
        head_.sample_rate > static_cast<int32_t>(kMostRate)) {
      return CannotRead(path, absl::StrCat("it claims ", head_.channels, " channels at ",
                                           head_.sample_rate, " Hz"));
    }
    const auto channels = static_cast<size_t>(head_.channels);
    samples_.resize(body_bytes_ / sizeof(float) / channels * channels);
    if (samples_.empty()) return CannotRead(path, "it has no samples");
    for (float& sample : samples_) {
      sample *= kStepsOfFullScale;
      // Floating-point files hold whatever somebody put there.
      sample = std::isnan(sample) ? 0 : std::clamp(sample, -kLoudest, kLoudest);
    }
    return Recording{.sample_rate = static_cast<uint32_t>(head_.sample_rate),
                     .channels = static_cast<uint32_t>(head_.channels),
                     .samples = std::move(samples_)};
  }

 private:
  static constexpr size_t kMostWhyBytes = 200;

  bool readable() const { return head_bytes_ == sizeof head_ && head_.readable == 1; }
  // For a terminal.
  std::string Why() const {
    std::string why(reinterpret_cast<const char*>(samples_.data()), body_bytes_);
    std::erase_if(why, [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); });
    while (why.ends_with('.')) why.pop_back();
    return why;
  }

  Head head_;
  size_t head_bytes_ = 0;
  std::vector<float> samples_;
  size_t body_bytes_ = 0;
};

}  // namespace

absl::StatusOr<RawFormat> ParseRawFormat(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  RawFormat raw;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &raw.sample_rate) &&
      absl::SimpleAtoi(parts[1], &raw.channels) && raw.sample_rate >= kLeastRate &&
      raw.sample_rate <= kMostRate && raw.channels >= 1 && raw.channels <= kMostChannels) {
    return raw;
  }
  return absl::InvalidArgumentError("raw samples are described as RATE,CHANNELS: 44100,2");
}

absl::StatusOr<Recording> ReadRecording(const std::string& path,
                                        const std::optional<RawFormat>& raw) {
  RETURN_IF_ERROR(CheckIsFile(path));
  const net::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return FileError(errno, "cannot read", path);
  Told told;
  const absl::Status status = DoApart(
      file.fd(), [&raw] { return Decode(raw); },
      [&told](ByteView bytes) { return told.Take(bytes); });
  if (absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status)) {
    return Annotate(status, path);
  }
  if (!status.ok()) return CannotRead(path, std::string(status.message()));
  return told.Finish(path);
}

}  // namespace nark::trace
