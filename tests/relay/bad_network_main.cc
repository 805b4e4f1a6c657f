// bad-network: a bad network between two multicast groups, from a seed.

#include <poll.h>
#include <sys/random.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/cli/program.h"
#include "common/net/datagram_io.h"
#include "common/serve/ready_file.h"
#include "common/serve/shutdown.h"
#include "tests/relay/bad_network.h"

namespace nark::bad_network {
namespace {

struct Settings {
  std::string from;
  std::string to;
  std::string ready_file;
  std::optional<uint64_t> seed;
  // Percentages, as typed.
  std::string loss = "0", duplicate = "0", reorder = "0", corrupt = "0", truncate = "0", junk = "0";
  std::string burst = "1";
  std::string slice;  // FIRST-LAST
  std::chrono::microseconds slice_delay{0};
  std::chrono::microseconds delay{0}, jitter{0}, hold = std::chrono::milliseconds(20);
};

absl::StatusOr<double> Percent(const std::string& text, std::string_view flag) {
  double percent = 0;
  if (!absl::SimpleAtod(text, &percent) || !(percent >= 0 && percent <= 100)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Absl(flag), ": '", text, "' is no percentage, 0 to 100"));
  }
  return percent;
}

absl::StatusOr<Impairment> ImpairmentOf(const Settings& settings) {
  Impairment impairment;
  ASSIGN_OR_RETURN(impairment.loss, Percent(settings.loss, "--loss"));
  ASSIGN_OR_RETURN(impairment.duplicate, Percent(settings.duplicate, "--duplicate"));
  ASSIGN_OR_RETURN(impairment.reorder, Percent(settings.reorder, "--reorder"));
  ASSIGN_OR_RETURN(impairment.corrupt, Percent(settings.corrupt, "--corrupt"));
  ASSIGN_OR_RETURN(impairment.truncate, Percent(settings.truncate, "--truncate"));
  ASSIGN_OR_RETURN(impairment.junk, Percent(settings.junk, "--junk"));
  if (!absl::SimpleAtod(settings.burst, &impairment.burst) || !(impairment.burst >= 1)) {
    return absl::InvalidArgumentError("--burst takes a number of at least 1");
  }
  impairment.delay = settings.delay;
  impairment.jitter = settings.jitter;
  impairment.hold = settings.hold;
  if (!settings.slice.empty()) {
    Impairment::Slice slice{.late = settings.slice_delay};
    const size_t dash = settings.slice.find('-');
    if (dash == std::string::npos ||
        !absl::SimpleAtoi(settings.slice.substr(0, dash), &slice.first) ||
        !absl::SimpleAtoi(settings.slice.substr(dash + 1), &slice.last)) {
      return absl::InvalidArgumentError("--slice takes FIRST-LAST");
    }
    impairment.slice = slice;
  }
  return impairment;
}

// Until `due`, rounded up to what poll() can wait; -1 for ever.
int PollTimeout(std::optional<Timestamp> due, Timestamp now) {
  if (!due) return -1;
  if (*due <= now) return 0;
  return static_cast<int>((*due - now).count() / 1000 + 1);
}

void PrintCounts(const Counts& counts, uint64_t seed) {
  std::printf(
      "{\"seed\":%llu,\"received\":%llu,\"lost\":%llu,\"duplicated\":%llu,\"reordered\":%llu,"
      "\"corrupted\":%llu,\"truncated\":%llu,\"invented\":%llu,\"sent\":%llu}\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(counts.received),
      static_cast<unsigned long long>(counts.lost),
      static_cast<unsigned long long>(counts.duplicated),
      static_cast<unsigned long long>(counts.reordered),
      static_cast<unsigned long long>(counts.corrupted),
      static_cast<unsigned long long>(counts.truncated),
      static_cast<unsigned long long>(counts.invented),
      static_cast<unsigned long long>(counts.sent));
}

absl::StatusOr<net::UdpAddress> Parse(const std::string& uri) {
  ASSIGN_OR_RETURN(net::UdpAddress address, net::UdpAddress::Parse(uri));
  // Each datagram by itself, as it came.
  address.offload = net::Offload::kRefuse;
  return address;
}

absl::Status Relay(const Settings& settings) {
  ASSIGN_OR_RETURN(std::unique_ptr<serve::Signals> signals, serve::Signals::Take());
  ASSIGN_OR_RETURN(Impairment impairment, ImpairmentOf(settings));
  ASSIGN_OR_RETURN(net::UdpAddress from, Parse(settings.from));
  ASSIGN_OR_RETURN(net::UdpAddress to, Parse(settings.to));
  ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSource> source, net::OpenUdpSource(from));
  ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSink> sink, net::OpenUdpSink(to));

  uint64_t seed = 0;
  if (settings.seed) {
    seed = *settings.seed;
  } else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
    return absl::InternalError("no random seed");
  }
  std::fprintf(stderr, "bad-network: seed %llu\n", static_cast<unsigned long long>(seed));
  BadNetwork network(impairment, seed);
  SystemClock clock;
  RETURN_IF_ERROR(serve::AnnounceReady(settings.ready_file, {{"from", from.HostPort()}}));

  absl::Status sent;
  const auto send = [&](ByteView datagram) {
    const ByteView one[] = {datagram};
    if (absl::Status status = sink->Send(one); !status.ok()) sent = status;
  };
  for (bool ending = false; !ending;) {
    pollfd waiting[] = {{source->descriptor(), POLLIN, 0}, {signals->fd(), POLLIN, 0}};
    poll(waiting, 2, PollTimeout(network.NextDue(), clock.Now()));
    ending = signals->Next(std::chrono::milliseconds(0)).has_value();
    for (size_t received = 256; received == 256;) {
      ASSIGN_OR_RETURN(received, source->Receive(256, [&](ByteView datagram) {
        network.Accept(datagram, clock.Now());
      }));
    }
    // What it still holds back when it is ended goes out at once.
    network.Deliver(ending ? Timestamp::max() : clock.Now(), send);
    RETURN_IF_ERROR(sent);
  }
  PrintCounts(network.counts(), seed);
  return absl::OkStatus();
}

}  // namespace
}  // namespace nark::bad_network

int main(int argc, char** argv) {
  nark::cli::Program program("bad-network",
                             "A bad network between two groups: loses, repeats, reorders, damages "
                             "and invents datagrams, from a seed. Rates are in percent. Prints "
                             "its counts as JSON when it is ended.");
  nark::bad_network::Settings settings;
  using nark::cli::Need;
  program.command()
      .Text("--from", &settings.from, "udp://GROUP:PORT to listen to", Need::kRequired)
      .Text("--to", &settings.to, "udp://GROUP:PORT to send to", Need::kRequired)
      .Number("--seed", &settings.seed, "repeats a run; random, and printed, otherwise")
      .Text("--loss", &settings.loss, "datagrams lost")
      .Text("--burst", &settings.burst, "how many are lost in a row, on average")
      .Text("--duplicate", &settings.duplicate, "datagrams that come twice")
      .Text("--reorder", &settings.reorder, "datagrams held back for up to --hold")
      .Text("--corrupt", &settings.corrupt, "datagrams with bits flipped")
      .Text("--truncate", &settings.truncate, "datagrams cut off")
      .Text("--junk", &settings.junk, "datagrams beside which an invented one comes")
      .Duration("--delay", &settings.delay, "of everything")
      .Duration("--jitter", &settings.jitter, "at most this much more delay")
      .Text("--slice", &settings.slice, "FIRST-LAST: ADUs that come --slice-delay later")
      .Duration("--slice-delay", &settings.slice_delay, "how much later")
      .Duration("--hold", &settings.hold, "the longest that --reorder holds back")
      .Text("--ready-file", &settings.ready_file, "written once it listens")
      .Examples(
          "bad-network --from 'udp://239.255.0.1:5004?adapter=lo' "
          "--to 'udp://239.255.0.2:5004?adapter=lo' --loss 25 --seed 7")
      .Action([&settings] { return nark::bad_network::Relay(settings); });
  return program.Run(argc, argv);
}
