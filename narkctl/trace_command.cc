#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/audit/family.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/cli/units.h"
#include "common/object/file.h"
#include "narkctl/audit_secrets.h"
#include "narkctl/candidates.h"
#include "narkctl/commands.h"
#include "narkctl/trace/recording.h"
#include "narkctl/trace/report.h"
#include "narkctl/trace/trace.h"

namespace nark::narkctl {
namespace {

using cli::Need;

// Of sound: how far a search goes where nothing says how long the session was.
constexpr uint64_t kMostSeconds = 6 * 3600;

struct TraceFlags {
  std::string session, provider, leak, master, candidates, adus, raw, plot;
  std::optional<uint64_t> sub_session, sender, master_adu;
  bool json = false;
};

// One that may have ended long ago.
absl::StatusOr<VerifiedSession> ReadSold(const std::string& path, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
  absl::StatusOr<VerifiedSession> session =
      VerifiedSession::VerifyIssued(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), path);
  if (session->terms().has_audit()) return session;
  return absl::FailedPreconditionError(absl::StrCat(
      path,
      " has no audit trail: its copies are all alike; see session create --cipher chameleon"));
}

absl::StatusOr<std::vector<trace::StreamToSearch>> StreamsOf(const TraceFlags& flags,
                                                             const VerifiedSession& session,
                                                             const audit::Family& family) {
  std::vector<uint32_t> sub_sessions = {0};
  for (const v1::SubSession& sub : session.terms().sub_sessions()) {
    sub_sessions.push_back(sub.id());
  }
  std::vector<trace::StreamToSearch> streams;
  for (const uint32_t sub_session : sub_sessions) {
    if (flags.sub_session.value_or(sub_session) != sub_session) continue;
    for (const uint32_t sender : session.sender_ids()) {
      if (flags.sender.value_or(sender) != sender) continue;
      ASSIGN_OR_RETURN(SecretBytes key, family.StreamKey(session.name(), sub_session, sender));
      streams.push_back({sub_session, sender, std::move(key)});
    }
  }
  if (!streams.empty()) return streams;
  return absl::InvalidArgumentError("--sub-session and --sender: the session has no such stream");
}

uint64_t LastIdOf(const v1::Terms& terms) { return (uint64_t{1} << terms.generator().depth()) - 1; }

struct Ranges {
  trace::AduRange searched, all;
};

absl::StatusOr<Ranges> RangesOf(const TraceFlags& flags, const Candidates& candidates,
                                const v1::Terms& terms, const trace::Recording& recording) {
  const auto [first, last] =
      candidates.range.value_or(std::pair<uint64_t, uint64_t>(0, LastIdOf(terms)));
  const trace::AduRange all = {first, std::min(last, LastIdOf(terms))};
  if (!flags.adus.empty()) {
    const absl::StatusOr<cli::NumberRange> range = cli::ParseRange(flags.adus);
    if (!range.ok()) return Annotate(range.status(), "--adus");
    if (range->first > LastIdOf(terms)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--adus ", flags.adus, ": the session's last ADU is ", LastIdOf(terms)));
    }
    return Ranges{{range->first, std::min(range->last, LastIdOf(terms))}, all};
  }
  const uint64_t bytes = 2 * recording.channels * uint64_t{recording.sample_rate} * kMostSeconds;
  const v1::AduTiming& timing = terms.adu_timing();
  const uint64_t adus = timing.has_bytes()
                            ? bytes / std::max(timing.bytes(), 1u)
                            : kMostSeconds * 1000 / std::max(timing.duration_ms(), 1u);
  return Ranges{{first, std::min(first + adus, all.last)}, all};
}

// One line that is written over, for people who watch.
std::function<void(size_t, double)> ProgressOn(const trace::Recording& recording) {
  if (::isatty(STDERR_FILENO) != 1) return nullptr;
  const double samples_a_second = 1.0 * recording.channels * recording.sample_rate;
  return [samples_a_second](size_t at, double part) {
    std::fprintf(stderr, "\rlooking for second %.1f of the leak: %3.0f %% ",
                 static_cast<double>(at) / samples_a_second, 100 * part);
  };
}

absl::StatusOr<Candidates> CandidatesOf(const TraceFlags& flags, const VerifiedSession& session) {
  ASSIGN_OR_RETURN(Candidates candidates,
                   ReadCandidates(flags.candidates, flags.provider, session));
  if (!candidates.left_out.empty()) {
    std::cerr << "narkctl: " << candidates.left_out.size() << " of the files in "
              << flags.candidates << " are no vouchers of this session, and left out: "
              << absl::StrJoin(candidates.left_out, ", ") << "\n";
  }
  return candidates;
}

struct Sound {
  trace::Recording leak;
  std::optional<trace::Recording> master;
};

absl::StatusOr<Sound> ReadSound(const TraceFlags& flags) {
  std::optional<trace::RawFormat> raw;
  if (!flags.raw.empty()) {
    const absl::StatusOr<trace::RawFormat> format = trace::ParseRawFormat(flags.raw);
    if (!format.ok()) return Annotate(format.status(), "--raw");
    raw = *format;
  }
  Sound sound;
  ASSIGN_OR_RETURN(sound.leak, trace::ReadRecording(flags.leak, raw));
  if (!flags.master.empty()) {
    ASSIGN_OR_RETURN(sound.master, trace::ReadRecording(flags.master));
  }
  return sound;
}

// The plot comes last: what was found is told even where the disk is full meanwhile.
absl::Status Tell(const TraceFlags& flags, const trace::Report& report) {
  std::cout << (flags.json ? trace::ReportJson(report).dump() + "\n" : trace::ReportText(report))
            << std::flush;
  if (flags.plot.empty()) return absl::OkStatus();
  return WriteFile(flags.plot, AsBytes(trace::ReportSvg(report)), FileMode::kPublic);
}

absl::Status RunTrace(const TraceFlags& flags) {
  ASSIGN_OR_RETURN(const VerifiedSession session, ReadSold(flags.session, SystemClock().Now()));
  const v1::AuditTrail& trail = session.terms().audit();
  // All that is wrong with the command before the search, which may take minutes.
  RETURN_IF_ERROR(CheckAuditSecretIsThere(flags.provider, trail));
  ASSIGN_OR_RETURN(const Candidates candidates, CandidatesOf(flags, session));
  if (!flags.plot.empty()) RETURN_IF_ERROR(CheckCanWrite(flags.plot));
  ASSIGN_OR_RETURN(const Sound sound, ReadSound(flags));
  // Strangers' sound is parsed before any secret is in memory.
  ASSIGN_OR_RETURN(const audit::Family family, ReadAuditSecret(flags.provider, trail));
  ASSIGN_OR_RETURN(const std::vector<trace::StreamToSearch> streams,
                   StreamsOf(flags, session, family));
  trace::TraceSettings settings;
  settings.timing = session.terms().adu_timing();
  ASSIGN_OR_RETURN(const Ranges ranges, RangesOf(flags, candidates, session.terms(), sound.leak));
  settings.range = ranges.searched;
  settings.master_adu = flags.master_adu;
  settings.progress = ProgressOn(sound.leak);
  const absl::StatusOr<trace::Examination> shown = trace::Examine(
      family, streams, sound.leak, sound.master.has_value() ? &*sound.master : nullptr, settings);
  if (settings.progress != nullptr) std::fputs("\r\033[K", stderr);
  if (!shown.ok()) return shown.status();
  ASSIGN_OR_RETURN(const trace::Accusation accusation,
                   trace::Accuse(shown->evidence, family, candidates.secure_spaces,
                                 1.0 / static_cast<double>(trail.false_accusation_one_in())));
  return Tell(flags, {*shown, accusation, streams, sound.leak.sample_rate, sound.leak.channels,
                      ranges.searched, ranges.all});
}

}  // namespace

void AddTraceCommands(cli::Command& program) {
  auto flags = std::make_shared<TraceFlags>();
  program
      .Subcommand("trace",
                  "Finds whose copies a leaked recording was made of, in a session with an audit "
                  "trail. Says nobody where the evidence does not carry.")
      .Text("--session", &flags->session, "the session file", Need::kRequired)
      .Text("--provider", &flags->provider, "the provider's folder, which has the audit secret",
            Need::kRequired)
      .Text(
          "--leak", &flags->leak,
          "the recording, or an excerpt: WAV, FLAC, Ogg, Opus, MP3; WAV of anything else by ffmpeg",
          Need::kRequired)
      .Text("--master", &flags->master,
            "what the sender was given, where the leak was compressed, made softer or drowned in "
            "noise")
      .Text("--candidates", &flags->candidates,
            "a folder of vouchers, a voucher, or a file of secure-space ids; all to whom the "
            "provider's "
            "folder has vouchers issued unless given")
      .Text("--adus", &flags->adus,
            "ADU ids FIRST-LAST to search; what vouchers name, or six hours from 0, unless given")
      .Number("--master-adu", &flags->master_adu,
              "id of the ADU that the master begins with; searched unless given")
      .Number("--sender", &flags->sender, "id of the only sender to look at")
      .Number("--sub-session", &flags->sub_session, "id of the only sub-session to look at")
      .Text("--raw", &flags->raw, "the leak is 16-bit samples without a header: RATE,CHANNELS")
      .Text("--plot", &flags->plot, "an SVG of every candidate's score against the threshold")
      .Switch("--json", &flags->json, "for programs")
      .Examples(
          "narkctl trace --session news.nark --provider provider --leak leak.flac\n"
          "narkctl trace --session news.nark --provider provider --leak leak.mp3 \\\n"
          "    --master news.wav --plot scores.svg --json")
      .Action([flags] { return RunTrace(*flags); });
}

}  // namespace nark::narkctl
