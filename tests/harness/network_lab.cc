#include "tests/harness/network_lab.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

namespace nark::harness {
namespace {

// Longer than any test takes, so that nothing sleeps on where one was killed.
constexpr char kLife[] = "1800";

std::string NamespaceOf(const std::string& process) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/net", error).string();
}

bool WriteOnce(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

std::string Run(const std::vector<std::string>& command, const std::string& folder) {
  const CommandLine line{command[0], {command.begin() + 1, command.end()}, "", {}};
  const Outcome outcome = Execute(line, folder);
  if (outcome.status != 0) throw std::runtime_error(ToString(line) + "\n" + outcome.ToString());
  return outcome.out;
}

}  // namespace

Host::Host(const std::string& folder) : folder_(folder) {
  process_ =
      std::make_unique<Process>(CommandLine{"unshare", {"--net", "sleep", kLife}, "", {}}, folder_);
  const std::string ours = NamespaceOf("self");
  const bool moved = Eventually([&] {
    const std::string its = NamespaceOf(std::to_string(pid()));
    return (!its.empty() && its != ours) || !process_->running();
  });
  if (!moved || !process_->running()) {
    throw std::runtime_error("no host: " + process_->Kill().ToString());
  }
  Ip({"link", "set", "lo", "up"});
}

std::vector<std::string> Host::Enter(const std::string& program) const {
  return {"--net=/proc/" + std::to_string(pid()) + "/ns/net", "--", ProgramPath(program)};
}

std::string Host::Do(const std::vector<std::string>& command) {
  std::vector<std::string> words = Enter(command[0]);
  words.insert(words.begin(), "nsenter");
  words.insert(words.end(), command.begin() + 1, command.end());
  return Run(words, folder_);
}

std::string Host::Ip(const std::vector<std::string>& words) {
  std::vector<std::string> command = {"ip"};
  command.insert(command.end(), words.begin(), words.end());
  return Do(command);
}

void Host::Within(const std::function<void()>& open_here) const {
  const int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  const int its =
      open(("/proc/" + std::to_string(pid()) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
  const bool inside = ours >= 0 && its >= 0 && setns(its, CLONE_NEWNET) == 0;
  if (inside) open_here();
  const bool back = !inside || setns(ours, CLONE_NEWNET) == 0;
  if (ours >= 0) close(ours);
  if (its >= 0) close(its);
  if (!inside || !back) throw std::runtime_error("cannot enter a host's network");
}

std::string NetworkLab::Enter() {
  static const std::string reason = [] {
    const std::string user = "0 " + std::to_string(geteuid()) + " 1";
    const std::string group = "0 " + std::to_string(getegid()) + " 1";
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      const std::string first = std::strerror(errno);
      // Where user namespaces are switched off, root still may.
      if (unshare(CLONE_NEWNET) == 0) return std::string();
      return "network namespaces are not permitted here: unshare: " + first;
    }
    WriteOnce("/proc/self/setgroups", "deny");
    if (!WriteOnce("/proc/self/uid_map", user) || !WriteOnce("/proc/self/gid_map", group)) {
      return std::string("network namespaces are not permitted here: uid_map: ") +
             std::strerror(errno);
    }
    return std::string();
  }();
  if (!reason.empty()) return reason;
  // Kernels are built without these, and images come without the programs.
  const std::string folder = std::filesystem::temp_directory_path();
  for (const std::vector<std::string>& probe : std::vector<std::vector<std::string>>{
           {"ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"},
           {"ip", "link", "del", "probe0"},
           {"ip", "link", "add", "probe0", "type", "bridge", "mcast_snooping", "1"},
           {"bridge", "mdb", "show"},
           {"ip", "link", "del", "probe0"},
           {"nsenter", "--net=/proc/self/ns/net", "--", "true"}}) {
    try {
      Run(probe, folder);
    } catch (const std::exception& error) {
      return std::string("no network can be built here: ") + error.what();
    }
  }
  return "";
}

NetworkLab::NetworkLab(const std::string& folder) : folder_(folder) {}

NetworkLab::~NetworkLab() {
  for (const std::string& link : links_) {
    // Gone already where its host is.
    (void)Execute({"ip", {"link", "del", link}, "", {}}, folder_);
  }
  if (switch_) (void)Execute({"ip", {"link", "del", "switch0"}, "", {}}, folder_);
}

void NetworkLab::Do(const std::vector<std::string>& command) { Run(command, folder_); }

std::unique_ptr<Host> NetworkLab::NewHost() { return std::make_unique<Host>(folder_); }

void NetworkLab::Connect(Host& one, const std::string& its_interface, Host& other,
                         const std::string& others_interface) {
  Do({"ip", "link", "add", its_interface, "netns", std::to_string(one.pid()), "type", "veth",
      "peer", "name", others_interface, "netns", std::to_string(other.pid())});
  one.Ip({"link", "set", its_interface, "up"});
  other.Ip({"link", "set", others_interface, "up"});
}

void NetworkLab::StartSwitch() {
  switch_ = true;
  // Times are hundredths of a second. A querier that begins counts for nothing until the
  // time to answer is over, and until then a bridge floods.
  Do({"ip",
      "link",
      "add",
      "switch0",
      "type",
      "bridge",
      "mcast_snooping",
      "1",
      "mcast_querier",
      "1",
      "mcast_igmp_version",
      "3",
      "mcast_mld_version",
      "2",
      "mcast_query_response_interval",
      "50",
      "mcast_last_member_interval",
      "20",
      "mcast_startup_query_interval",
      "100"});
  // By itself: with the other parameters it begins before it has heard of them.
  Do({"ip", "link", "set", "switch0", "type", "bridge", "mcast_querier", "1"});
  Do({"ip", "addr", "add", "10.91.0.254/24", "dev", "switch0"});
  Do({"ip", "addr", "add", "fd91::fe/64", "dev", "switch0", "nodad"});
  Do({"ip", "link", "set", "switch0", "up"});
}

void NetworkLab::Plug(Host& host, const std::string& name, const std::string& port) {
  Do({"ip", "link", "add", port, "type", "veth", "peer", "name", name, "netns",
      std::to_string(host.pid())});
  links_.push_back(port);
  Do({"ip", "link", "set", port, "master", "switch0", "up"});
  host.Ip({"link", "set", name, "up"});
}

void NetworkLab::Unplug(const std::string& port) { Do({"ip", "link", "set", port, "down"}); }

void NetworkLab::PlugInAgain(const std::string& port) { Do({"ip", "link", "set", port, "up"}); }

std::string NetworkLab::Groups() { return Run({"bridge", "-d", "mdb", "show"}, folder_); }

void NetworkLab::WaitForAddresses(Host& host) {
  if (!Eventually([&] { return host.Ip({"-6", "addr", "show", "tentative"}).empty(); })) {
    throw std::runtime_error("an address is never usable");
  }
}

}  // namespace nark::harness
