#include "receiver/preview.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <set>
#include <utility>

#include "common/base/status.h"
#include "common/net/transport.h"
#include "receiver/driver.h"
#include "receiver/membership.h"
#include "receiver/output.h"
#include "receiver/session_sources.h"

namespace nark::receiver {
namespace {

// How long flushing may take at the end, and a wait that nothing ends.
constexpr std::chrono::microseconds kFlushTime = std::chrono::seconds(3);
constexpr std::chrono::microseconds kLongestTurn = std::chrono::milliseconds(200);

void Warn(const std::string& line) { spdlog::warn(line); }

// Returns the sub-sessions that they take.
absl::StatusOr<std::set<uint32_t>> OpenOutputs(const PreviewSettings& settings,
                                               OutputSet& outputs) {
  if (settings.outputs.empty() && ::isatty(STDOUT_FILENO) == 1) {
    return absl::InvalidArgumentError(
        "standard output is a terminal: give --output file:PATH, udp://... or http://..., or "
        "`--output -` to insist");
  }
  std::vector<std::string> texts = settings.outputs;
  if (texts.empty()) texts.push_back("-");
  std::set<uint32_t> sub_sessions;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const OutputAddress address, OutputAddress::Parse(text));
    ASSIGN_OR_RETURN(std::unique_ptr<Output> output, OpenOutput(address.uri, {}, Warn));
    outputs.Add(std::move(output), address.filter);
    sub_sessions.insert(address.filter.sub_session);
  }
  return sub_sessions;
}

// Until a signal, the end of a file, or idleness.
absl::Status Play(const PreviewSettings& settings, serve::Signals& signals, Clock& clock,
                  Driver& driver, const Reception& reception) {
  driver.StartPlaying();
  uint64_t received = 0;
  Timestamp progress = clock.Now();
  for (;;) {
    const std::array<int, 1> wake = {signals.fd()};
    ASSIGN_OR_RETURN(const Driver::Source source, driver.Turn(wake, kLongestTurn));
    const bool told =
        signals.Next(std::chrono::milliseconds(0)) == serve::Signals::Event::kShutdown;
    if (told || source == Driver::Source::kEnded) break;
    if (const uint64_t now_received = reception.adus().received; now_received != received) {
      received = now_received;
      progress = clock.Now();
    }
    if (settings.stop_after_idle.count() > 0 && received > 0 &&
        clock.Now() - progress >= settings.stop_after_idle) {
      break;
    }
  }
  return driver.Finish(kFlushTime);
}

}  // namespace

absl::Status RunPreview(const PreviewSettings& settings, serve::Signals& signals, Clock& clock) {
  ASSIGN_OR_RETURN(const VerifiedSession session, LoadSession(settings.session_path, clock.Now()));
  OutputSet outputs;
  ReceptionOptions options;
  ASSIGN_OR_RETURN(options.sub_sessions, OpenOutputs(settings, outputs));
  options.play_out.delay = settings.playout_delay;
  ASSIGN_OR_RETURN(const std::unique_ptr<Reception> reception,
                   Reception::CreatePreview(session, outputs, options));
  ASSIGN_OR_RETURN(
      const SessionSources sources,
      SessionSources::Open(session, options.sub_sessions, settings.input,
                           [](const std::string& uri) { return net::OpenSource(uri, Warn); }));
  Driver driver(sources.borrowed(), *reception, outputs, clock);
  for (const std::string& uri : sources.uris) {
    spdlog::info("session {} {}: previewing {}", session.name().ToString(), session.terms().title(),
                 uri);
  }
  const absl::Status status = Play(settings, signals, clock, driver, *reception);
  const PlayOutStatistics adus = reception->adus();
  spdlog::info("{} ADUs of {} bytes previewed, {} missing", adus.delivered, adus.delivered_bytes,
               adus.missing);
  RETURN_IF_ERROR(status);
  const std::vector<absl::Status> errors = outputs.TakeErrors();
  return errors.empty() ? absl::OkStatus() : errors.front();
}

}  // namespace nark::receiver
