// nark-load: what a rush of viewers does to a pool of key managers.

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/cli/program.h"
#include "common/cli/units.h"
#include "common/crypto/random.h"
#include "common/crypto/secret_bytes.h"
#include "common/serve/log.h"
#include "common/serve/process.h"
#include "common/serve/shutdown.h"
#include "load/flags.h"
#include "load/prepare.h"
#include "load/run.h"

namespace nark::load {
namespace {

using std::chrono::microseconds;

struct PrepareFlags {
  PrepareSettings settings;
  std::string range = "0-86399";
};

struct LoadFlags {
  LoadSettings settings;
  std::string rate;   // run
  std::string from;   // run
  std::string rates;  // curve
  std::string pattern = "constant";
  uint64_t audience = kPaperAudience;
  microseconds duration{0};
  std::string spacing = "poisson";
  std::string connect = "warm";
  std::string check = "1";
  uint64_t outstanding = 4096;
  std::optional<uint64_t> seed;
  bool plaintext = false;
  bool json = false;
  bool allow_failures = false;
  std::string plot;
};

void Declare(PrepareFlags& flags, cli::Command& command) {
  PrepareSettings& settings = flags.settings;
  using cli::Need;
  command.Text("--issuer", &settings.issuer, "the issuer's folder: certifies the secure spaces",
               Need::kRequired);
  command.Text("--provider", &settings.provider, "the provider's folder: its till sells",
               Need::kRequired);
  command.Text("--session", &settings.session_path, "the session (*.nark)", Need::kRequired);
  command.Number("--viewers", &settings.viewers, "how many to make", Need::kRequired);
  command.Text("--range", &flags.range, "ADUs that the first viewer buys, FIRST-LAST [0-86399]");
  command.Number("--stagger", &settings.stagger,
                 "the next viewer buys one ADU later, so many times, then again from the first "
                 "[3600]");
  command.Text("--out", &settings.out, "file to write, mode 0600: it holds the secure spaces' keys",
               Need::kRequired);
  command.Examples(
      "nark-load prepare --issuer issuer --provider provider --session news.nark \\\n"
      "    --viewers 20000 --out viewers.load");
}

void DeclareShared(LoadFlags& flags, cli::Command& command) {
  LoadSettings& settings = flags.settings;
  using cli::Need;
  command.Text("--load", &settings.load_path, "file that prepare made", Need::kRequired);
  command.Text("--session", &settings.session_path, "the session (*.nark)", Need::kRequired);
  command.Texts("--key-manager", &settings.key_managers,
                "HOST:PORT instead of the session's; may be repeated");
  command.Choice("--connect", &flags.connect, {"warm", "cold", "resumed"},
                 "connections that stay, one for each join, or the same resuming TLS sessions");
  command.Number("--connections", &settings.connections, "of warm, over all key managers [8]");
  command.Choice("--spacing", &flags.spacing, {"poisson", "even"}, "of joins around the rate");
  command.Number("--seed", &flags.seed,
                 "of spacing, jitter and samples; default: another each time");
  command.Text("--check-grants", &flags.check,
               "percent of all grants that are opened and verified as a secure space does [1]");
  command.Number("--retries", &settings.loop.retries,
                 "how often a join that failed tries again [3]");
  command.Duration("--timeout", &settings.loop.timeout, "of a join, with its retries");
  command.Duration("--call-timeout", &settings.loop.call_timeout, "of one call in it");
  command.Number("--outstanding", &flags.outstanding,
                 "the most joins at a time; one that is due beyond them is not started, and "
                 "counted [4096]");
  command.Number("--threads", &settings.threads, "threads that take answers [1]");
  command.Texts("--http", &settings.http,
                "HOST:PORT of a replica's --http, to tell its CPU per join; may be repeated");
  command.Switch("--plaintext", &flags.plaintext, "without TLS: to replicas that serve so");
  command.Switch("--allow-failures", &flags.allow_failures,
                 "end with 0 also where joins were not granted");
  command.Switch("--json", &flags.json, "print one JSON object");
  command.Text("--plot", &flags.plot, "SVG file to write");
}

void DeclareRun(LoadFlags& flags, cli::Command& command) {
  DeclareShared(flags, command);
  command.Choice("--pattern", &flags.pattern, {"constant", "ramp", "programme"},
                 "one rate, a rise to it, or the start of a programme");
  command.Text("--rate", &flags.rate, "joins a second; of a ramp, those at its end");
  command.Text("--from", &flags.from, "of a ramp: joins a second at its begin [0]");
  command.Number("--audience", &flags.audience,
                 "of a programme: a tenth of it joins within 15 minutes, at a rate that rises from "
                 "0 to twice the mean; the paper's is [10000000], 1,111 joins a second");
  command.Duration("--duration", &flags.duration,
                   "0s is 10s, and of a programme 15m; another one there keeps the rates");
  command.Examples(
      "nark-load run --load viewers.load --session news.nark --rate 1200 --duration 60s \\\n"
      "    --plot run.svg\n"
      "nark-load run --load viewers.load --session news.nark --pattern programme \\\n"
      "    --audience 2000000 --connect resumed --http 127.0.0.1:7480 --json");
}

void DeclareCurve(LoadFlags& flags, cli::Command& command) {
  DeclareShared(flags, command);
  command.Text("--rates", &flags.rates, "FROM..TO:STEPS, joins a second", cli::Need::kRequired);
  command.Duration("--duration", &flags.duration, "of each rate; 0s is 10s");
  command.Examples(
      "nark-load curve --load viewers.load --session news.nark --rates 400..4000:10 \\\n"
      "    --allow-failures --plot curve.svg");
}

bool OnTerminal() { return ::isatty(STDERR_FILENO) == 1; }

absl::Status RunPrepare(PrepareFlags& flags) {
  RETURN_IF_ERROR(DisableCoreDumps());
  absl::StatusOr<cli::NumberRange> range = cli::ParseRange(flags.range);
  if (!range.ok()) return Annotate(range.status(), "--range");
  flags.settings.first_adu = range->first;
  flags.settings.last_adu = range->last;
  SystemClock clock;
  SystemRandom random;
  const bool shown = OnTerminal();
  RETURN_IF_ERROR(Prepare(flags.settings, clock.Now(), random, [&](uint64_t made) {
    if (!shown) return;
    std::fprintf(stderr, "\r%llu of %llu viewers", static_cast<unsigned long long>(made),
                 static_cast<unsigned long long>(flags.settings.viewers));
    if (made == flags.settings.viewers) std::fputc('\n', stderr);
  }));
  std::printf("%s: %llu viewers, with the keys of their secure spaces; for load tests only\n",
              flags.settings.out.c_str(), static_cast<unsigned long long>(flags.settings.viewers));
  return absl::OkStatus();
}

// Flags that are more than text.
absl::Status TakeShared(LoadFlags& flags, Random& random) {
  LoadSettings& settings = flags.settings;
  absl::StatusOr<double> part = ParsePercent(flags.check);
  if (!part.ok()) return Annotate(part.status(), "--check-grants");
  settings.loop.check_part = *part;
  if (flags.outstanding < 1 || flags.outstanding > 1'000'000) {
    return absl::InvalidArgumentError("--outstanding takes 1 to 1000000");
  }
  settings.loop.most_outstanding = flags.outstanding;
  if (settings.threads < 1 || settings.threads > 64) {
    return absl::InvalidArgumentError("--threads takes 1 to 64");
  }
  if (settings.connections > 10'000) {
    return absl::InvalidArgumentError("--connections takes 1 to 10000");
  }
  if (settings.loop.timeout.count() <= 0 || settings.loop.call_timeout.count() <= 0) {
    return absl::InvalidArgumentError("--timeout and --call-timeout are above 0");
  }
  if (flags.duration.count() < 0) return absl::InvalidArgumentError("--duration is above 0");
  settings.connect = flags.connect == "warm"   ? ConnectMode::kWarm
                     : flags.connect == "cold" ? ConnectMode::kCold
                                               : ConnectMode::kResumed;
  if (flags.plaintext) {
    if (settings.connect == ConnectMode::kResumed) {
      return absl::InvalidArgumentError("--plaintext has no TLS session to resume");
    }
    settings.transport = LoadSettings::Transport::kPlaintext;
  }
  if (!flags.seed) {
    std::array<uint8_t, 4> bytes;
    RETURN_IF_ERROR(random.Fill(bytes));
    flags.seed = LoadBig32(bytes.data());
  }
  if (OnTerminal()) {
    settings.progress = [](microseconds elapsed, size_t outstanding) {
      std::fprintf(stderr, "\r%.0f s, %zu joins under way   \r",
                   std::chrono::duration<double>(elapsed).count(), outstanding);
    };
  }
  return absl::OkStatus();
}

absl::StatusOr<ArrivalPlan> PlanOf(const LoadFlags& flags) {
  ArrivalPlan plan;
  plan.pattern = flags.pattern;
  plan.spacing = flags.spacing == "even" ? Spacing::kEven : Spacing::kPoisson;
  plan.seed = *flags.seed;
  if (flags.pattern == "programme") {
    if (!flags.rate.empty() || !flags.from.empty()) {
      return absl::InvalidArgumentError(
          "the rate of a programme follows from --audience, not from --rate and --from");
    }
    plan.profile =
        ProgrammeStart(flags.audience, flags.duration.count() > 0 ? flags.duration : kPaperPeriod);
    return plan;
  }
  if (flags.rate.empty()) return absl::InvalidArgumentError("--rate is missing; see --help");
  absl::StatusOr<double> rate = ParseJoinsPerSecond(flags.rate);
  if (!rate.ok()) return Annotate(rate.status(), "--rate");
  plan.profile.to_per_second = *rate;
  plan.profile.from_per_second = flags.pattern == "ramp" ? 0 : *rate;
  if (!flags.from.empty()) {
    if (flags.pattern != "ramp") return absl::InvalidArgumentError("--from is for --pattern ramp");
    absl::StatusOr<double> from = ParseJoinsPerSecond(flags.from);
    if (!from.ok()) return Annotate(from.status(), "--from");
    plan.profile.from_per_second = *from;
  }
  plan.profile.duration =
      flags.duration.count() > 0 ? flags.duration : microseconds(std::chrono::seconds(10));
  return plan;
}

absl::Status WritePlot(const LoadFlags& flags, const std::string& svg) {
  if (flags.plot.empty()) return absl::OkStatus();
  return WriteFile(flags.plot, AsBytes(svg), FileMode::kPublic);
}

absl::Status Judge(const LoadFlags& flags, const std::vector<RunReport>& reports) {
  uint64_t offered = 0, granted = 0;
  for (const RunReport& report : reports) {
    offered += report.tally.counts().offered;
    granted += report.tally.counts().granted;
  }
  if (flags.allow_failures || granted == offered) return absl::OkStatus();
  return MarkRemote(absl::UnavailableError(
      absl::StrCat(offered - granted, " of ", offered,
                   " joins were not granted; --allow-failures if that was to be seen")));
}

absl::Status OneRun(LoadFlags& flags, LoadRunner& runner) {
  ASSIGN_OR_RETURN(const ArrivalPlan plan, PlanOf(flags));
  ASSIGN_OR_RETURN(RunReport report, runner.Run(plan));
  std::fputs((flags.json ? ToJson(report) + "\n" : ToText(report)).c_str(), stdout);
  RETURN_IF_ERROR(WritePlot(flags, ToSvg(report)));
  return Judge(flags, {std::move(report)});
}

absl::Status Curve(LoadFlags& flags, LoadRunner& runner) {
  absl::StatusOr<std::vector<double>> rates = ParseRates(flags.rates);
  if (!rates.ok()) return Annotate(rates.status(), "--rates");
  std::vector<RunReport> reports;
  for (const double rate : *rates) {
    flags.rate = absl::StrCat(rate);
    ASSIGN_OR_RETURN(const ArrivalPlan plan, PlanOf(flags));
    ASSIGN_OR_RETURN(RunReport report, runner.Run(plan));
    reports.push_back(std::move(report));
    if (reports.back().end == RunReport::End::kInterrupted) break;
  }
  std::fputs((flags.json ? CurveToJson(reports) + "\n" : CurveToText(reports)).c_str(), stdout);
  RETURN_IF_ERROR(WritePlot(flags, CurveToSvg(reports)));
  return Judge(flags, reports);
}

absl::Status Run(LoadFlags& flags, const cli::LogSettings& log,
                 absl::Status (*command)(LoadFlags&, LoadRunner&)) {
  RETURN_IF_ERROR(DisableCoreDumps());
  SystemClock clock;
  SystemRandom random;
  RETURN_IF_ERROR(TakeShared(flags, random));
  // Before any thread is made, so that all of them have the signals blocked.
  ASSIGN_OR_RETURN(const auto signals, serve::Signals::Take());
  RETURN_IF_ERROR(serve::StartLog("nark-load", log.level, log.format));
  serve::RaiseFileLimit();
  absl::StatusOr<LoadRunner> runner =
      LoadRunner::Create(std::move(flags.settings), *signals, clock, random);
  const absl::Status status = runner.ok() ? command(flags, *runner) : runner.status();
  serve::StopLog();
  return status;
}

}  // namespace
}  // namespace nark::load

int main(int argc, char** argv) {
  using namespace nark::load;  // NOLINT: its own main
  nark::cli::Program program("nark-load",
                             "Loads key managers with joins as viewers make them, at a rate of "
                             "its own, and says how long each took from when it was due.");
  PrepareFlags prepare_flags;
  nark::cli::Command& prepare = program.command().Subcommand(
      "prepare", "Makes viewers: secure spaces, certified, and their vouchers.");
  Declare(prepare_flags, prepare);
  prepare.Action([&] { return RunPrepare(prepare_flags); });
  LoadFlags run_flags;
  nark::cli::Command& run = program.command().Subcommand("run", "Loads key managers once.");
  DeclareRun(run_flags, run);
  run.Action([&] { return Run(run_flags, program.log(), OneRun); });
  LoadFlags curve_flags;
  nark::cli::Command& curve = program.command().Subcommand(
      "curve", "Loads them at one rate after the other: latency and throughput by load.");
  DeclareCurve(curve_flags, curve);
  curve.Action([&] { return Run(curve_flags, program.log(), Curve); });
  program.command().Examples(
      "nark-load prepare --issuer issuer --provider provider --session news.nark \\\n"
      "    --viewers 20000 --out viewers.load\n"
      "nark-load run --load viewers.load --session news.nark --rate 1200 --duration 60s\n"
      "nark-load curve --load viewers.load --session news.nark --rates 400..4000:10 \\\n"
      "    --allow-failures --plot curve.svg");
  return program.Run(argc, argv);
}
