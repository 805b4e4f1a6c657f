// How well leaks are traced, by simulation with the real cipher, and on sound that was
// distorted by ffmpeg. 1,000 receivers, an innocent accused once in a million traces at most.
//
//   audit_bench single [TRIALS]        one leaker, excerpts of 10 ms to 10 s
//   audit_bench coalitions [MILLISECONDS TRIALS]   2, 4 and 8 who put their copies together
//   audit_bench search                 how long that takes in a session of 3 hours
//   audit_bench distortions MASTER.wav FOLDER [SECONDS]  needs ffmpeg; 16-bit sound; writes into
//   FOLDER
//
// Prints a table, and on stderr the seed.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "narkctl/trace/evidence.h"
#include "narkctl/trace/recording.h"
#include "narkctl/trace/report.h"
#include "narkctl/trace/testing.h"
#include "narkctl/trace/trace.h"

namespace nark::trace {
namespace {

constexpr uint32_t kReceivers = 1000;
constexpr double kError = 1e-6;
constexpr size_t kSecond = 88200;  // samples
constexpr uint64_t kSeed = 20260127;

Pcm Part(const Pcm& all, size_t first, size_t count) {
  return Pcm(all.begin() + static_cast<int64_t>(first),
             all.begin() + static_cast<int64_t>(first + count));
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Single(uint32_t trials) {
  Studio studio({.seed = kSeed});
  const Court court(studio.family(), kReceivers, kError);
  constexpr uint64_t kAdus = 12;
  std::vector<Pcm> masters;
  for (uint64_t id = 0; id < kAdus; ++id) masters.push_back(studio.MasterOf(id));
  std::printf("excerpt_ms trials found innocents_accused ms_a_trace\n");
  for (const size_t milliseconds : {10, 20, 50, 100, 1000, 10000}) {
    const size_t count = kSecond * milliseconds / 1000;
    uint32_t found = 0, innocents = 0;
    double seconds = 0;
    for (uint32_t trial = 0; trial < trials; ++trial) {
      const auto leaker = static_cast<uint32_t>(studio.random()() % kReceivers);
      const uint64_t adus = (count + kSecond - 1) / kSecond + 1;
      const uint64_t first = studio.random()() % (kAdus - adus + 1);
      Pcm copy;
      for (uint64_t id = first; id < first + adus; ++id) {
        const Pcm one = studio.CopyOf(leaker, id, masters[id]);
        copy.insert(copy.end(), one.begin(), one.end());
      }
      const Pcm leak = Part(copy, studio.random()() % (copy.size() - count), count);
      const auto start = std::chrono::steady_clock::now();
      for (const uint32_t accused :
           court.Judge(studio.ExaminationOf(leak, {0, kAdus - 1}).evidence)) {
        ++(accused == leaker ? found : innocents);
      }
      seconds += SecondsSince(start);
    }
    std::printf("%10zu %6u %5u %17u %10.1f\n", milliseconds, trials, found, innocents,
                1000 * seconds / trials);
    std::fflush(stdout);
  }
}

// Who of so many receivers put their copies together, each once.
std::vector<uint32_t> CoalitionOf(size_t size, std::mt19937_64& random) {
  std::vector<uint32_t> coalition;
  while (coalition.size() < size) {
    const auto one = static_cast<uint32_t>(random() % kReceivers);
    if (std::find(coalition.begin(), coalition.end(), one) == coalition.end()) {
      coalition.push_back(one);
    }
  }
  return coalition;
}

// An excerpt of so many samples, from anywhere, of what they made. The master is the same
// second again and again, each time as another ADU: only its marks matter.
Pcm LeakOf(const std::vector<uint32_t>& coalition, Collusion how, size_t count, Studio& studio,
           const Pcm& second) {
  const uint64_t adus = (count + kSecond - 1) / kSecond + 1;
  const size_t first = studio.random()() % (adus * kSecond - count + 1);
  std::vector<Pcm> copies;
  for (const uint32_t colluder : coalition) {
    Pcm copy;
    for (uint64_t id = 0; id < adus; ++id) {
      const Pcm one = studio.CopyOf(colluder, id, second);
      copy.insert(copy.end(), one.begin(), one.end());
    }
    copies.push_back(Part(copy, first, count));
  }
  // Every one of them has a part in the shortest excerpt.
  const size_t piece = std::min(kSecond / 20, count / (2 * coalition.size()));
  return Collude(copies, how, piece, studio.random());
}

void Coalitions(size_t milliseconds, uint32_t trials) {
  Studio studio({.seed = kSeed + milliseconds});
  const Court court(studio.family(), kReceivers, kError);
  const Pcm second = studio.MasterOf(0);
  const size_t count = kSecond * milliseconds / 1000;
  const char* const names[] = {"pieces", "random", "majority", "average"};
  std::printf("excerpt_ms colluders way      trials any all mean_found innocents_accused\n");
  for (const size_t size : {2, 4, 8}) {
    for (const Collusion how :
         {Collusion::kPieces, Collusion::kRandom, Collusion::kMajority, Collusion::kAverage}) {
      uint32_t any = 0, all = 0, innocents = 0, total = 0;
      for (uint32_t trial = 0; trial < trials; ++trial) {
        const std::vector<uint32_t> coalition = CoalitionOf(size, studio.random());
        const Pcm leak = LeakOf(coalition, how, count, studio, second);
        uint32_t found = 0;
        for (const uint32_t accused :
             court.Judge(studio.ExaminationOf(leak, {0, milliseconds / 1000 + 1}).evidence)) {
          const bool guilty =
              std::find(coalition.begin(), coalition.end(), accused) != coalition.end();
          ++(guilty ? found : innocents);
        }
        any += found > 0 ? 1 : 0;
        all += found == size ? 1 : 0;
        total += found;
      }
      std::printf("%10zu %9zu %-8s %6u %3u %3u %10.2f %17u\n", milliseconds, size,
                  names[static_cast<size_t>(how)], trials, any, all,
                  static_cast<double>(total) / trials, innocents);
      std::fflush(stdout);
    }
  }
}

void Search() {
  Studio studio({.seed = kSeed});
  constexpr uint64_t kLast = 3 * 3600 - 1;
  const auto timed = [&](const char* name, const Pcm& leak) {
    const auto start = std::chrono::steady_clock::now();
    const Examination shown = studio.ExaminationOf(leak, {0, kLast});
    std::printf("%-45s %zu pieces, %.1f s\n", name, shown.pieces.size(), SecondsSince(start));
    std::fflush(stdout);
  };
  const Pcm copy = studio.CopyOf(1, {kLast, kLast});
  timed("10 ms of the last of 3 hours", Part(copy, 40000, 882));
  timed("its last second", copy);
  timed("half a second of it that was never sent",
        Part(studio.MasterOf(AduRange{0, 0}), 0, kSecond / 2));
}

// 16-bit PCM in a WAV file of 44 bytes of header.
void WriteWav(const std::string& path, const Pcm& samples, uint32_t rate, uint32_t channels) {
  std::ofstream file(path, std::ios::binary);
  const auto u32 = [&](uint32_t value) { file.write(reinterpret_cast<const char*>(&value), 4); };
  const auto u16 = [&](uint16_t value) { file.write(reinterpret_cast<const char*>(&value), 2); };
  const auto bytes = static_cast<uint32_t>(2 * samples.size());
  file.write("RIFF", 4), u32(36 + bytes), file.write("WAVEfmt ", 8), u32(16), u16(1);
  u16(static_cast<uint16_t>(channels)), u32(rate), u32(2 * channels * rate);
  u16(static_cast<uint16_t>(2 * channels)), u16(16), file.write("data", 4), u32(bytes);
  file.write(reinterpret_cast<const char*>(samples.data()), bytes);
}

class Distortions {
 public:
  Distortions(const std::string& master, std::string folder, size_t seconds)
      : folder_(std::move(folder)) {
    auto read = ReadRecording(master);
    if (!read.ok()) Die(std::string(read.status().message()));
    master_ = *std::move(read);
    const size_t most = seconds * master_.sample_rate * master_.channels;
    if (master_.samples.size() > most) master_.samples.resize(most);
    studio_ = std::make_unique<Studio>(Studio::Settings{
        .seed = kSeed, .sample_rate = master_.sample_rate, .channels = master_.channels});
    court_ = std::make_unique<Court>(studio_->family(), kReceivers, kError);
    const size_t length = studio_->layout().SamplesOf(0);
    for (size_t begin = 0; begin < master_.samples.size(); begin += length) {
      Pcm part;
      for (size_t i = begin; i < std::min(begin + length, master_.samples.size()); ++i) {
        part.push_back(static_cast<int16_t>(master_.samples[i]));
      }
      const Pcm one = studio_->CopyOf(kLeaker, adus_++, part);
      copy_.insert(copy_.end(), one.begin(), one.end());
    }
    WriteWav(Path("copy.wav"), copy_, master_.sample_rate, master_.channels);
    PrintQuality();
  }

  void Run() {
    std::printf(
        "distortion                master   score threshold found innocents aligned_s "
        "trace_s\n");
    Try("none", Copy());
    Encode("FLAC", "flac", "-c:a flac");
    Encode("Opus 128 kbit/s", "opus", "-c:a libopus -b:a 128k");
    Encode("Opus 256 kbit/s", "opus", "-c:a libopus -b:a 256k");
    Encode("AAC 128 kbit/s", "m4a", "-c:a aac -b:a 128k");
    Encode("AAC 256 kbit/s", "m4a", "-c:a aac -b:a 256k");
    Encode("MP3 128 kbit/s", "mp3", "-c:a libmp3lame -b:a 128k");
    Encode("MP3 320 kbit/s", "mp3", "-c:a libmp3lame -b:a 320k");
    Encode("gain +3 dB", "wav", "-af volume=3dB -c:a pcm_s16le");
    Encode("gain -3 dB", "wav", "-af volume=-3dB -c:a pcm_s16le");
    for (const double sigma : {0.3, 0.5, 1.0, 4.0, 16.0, 64.0}) Noise(sigma);
    Pieces();
    Random();
  }

 private:
  static constexpr uint32_t kLeaker = 123;

  [[noreturn]] static void Die(const std::string& why) {
    std::fprintf(stderr, "audit_bench: %s\n", why.c_str());
    std::exit(1);
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  Recording Copy() const { return studio_->RecordingOf(copy_); }

  void PrintQuality() const {
    double signal = 0, error = 0;
    for (size_t i = 0; i < copy_.size(); ++i) {
      signal += double{master_.samples[i]} * master_.samples[i];
      error += std::pow(copy_[i] - double{master_.samples[i]}, 2);
    }
    const double count = static_cast<double>(copy_.size());
    std::printf(
        "%.1f s of %u channels at %u Hz; signal %.1f dB below full scale, the copy's "
        "distance from the master %.1f dB below full scale, %.1f dB below the signal\n",
        count / master_.channels / master_.sample_rate, master_.channels, master_.sample_rate,
        -10 * std::log10(signal / count / std::pow(32768, 2)),
        -10 * std::log10(error / count / std::pow(32768, 2)), 10 * std::log10(signal / error));
  }

  void Try(const std::string& name, const Recording& leak) {
    for (const Recording* master :
         {static_cast<const Recording*>(nullptr), static_cast<const Recording*>(&master_)}) {
      const auto start = std::chrono::steady_clock::now();
      const Examination shown = studio_->ExaminationOf(leak, master, {0, adus_ + 10});
      const double took = SecondsSince(start);
      const auto verdict =
          Accuse(shown.evidence, studio_->family(), Studio::Ids(kReceivers), kError);
      if (!verdict.ok()) Die(std::string(verdict.status().message()));
      const std::string svg = ReportSvg(
          {shown, *verdict, studio_->Streams(), master_.sample_rate, master_.channels, {}, {}});
      std::ofstream(Path("scores-" + std::to_string(++plots_) + ".svg")) << svg;
      double score = 0, aligned = 0;
      for (const Candidate& candidate : verdict->candidates) {
        if (candidate.id == Studio::IdOf(kLeaker)) score = candidate.score;
      }
      for (const TracedPiece& piece : shown.pieces) {
        aligned += static_cast<double>(piece.piece.count);
      }
      const bool found = score >= verdict->threshold && verdict->accused > 0;
      std::printf("%-25s %-6s %7.1f %9.2f %-5s %9zu %9.1f %7.1f\n", name.c_str(),
                  master == nullptr ? "no" : "yes", score, verdict->threshold, found ? "yes" : "no",
                  verdict->accused - (found ? 1 : 0),
                  aligned / master_.channels / master_.sample_rate, took);
      std::fflush(stdout);
    }
  }

  void Encode(const std::string& name, const std::string& ending, const std::string& how) {
    const std::string coded = Path("coded." + ending), back = Path("back.wav");
    const std::string command =
        "ffmpeg -nostdin -v error -y -i " + Path("copy.wav") + " " + how + " " + coded +
        " && ffmpeg -nostdin -v error -y -i " + coded + " -ar " +
        std::to_string(master_.sample_rate) + " -c:a " +
        (ending == "wav" || ending == "flac" ? "pcm_s16le " : "pcm_f32le ") + back;
    if (std::system(command.c_str()) != 0) Die("failed: " + command);
    auto leak = ReadRecording(back);
    if (!leak.ok()) Die(std::string(leak.status().message()));
    Try(name, *leak);
  }

  void Noise(double sigma) {
    std::normal_distribution<double> noise(0, sigma);
    Recording leak = Copy();
    for (float& sample : leak.samples) {
      sample = static_cast<float>(std::round(sample + noise(studio_->random())));
    }
    char name[32];
    std::snprintf(name, sizeof name, "noise, sigma %.1f", sigma);
    Try(name, leak);
  }

  void Pieces() {
    Recording leak = Copy();
    const std::vector<float> all = std::exchange(leak.samples, {});
    const size_t piece = master_.channels * (master_.sample_rate / 5);
    for (int i = 0; i < 25; ++i) {
      const size_t first =
          studio_->random()() % ((all.size() - piece) / master_.channels) * master_.channels;
      leak.samples.insert(leak.samples.end(), all.begin() + static_cast<int64_t>(first),
                          all.begin() + static_cast<int64_t>(first + piece));
    }
    Try("25 pieces of 0.2 s", leak);
  }

  void Random() {
    Recording leak = Copy();
    for (float& sample : leak.samples) {
      sample = 2 * std::floor(sample / 2) + static_cast<float>(studio_->random()() & 1);
    }
    Try("least bits randomised", leak);
  }

  const std::string folder_;
  Recording master_;
  std::unique_ptr<Studio> studio_;
  std::unique_ptr<Court> court_;
  Pcm copy_;
  uint64_t adus_ = 0;
  int plots_ = 0;
};

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(kSeed));
  const auto number = [&](size_t i, uint32_t otherwise) {
    return i < words.size() ? static_cast<uint32_t>(std::atoi(words[i].c_str())) : otherwise;
  };
  if (!words.empty() && words[0] == "single") {
    Single(number(1, 1000));
  } else if (!words.empty() && words[0] == "coalitions") {
    Coalitions(number(1, 10000), number(2, 40));
  } else if (!words.empty() && words[0] == "search") {
    Search();
  } else if (words.size() >= 3 && words[0] == "distortions") {
    Distortions(words[1], words[2], number(3, 600)).Run();
  } else {
    std::fprintf(stderr,
                 "audit_bench: single [TRIALS] | coalitions [MILLISECONDS TRIALS] | search | "
                 "distortions MASTER.wav FOLDER [SECONDS]\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace nark::trace

int main(int argc, char** argv) { return nark::trace::Main(argc, argv); }
