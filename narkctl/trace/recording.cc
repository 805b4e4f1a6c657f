#include "narkctl/trace/recording.h"

#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/file_operations.h"
#include "common/base/status.h"

namespace nark::trace {
namespace {

// An hour and a half of stereo at 44.1 kHz, in 2 GiB.
constexpr size_t kMostSamples = size_t{1} << 29;
constexpr uint32_t kLeastRate = 1000, kMostRate = 768'000, kMostChannels = 64;
// Far beyond full scale, and far from where arithmetic breaks.
constexpr float kLoudest = 1e6;
constexpr float kStepsOfFullScale = 32768;
constexpr size_t kFramesAtATime = 1 << 16;

struct CloseFile {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

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
  SF_INFO info{};
  if (raw.has_value()) {
    info.samplerate = static_cast<int>(raw->sample_rate);
    info.channels = static_cast<int>(raw->channels);
    info.format = SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE;
  }
  const std::unique_ptr<SNDFILE, CloseFile> file(sf_open(path.c_str(), SFM_READ, &info));
  if (file == nullptr) return CannotRead(path, sf_strerror(nullptr));
  if (info.channels < 1 || info.channels > static_cast<int>(kMostChannels) ||
      info.samplerate < static_cast<int>(kLeastRate) ||
      info.samplerate > static_cast<int>(kMostRate)) {
    return CannotRead(
        path, absl::StrCat("it claims ", info.channels, " channels at ", info.samplerate, " Hz"));
  }
  Recording recording{.sample_rate = static_cast<uint32_t>(info.samplerate),
                      .channels = static_cast<uint32_t>(info.channels),
                      .samples = {}};
  // What a header says of the length is not trusted.
  while (true) {
    const size_t before = recording.samples.size();
    recording.samples.resize(before + kFramesAtATime * recording.channels);
    const sf_count_t frames =
        sf_readf_float(file.get(), recording.samples.data() + before, kFramesAtATime);
    const size_t read = frames > 0 ? static_cast<size_t>(frames) * recording.channels : 0;
    recording.samples.resize(before + read);
    if (read == 0) break;
    for (size_t i = before; i < before + read; ++i) {
      const float sample = recording.samples[i] * kStepsOfFullScale;
      // Floating-point files hold whatever somebody put there.
      recording.samples[i] = std::isnan(sample) ? 0 : std::clamp(sample, -kLoudest, kLoudest);
    }
    if (recording.samples.size() > kMostSamples) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is longer than 2^29 samples; cut an excerpt of it"));
    }
  }
  if (recording.samples.empty()) return CannotRead(path, "it has no samples");
  return recording;
}

}  // namespace nark::trace
