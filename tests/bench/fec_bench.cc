// What FEC does and costs. For people: a table of ADUs of 1 to 1,000 source fragments at
// 10 % loss and 20 % parity, measured by counting over the sender's own datagrams, beside
// the exact binomial values. For machines, one JSON line a figure: the code beside ISA-L
// alone, sender and receiver beside themselves without parity plus ISA-L alone, all in
// interleaved rounds of one run, by CPU time, medians.

#include <isa-l/erasure_code.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/crypto/random.h"
#include "common/fec/coder.h"
#include "receiver/reassembler.h"
#include "tests/fec/loss_model.h"
#include "tests/fec/recorded_sender.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr size_t kFragmentBytes = 1424;
constexpr double kLoss = 0.1;
constexpr uint32_t kPercent = 20;
constexpr uint64_t kSeed = 20;

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Rounds {
 public:
  // Seconds a call of each work, called so often that a round takes a while.
  void Time(const std::string& name, absl::FunctionRef<void()> work) {
    size_t& calls = calls_[name];
    if (calls == 0) calls = CallsFor(work);
    const double begin = ThreadSeconds();
    for (size_t i = 0; i < calls; ++i) work();
    seconds_[name].push_back((ThreadSeconds() - begin) / static_cast<double>(calls));
  }
  double Seconds(const std::string& name) const { return Median(seconds_.at(name)); }

 private:
  static size_t CallsFor(absl::FunctionRef<void()> work) {
    const double begin = ThreadSeconds();
    size_t calls = 0;
    for (; ThreadSeconds() - begin < 0.05; ++calls) work();
    return calls;
  }
  std::map<std::string, size_t> calls_;
  std::map<std::string, std::vector<double>> seconds_;
};

void Print(const std::string& figure, double bytes, double seconds, double limit_seconds,
           const std::string& limit_is, const std::string& detail) {
  std::printf(
      "{\"figure\":\"%s\",\"value\":%.3f,\"limit\":%.3f,\"ratio\":%.3f,"
      "\"unit\":\"Gbit/s a core\",\"limit_is\":\"%s\",\"detail\":{%s}}\n",
      figure.c_str(), bytes * 8e-9 / seconds, bytes * 8e-9 / limit_seconds, limit_seconds / seconds,
      limit_is.c_str(), detail.c_str());
  std::fflush(stdout);
}

// ISA-L alone: `rows` rows over `columns` vectors, its tables made beforehand. Larger blocks
// are pairs: twice the rows and the columns of half the length.
class BareIsaL {
 public:
  BareIsaL(uint32_t rows, uint32_t columns, bool pairs)
      : rows_(static_cast<int>(pairs ? 2 * rows : rows)),
        columns_(static_cast<int>(pairs ? 2 * columns : columns)),
        length_(static_cast<int>(pairs ? kFragmentBytes / 2 : kFragmentBytes)),
        matrix_(static_cast<size_t>(rows_ * columns_)),
        tables_(32 * matrix_.size()),
        data_(static_cast<size_t>(rows_ + columns_) * static_cast<size_t>(length_)) {
    SeededRandom random(kSeed);
    if (!random.Fill(matrix_).ok() || !random.Fill(data_).ok()) std::abort();
    ec_init_tables(columns_, rows_, matrix_.data(), tables_.data());
    for (int i = 0; i < columns_ + rows_; ++i) {
      (i < columns_ ? from_ : to_).push_back(&data_[static_cast<size_t>(i * length_)]);
    }
  }
  void Run() { ec_encode_data(length_, columns_, rows_, tables_.data(), from_.data(), to_.data()); }

 private:
  int rows_, columns_, length_;
  Bytes matrix_, tables_, data_;
  std::vector<uint8_t*> from_, to_;
};

uint32_t ParityOf(uint32_t source) { return (source * kPercent + 99) / 100; }
bool InPairs(const fec::Spread& spread) { return spread.source_of(0) + spread.parity_of(0) > 256; }

// Of one block: what the code takes, and what ISA-L alone does.
void RunCode(uint32_t source) {
  const fec::Spread spread(source, ParityOf(source));
  const uint32_t lost = spread.parity() / 2;
  SeededRandom random(kSeed);
  Bytes data(source * kFragmentBytes), parity(spread.parity() * kFragmentBytes);
  if (!random.Fill(data).ok()) std::abort();
  fec::Coder coder;
  BareIsaL encoding(spread.parity(), source, InPairs(spread));
  BareIsaL repairing(lost, source, InPairs(spread));
  std::vector<uint32_t> missing;
  for (uint32_t i = 0; i < lost; ++i) missing.push_back(i * (source / lost));
  Rounds rounds;
  for (int round = 0; round < kRounds; ++round) {
    rounds.Time("encode", [&] { coder.Encode(spread, kFragmentBytes, data, parity); });
    rounds.Time("encode limit", [&] { encoding.Run(); });
    rounds.Time("repair", [&] {
      std::vector<fec::ParityFragment> by;
      for (uint32_t i = 0; i < lost; ++i) {
        const auto from = parity.begin() + static_cast<ptrdiff_t>(i * kFragmentBytes);
        by.push_back({i, Bytes(from, from + kFragmentBytes)});
      }
      coder.Repair(spread, 0, kFragmentBytes, data, missing, by);
    });
    rounds.Time("repair limit", [&] { repairing.Run(); });
  }
  for (const std::string work : {"encode", "repair"}) {
    Print("fec " + work + " " + std::to_string(source), static_cast<double>(data.size()),
          rounds.Seconds(work), rounds.Seconds(work + " limit"), "ISA-L alone, its tables ready",
          "\"source\":" + std::to_string(source) + ",\"parity\":" +
              std::to_string(spread.parity()) + ",\"rebuilt\":" + std::to_string(lost));
  }
}

size_t Receive(const fec::RecordedSender& sender, const std::vector<Bytes>& datagrams) {
  receiver::Reassembler reassembler(sender.session(), 0);
  std::vector<receiver::CompleteAdu> complete;
  for (const Bytes& one : datagrams) reassembler.OnDatagram(one, kTestTime, complete);
  return complete.size();
}

// One in ten fragments is left out, evenly.
std::vector<Bytes> Thinned(const std::vector<Bytes>& datagrams) {
  std::vector<Bytes> left;
  for (size_t i = 0; i < datagrams.size(); ++i) {
    if (i % 10 != 5) left.push_back(datagrams[i]);
  }
  return left;
}

// A whole ADU, from plaintext to datagrams and from datagrams to ciphertext, without sockets.
void RunStream(uint32_t source) {
  const size_t bytes = fec::RecordedSender::BytesFor(source);
  const fec::Spread spread(source, ParityOf(source));
  fec::RecordedSender plain(0), coded(kPercent);
  const std::vector<Bytes> all = plain.Send(bytes), lossy = Thinned(coded.Send(bytes));
  const auto lost = static_cast<uint32_t>(source / 10);
  BareIsaL encoding(spread.parity(), source, InPairs(spread));
  BareIsaL repairing(lost, source, InPairs(spread));
  if (Receive(plain, all) != 1 || Receive(coded, lossy) != 1) {
    std::fprintf(stderr, "fec_bench: an ADU of %u fragments did not come\n", source);
    std::exit(1);
  }
  Rounds rounds;
  for (int round = 0; round < kRounds; ++round) {
    rounds.Time("plain sender", [&] { plain.Send(bytes); });
    rounds.Time("coded sender", [&] { coded.Send(bytes); });
    rounds.Time("encode", [&] { encoding.Run(); });
    rounds.Time("plain receiver", [&] { Receive(plain, all); });
    rounds.Time("coded receiver", [&] { Receive(coded, lossy); });
    rounds.Time("repair", [&] { repairing.Run(); });
  }
  for (const auto& [side, work] : {std::pair<std::string, std::string>{"sender", "encode"},
                                   std::pair<std::string, std::string>{"receiver", "repair"}}) {
    const double without = rounds.Seconds("plain " + side), bare = rounds.Seconds(work);
    Print("fec " + side + " " + std::to_string(source), static_cast<double>(bytes),
          rounds.Seconds("coded " + side), without + bare,
          side == "sender" ? "the same without parity, then ISA-L alone"
                           : "the same without parity and loss, then ISA-L alone",
          "\"without_gbit_per_s\":" + std::to_string(bytes * 8e-9 / without) +
              ",\"isal_gbit_per_s\":" + std::to_string(bytes * 8e-9 / bare));
  }
}

void PrintRow(fec::LossModel& model, double plain_bytes, std::mt19937_64& random) {
  constexpr uint64_t kTrials = 100'000;
  uint64_t delivered = 0, no_header = 0, no_page = 0, no_block = 0;
  for (uint64_t i = 0; i < kTrials; ++i) {
    switch (model.Judge(fec::DrawLosses(model.datagrams(), kLoss, random))) {
      case fec::LossModel::Outcome::kDelivered:
        ++delivered;
        break;
      case fec::LossModel::Outcome::kNoHeader:
        ++no_header;
        break;
      case fec::LossModel::Outcome::kNoPage:
        ++no_page;
        break;
      case fec::LossModel::Outcome::kNoBlock:
        ++no_block;
    }
  }
  const double exact_block = model.whole() ? 0 : fec::ExactBlockFailure(model.spread(), kLoss);
  const double exact_header = fec::ExactHeaderFailure(model.copies(), model.pages(), kLoss);
  const auto share = [&](uint64_t count) {
    return static_cast<double>(count) / static_cast<double>(kTrials);
  };
  std::printf("%5u%1s %4u %2u %3u %2u %5.0f%% %8lu %9.5f %9.5f  %8.1e %8.1e  %8.1e %8.1e\n",
              model.spread().source(), model.whole() ? "w" : "", model.spread().parity(),
              model.spread().blocks(), model.pages(), model.copies(),
              100.0 * (static_cast<double>(model.bytes()) / plain_bytes - 1),
              static_cast<unsigned long>(kTrials), share(delivered),
              (1 - exact_block) * (1 - exact_header), share(no_block), exact_block,
              share(no_header + no_page), exact_header);
}

void PrintTable() {
  std::printf(
      "%.0f %% random loss, --fec %u, seed %lu. source and parity fragments, blocks, pages of "
      "hashes,\ncopies of header and pages, overhead in bytes over the ciphertext; ADUs drawn; "
      "delivered, more\nthan its parity lost in some block, header or page lost: measured and "
      "exact (w: one datagram)\n",
      100 * kLoss, kPercent, static_cast<unsigned long>(kSeed));
  std::printf("%5s  %4s %2s %3s %2s %6s %8s %9s %9s  %8s %8s  %8s %8s\n", "s", "p", "B", "pg", "c",
              "over", "drawn", "delivered", "exact", "block", "exact", "header", "exact");
  std::mt19937_64 random(kSeed);
  fec::RecordedSender sender(kPercent);
  fec::LossModel whole(sender.Send(1000));
  PrintRow(whole, 1016, random);
  for (const uint32_t source : {1,   2,   3,   5,   10,  20,  37,  50,  100, 150, 200,
                                213, 250, 300, 350, 400, 426, 427, 500, 700, 1000}) {
    const size_t bytes = fec::RecordedSender::BytesFor(source);
    fec::LossModel model(sender.Send(bytes));
    PrintRow(model, static_cast<double>(bytes + 16), random);
  }
}

void Run() {
  PrintTable();
  for (const uint32_t source : {12u, 184u, 400u}) {
    RunCode(source);
    RunStream(source);
  }
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
