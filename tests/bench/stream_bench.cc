// What sender and receiver do with one core, beside the limits of the same run: the
// same composition without Nark (a key from the tree, its data key, AES-128-GCM, a
// hash a fragment, batched UDP with GSO and GRO over loopback multicast, one
// signature a burst), AES alone and UDP alone. One JSON line a figure: medians of
// interleaved rounds. CPU time of the measured thread counts, so that a busy machine
// slows neither value nor limit much.

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/aead.h"
#include "common/crypto/random.h"
#include "common/net/datagram_io.h"
#include "common/object/sender_file.h"
#include "common/object/testing.h"
#include "common/schedule/key_schedule.h"
#include "common/wire/fragment.h"
#include "receiver/reassembler.h"
#include "sender/broadcaster.h"

namespace nark::bench {
namespace {

constexpr int kRounds = 7;
constexpr size_t kRoundBytes = 32 << 20;
// In flight at most. Loopback loses what outruns the kernel's queues, sooner where datagrams are
// small or another process takes the core: a round that lost any begins anew with half of it.
constexpr size_t kWindowBytes = 1 << 20;
constexpr size_t kLeastWindowBytes = 32 << 10;
constexpr size_t kFragmentBytes = 1424;
constexpr size_t kCoreBytes = 73;  // of a header: what keys are bound to

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "stream_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  Must(value.status());
  return *std::move(value);
}

double ThreadSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

net::UdpAddress Address() {
  net::UdpAddress address;
  address.address = absl::StrCat("239.255.77.", ::getpid() % 250 + 1);
  address.port = static_cast<uint16_t>(20000 + ::getpid() % 20000);
  address.adapter = "lo";
  address.receive_buffer_bytes = 16 << 20;
  return address;
}

// Takes everything that arrives at a socket, on a thread of its own.
class Drain {
 public:
  explicit Drain(const net::UdpAddress& address)
      : source_(Must(net::OpenUdpSource(address))), thread_([this] { Run(); }) {}
  ~Drain() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run() {
    while (!stop_) {
      pollfd readable{.fd = source_->descriptor(), .events = POLLIN, .revents = 0};
      ::poll(&readable, 1, 20);
      Must(source_->Receive(4096, [](ByteView) {}).status());
    }
  }
  std::unique_ptr<net::DatagramSource> source_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Keeps the state file in memory: disks are not what is measured.
class MemoryStorage final : public Storage {
 public:
  absl::StatusOr<Bytes> Read(std::string_view) override { return absl::NotFoundError("none"); }
  absl::Status Replace(std::string_view, ByteView) override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<AppendFile>> OpenAppend(std::string_view) override {
    return absl::UnimplementedError("");
  }
  absl::Status Remove(std::string_view) override { return absl::OkStatus(); }
};

// Keeps what is sent.
class Recorder final : public net::DatagramSink {
 public:
  absl::Status Send(std::span<const ByteView> sent) override {
    for (ByteView one : sent) datagrams.push_back(ToBytes(one));
    return absl::OkStatus();
  }
  std::vector<Bytes> datagrams;
};

// One shape of stream: ADUs of one size, so many in a burst under one signature.
struct Shape {
  std::string name;
  size_t adu_bytes;
  size_t burst;
  size_t bursts() const { return std::max<size_t>(1, kRoundBytes / (adu_bytes * burst)); }
  size_t bytes() const { return bursts() * burst * adu_bytes; }
};

// A session, its sender, and a stream to send.
class Bench {
 public:
  explicit Bench(const Shape& shape)
      : shape_(shape),
        session_(provider_.MakeSession()),
        sender_(Must(OpenSenderFile(session_.sender_files.at(1), kTestTime))),
        context_(SessionContext(session_.name(), 0)),
        plaintext_(shape.adu_bytes * shape.burst),
        drain_address_(Address()) {
    Must(random_.Fill(plaintext_));
    for (size_t i = 0; i < shape.burst; ++i) {
      adus_.push_back(
          {.plaintext = ByteView(plaintext_).subspan(i * shape.adu_bytes, shape.adu_bytes),
           .clear = {}});
    }
    aead_ = Must(Aead::Create(AeadAlgorithm::kAes128Gcm));
    ciphertext_.resize(shape.adu_bytes + kAeadTagBytes);
    sink_ = Must(net::OpenUdpSink(drain_address_));
    reservation_ = Must(
        sender::Reservation::Open(storage_, "state", sender::Broadcaster::OwnerOf(sender_, 0)));
    broadcaster_ =
        Must(sender::Broadcaster::Create(sender_, {*sink_, clock_, random_, *reservation_}, {}));
    std::vector<Bytes> one = Recorded(1);
    for (const Bytes& datagram : one) burst_.push_back({datagram, {}});
    kept_ = std::move(one);
  }

  const net::UdpAddress& address() const { return drain_address_; }
  const Shape& shape() const { return shape_; }

  // Everything that leaves in so many bursts.
  std::vector<Bytes> Recorded(size_t bursts) {
    Recorder recorder;
    auto broadcaster =
        Must(sender::Broadcaster::Create(sender_, {recorder, clock_, random_, *reservation_}, {}));
    for (size_t i = 0; i < bursts; ++i) Must(broadcaster->SendBurst(adus_).status());
    return std::move(recorder.datagrams);
  }

  void Send() {
    for (size_t i = 0; i < shape_.bursts(); ++i) Must(broadcaster_->SendBurst(adus_).status());
  }

  void SendUdpAlone() {
    for (size_t i = 0; i < shape_.bursts(); ++i) Must(sink_->SendGathered(burst_));
  }

  void SealAlone() {
    uint8_t nonce[kAeadNonceBytes] = {};
    SecretBytes key(16);
    for (size_t i = 0; i < shape_.bursts(); ++i) {
      for (const sender::OutgoingAdu& adu : adus_) {
        StoreBig64(key.RevealMutable().data(), ++keys_used_);
        Must(aead_->Seal(key, nonce, {}, adu.plaintext, ciphertext_));
      }
    }
  }

  // All that cannot be left out, in a bare loop.
  void SendComposition() {
    uint8_t nonce[kAeadNonceBytes] = {};
    Bytes core(kCoreBytes);
    Bytes control(144);
    SecretBytes leaf;
    auto keys = OpenKeys();
    uint64_t id = 0;
    uint8_t used = 0;
    for (size_t i = 0; i < shape_.bursts(); ++i) {
      for (const sender::OutgoingAdu& adu : adus_) {
        StoreBig64(core.data(), ++keys_used_);
        Must(keys->Leaf(id++, leaf));
        SecretBytes key = Must(schedule::DataKey(leaf, context_, core, control, 16));
        Must(aead_->Seal(key, nonce, {}, adu.plaintext, ciphertext_));
        used ^= HashAll(ciphertext_);
      }
      Must(sender_.signing_key.Sign({core}).status());
      Must(sink_->SendGathered(burst_));
    }
    volatile uint8_t result = used;
    (void)result;
  }

  static uint8_t HashAll(ByteView ciphertext) {
    uint8_t used = 0;
    for (size_t at = 0; at < ciphertext.size(); at += kFragmentBytes) {
      used ^= wire::HashFragment(
          ciphertext.subspan(at, std::min(kFragmentBytes, ciphertext.size() - at)))[0];
    }
    return used;
  }

  std::unique_ptr<schedule::KeySource> OpenKeys() {
    std::vector<schedule::Node> nodes(1);
    nodes[0].key = session_.SenderRoot();
    return Must((*schedule::FindGenerator("marks"))->Open({"marks", 32}, std::move(nodes)));
  }

  const VerifiedSession& session() const { return session_.session(); }
  const TestSession& test_session() const { return session_; }
  const Digest& context() const { return context_; }
  net::DatagramSink& sink() { return *sink_; }
  Aead& aead() { return *aead_; }
  const OpenedSenderFile& sender() const { return sender_; }

 private:
  Shape shape_;
  TestProvider provider_;
  TestSession session_;
  OpenedSenderFile sender_;
  Digest context_;
  Bytes plaintext_;
  std::vector<sender::OutgoingAdu> adus_;
  net::UdpAddress drain_address_;
  SystemClock clock_;
  SystemRandom random_;
  MemoryStorage storage_;
  std::unique_ptr<Aead> aead_;
  Bytes ciphertext_;
  uint64_t keys_used_ = 0;
  std::unique_ptr<net::DatagramSink> sink_;
  std::unique_ptr<sender::Reservation> reservation_;
  std::unique_ptr<sender::Broadcaster> broadcaster_;
  std::vector<Bytes> kept_;
  std::vector<net::GatheredDatagram> burst_;
};

// Receives what another thread sends, never more in flight than `window_bytes`, and returns the CPU
// seconds of receiving; nothing where datagrams were lost. `consume` sees every datagram.
std::optional<double> Received(Bench& bench, const std::vector<Bytes>& datagrams,
                               size_t window_bytes, absl::FunctionRef<void(ByteView)> consume) {
  auto source = Must(net::OpenUdpSource(bench.address()));
  std::atomic<size_t> taken = 0;
  std::atomic<bool> lost = false;
  size_t total = 0;
  for (const Bytes& one : datagrams) total += one.size();
  std::thread sending([&] {
    std::vector<ByteView> chunk;
    size_t sent = 0, in_chunk = 0;
    for (size_t i = 0; i < datagrams.size() && !lost; ++i) {
      chunk.push_back(datagrams[i]);
      in_chunk += datagrams[i].size();
      if (in_chunk < window_bytes / 4 && i + 1 < datagrams.size()) continue;
      while (sent + in_chunk - taken > window_bytes && !lost) std::this_thread::yield();
      Must(bench.sink().Send(chunk));
      sent += in_chunk;
      in_chunk = 0;
      chunk.clear();
    }
  });
  double seconds = 0;
  size_t got = 0;
  while (got < total && !lost) {
    pollfd readable{.fd = source->descriptor(), .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, 2000) <= 0) {
      lost = true;
      break;
    }
    double begin = ThreadSeconds();
    Must(source
             ->Receive(1024,
                       [&](ByteView datagram) {
                         got += datagram.size();
                         consume(datagram);
                       })
             .status());
    seconds += ThreadSeconds() - begin;
    taken = got;
    lost = lost || source->lost() > 0;
  }
  sending.join();
  if (lost) return std::nullopt;
  return seconds;
}

// The seconds of the first attempt that lost nothing.
double WithoutLoss(absl::FunctionRef<std::optional<double>(size_t window_bytes)> attempt) {
  for (size_t window = kWindowBytes; window >= kLeastWindowBytes; window /= 2) {
    if (std::optional<double> seconds = attempt(window); seconds.has_value()) return *seconds;
  }
  std::fprintf(stderr, "stream_bench: loopback loses datagrams even %zu bytes at a time\n",
               kLeastWindowBytes);
  std::exit(1);
}

// Reassembles, verifies, derives each key as a secure space does, opens.
std::optional<double> ReceiveWhole(Bench& bench, const std::vector<Bytes>& datagrams, size_t adus,
                                   size_t window_bytes) {
  receiver::Reassembler reassembler(bench.session(), 0);
  auto keys = bench.OpenKeys();
  auto cipher = Must((*wire::FindCipher("aes-128-gcm"))->Create());
  SecretBytes leaf;
  Bytes plaintext(bench.shape().adu_bytes);
  std::vector<receiver::CompleteAdu> complete;
  size_t opened = 0;
  auto seconds = Received(bench, datagrams, window_bytes, [&](ByteView datagram) {
    reassembler.OnDatagram(datagram, kTestTime, complete);
    for (const receiver::CompleteAdu& adu : complete) {
      Must(keys->Leaf(adu.header.adu_id, leaf));
      wire::ParsedHeader header = Must(wire::ParseSignedHeader(adu.signed_header));
      SecretBytes key =
          Must(schedule::DataKey(leaf, bench.context(), header.core, adu.header.control_block, 16));
      Must(cipher->Open(key, adu.header.clear_map, adu.ciphertext, plaintext));
      ++opened;
    }
    complete.clear();
  });
  if (seconds.has_value() && opened != adus) {
    std::fprintf(stderr, "stream_bench: %zu of %zu ADUs came\n", opened, adus);
    std::exit(1);
  }
  return seconds;
}

// The same without Nark: UDP, a hash a fragment, a copy into place, a key and AES an
// ADU, and a signature checked a burst.
std::optional<double> ReceiveComposition(Bench& bench, const std::vector<Bytes>& datagrams,
                                         size_t window_bytes) {
  const Shape& shape = bench.shape();
  auto keys = bench.OpenKeys();
  SecretBytes leaf;
  uint8_t nonce[kAeadNonceBytes] = {};
  Bytes core(kCoreBytes), control(144);
  Bytes ciphertext(shape.adu_bytes + kAeadTagBytes);
  Bytes sealed(shape.adu_bytes + kAeadTagBytes);
  Bytes plaintext(shape.adu_bytes);
  SecretBytes sealing_key(16);
  Must(bench.aead().Seal(sealing_key, nonce, {}, plaintext, sealed));
  Signature signature = Must(bench.sender().signing_key.Sign({core}));
  const PublicKey& key = bench.session().FindSender(1)->key;
  size_t at = 0, adus = 0;
  uint8_t used = 0;
  return Received(bench, datagrams, window_bytes, [&](ByteView datagram) {
    wire::ParsedDatagram parsed = wire::ParseDatagram(datagram);
    if (parsed.prefix.kind != wire::DatagramKind::kSource) return;
    used ^= wire::HashFragment(parsed.payload)[0];
    std::copy(parsed.payload.begin(), parsed.payload.end(),
              ciphertext.begin() + static_cast<ptrdiff_t>(at));
    at += parsed.payload.size();
    if (at < ciphertext.size()) return;
    at = 0;
    Must(keys->Leaf(adus, leaf));
    Must(schedule::DataKey(leaf, bench.context(), core, control, 16).status());
    Must(bench.aead().Open(sealing_key, nonce, {}, sealed, plaintext));
    if (adus++ % shape.burst == 0) Must(key.Verify({core}, signature));
  });
}

struct Rounds {
  std::map<std::string, std::vector<double>> seconds;
  void Add(const std::string& name, double value) { seconds[name].push_back(value); }
  // Gigabits a second of one core.
  double Rate(const std::string& name, size_t bytes) {
    return static_cast<double>(bytes) * 8e-9 / Median(seconds[name]);
  }
};

void Print(const std::string& figure, Rounds& rounds, const Shape& shape) {
  size_t bytes = shape.bytes();
  double value = rounds.Rate("whole", bytes), limit = rounds.Rate("composition", bytes);
  std::printf(
      "{\"figure\":\"%s %s\",\"value\":%.2f,\"limit\":%.2f,\"ratio\":%.3f,"
      "\"unit\":\"Gbit/s a core\",\"limit_is\":\"the same composition without Nark\","
      "\"detail\":{\"mbit_per_s\":%.0f,\"cpu_s_per_gb\":%.3f,\"adus_per_s\":%.0f,"
      "\"raw_aes_gbit_per_s\":%.2f,\"raw_udp_gbit_per_s\":%.2f,\"adu_bytes\":%zu,"
      "\"adus_a_signature\":%zu}}\n",
      figure.c_str(), shape.name.c_str(), value, limit, value / limit, value * 1e3, 8 / value,
      value * 1e9 / 8 / static_cast<double>(shape.adu_bytes), rounds.Rate("aes", bytes),
      rounds.Rate("udp", bytes), shape.adu_bytes, shape.burst);
  std::fflush(stdout);
}

void RunSender(const Shape& shape) {
  Bench bench(shape);
  Drain drain(bench.address());
  Rounds rounds;
  for (int round = 0; round <= kRounds; ++round) {
    const std::pair<const char*, std::function<void()>> works[] = {
        {"whole", [&] { bench.Send(); }},
        {"composition", [&] { bench.SendComposition(); }},
        {"aes", [&] { bench.SealAlone(); }},
        {"udp", [&] { bench.SendUdpAlone(); }}};
    for (const auto& [name, work] : works) {
      double begin = ThreadSeconds();
      work();
      double seconds = ThreadSeconds() - begin;
      if (round > 0) rounds.Add(name, seconds);  // the first one warms up
    }
  }
  Print("sender", rounds, shape);
}

void RunReceiver(const Shape& shape) {
  Bench bench(shape);
  std::vector<Bytes> datagrams = bench.Recorded(shape.bursts());
  Rounds rounds;
  for (int round = 0; round <= kRounds; ++round) {
    size_t adus = shape.bursts() * shape.burst;
    double whole =
        WithoutLoss([&](size_t window) { return ReceiveWhole(bench, datagrams, adus, window); });
    double composition =
        WithoutLoss([&](size_t window) { return ReceiveComposition(bench, datagrams, window); });
    double udp = WithoutLoss(
        [&](size_t window) { return Received(bench, datagrams, window, [](ByteView) {}); });
    double begin = ThreadSeconds();
    bench.SealAlone();  // opening costs the same
    double aes = ThreadSeconds() - begin;
    if (round == 0) continue;
    rounds.Add("whole", whole);
    rounds.Add("composition", composition);
    rounds.Add("udp", udp);
    rounds.Add("aes", aes);
  }
  Print("receiver", rounds, shape);
}

void Run() {
  const Shape shapes[] = {
      {"16 KiB", 16 << 10, 64}, {"256 KiB", 256 << 10, 1}, {"1284 B", 1284, 512}};
  for (const Shape& shape : shapes) RunSender(shape);
  for (const Shape& shape : shapes) RunReceiver(shape);
}

}  // namespace
}  // namespace nark::bench

int main() {
  nark::bench::Run();
  return 0;
}
