#include "receiver/output.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/net/datagram_io.h"
#include "receiver/http_output.h"
#include "receiver/stream_output.h"
#include "receiver/udp_output.h"

namespace nark::receiver {

bool IsStandardOutput(std::string_view uri) { return uri == "-" || uri == "file://con"; }

absl::StatusOr<std::unique_ptr<Output>> OpenOutput(const std::string& uri,
                                                   std::chrono::microseconds spread,
                                                   net::Notify notify) {
  if (IsStandardOutput(uri)) return StreamOutput::OnDescriptor("standard output", STDOUT_FILENO);
  if (absl::StartsWith(uri, "udp://")) {
    ASSIGN_OR_RETURN(net::UdpAddress address, net::UdpAddress::Parse(uri));
    ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSink> sink,
                     net::OpenUdpSink(address, std::move(notify)));
    return std::unique_ptr<Output>(new UdpOutput(uri, std::move(sink), spread));
  }
  if (absl::StartsWith(uri, "http://")) {
    ASSIGN_OR_RETURN(std::unique_ptr<HttpOutput> http, HttpOutput::Listen(uri, {}));
    return std::unique_ptr<Output>(std::move(http));
  }
  constexpr std::string_view kFile = "file:";
  if (absl::StartsWith(uri, Absl(kFile)) && uri.size() > kFile.size()) {
    std::string path = uri.substr(kFile.size());
    // file:///PATH means /PATH.
    if (absl::StartsWith(path, "///")) path.erase(0, 2);
    return StreamOutput::CreateFile(uri, path);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("output '", uri, "' is none of -, file:PATH, udp://..., http://HOST:PORT/PATH"));
}

absl::Status OutputSet::Write(const PlainAdu& adu, Timestamp now) {
  for (size_t i = 0; i < outputs_.size();) {
    if (!outputs_[i].filter.Takes(adu.sub_session, adu.sender_id)) {
      ++i;
      continue;
    }
    const absl::Status written = outputs_[i].output->Write(adu.plaintext, now);
    if (written.ok()) {
      ++i;
    } else {
      Close(i, written);
    }
  }
  return LeftOrLastError();
}

bool OutputSet::Wants(uint32_t sub_session, uint32_t sender_id) const {
  for (const auto& [output, filter] : outputs_) {
    if (filter.Takes(sub_session, sender_id)) return true;
  }
  return false;
}

absl::Status OutputSet::Service(Timestamp now) {
  for (size_t i = 0; i < outputs_.size();) {
    const absl::Status served = outputs_[i].output->Service(now);
    if (served.ok()) {
      ++i;
    } else {
      Close(i, served);
    }
  }
  return LeftOrLastError();
}

void OutputSet::Close(size_t index, const absl::Status& error) {
  errors_.push_back(error);
  last_error_ = error;
  outputs_.erase(outputs_.begin() + static_cast<ptrdiff_t>(index));
}

absl::Status OutputSet::LeftOrLastError() const {
  return outputs_.empty() ? last_error_ : absl::OkStatus();
}

void OutputSet::AddPolls(std::vector<pollfd>& polls) const {
  for (const auto& [output, filter] : outputs_) output->AddPolls(polls);
}

std::optional<Timestamp> OutputSet::NextDeadline() const {
  std::optional<Timestamp> next;
  for (const auto& [output, filter] : outputs_) {
    const std::optional<Timestamp> deadline = output->NextDeadline();
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  return next;
}

bool OutputSet::congested() const {
  for (const auto& [output, filter] : outputs_) {
    if (output->congested()) return true;
  }
  return false;
}

bool OutputSet::drained() const {
  for (const auto& [output, filter] : outputs_) {
    if (!output->drained()) return false;
  }
  return true;
}

std::vector<absl::Status> OutputSet::TakeErrors() { return std::exchange(errors_, {}); }

}  // namespace nark::receiver
