#include "tests/harness/world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace nark::harness {
namespace {

uint64_t RealRandom() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof(value), 0) != sizeof(value)) {
    throw std::runtime_error("getrandom failed");
  }
  return value;
}

// A port that the system chose, released again.
uint16_t ChosenPort(int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  const bool chosen = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (fd >= 0) close(fd);
  if (!chosen) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

std::string LastWord(const std::string& text) {
  std::istringstream words(text);
  std::string word, last;
  while (words >> word) last = word;
  return last;
}

Words Joined(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

std::string Group::Uri(const std::string& more) const {
  return "udp://" + address + ":" + std::to_string(port) + "?adapter=lo" + more;
}

Group NewGroup() {
  const uint64_t random = RealRandom();
  Group group;
  group.address = "239.255." + std::to_string(1 + random % 250) + "." +
                  std::to_string(1 + (random >> 16) % 250);
  group.port = ChosenPort(SOCK_DGRAM);
  return group;
}

uint16_t FreePort() { return ChosenPort(SOCK_STREAM); }

World::World() {
  const char* top = std::getenv("TEST_TMPDIR");
  // Short, since a Unix socket's path lies below it.
  std::string pattern = std::string(top != nullptr ? top : "/tmp") + "/wXXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no folder " + pattern);
  folder_ = pattern;
  std::filesystem::create_directory(Path("logs"));
  Do("narkctl", {"issuer", "init", issuer(), "--name", "Test issuer"});
  Do("narkctl", {"provider", "init", provider(), "--name", "Test provider"});
  Do("narkctl", {"pool", "init", pool(), "--provider", provider()});
}

World::~World() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string World::NewPath(const std::string& stem) {
  return Path(stem + "-" + std::to_string(++number_));
}

Outcome World::Try(const std::string& program, const Words& arguments, const std::string& input) {
  return Execute({program, arguments, input, {}}, Path("logs"));
}

std::string World::PoolFile(const std::string& prefix, const std::string& suffix) const {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(pool())) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    if (!path.empty()) throw std::runtime_error(path + " is not the only one of its kind");
    path = entry.path();
  }
  if (path.empty()) throw std::runtime_error("no " + prefix + "*" + suffix + " in " + pool());
  return path;
}

std::string World::Do(const std::string& program, const Words& arguments) {
  const CommandLine command{program, arguments, "", {}};
  const Outcome outcome = Execute(command, Path("logs"));
  if (outcome.status != 0) {
    throw std::runtime_error(ToString(command) + "\n" + outcome.ToString());
  }
  return outcome.out;
}

std::unique_ptr<Process> World::Start(const std::string& program, const Words& arguments,
                                      const std::string& input) {
  return std::make_unique<Process>(CommandLine{program, arguments, input, {}}, Path("logs"));
}

void World::WaitReady(Process& process, const std::string& ready_file) {
  const bool ready = Eventually(
      [&] { return std::filesystem::exists(ready_file) || !process.running(); }, kPatience);
  if (!ready || !std::filesystem::exists(ready_file)) {
    throw std::runtime_error("not ready (" + ready_file + "): " +
                             (process.running() ? process.Kill() : process.Wait()).ToString());
  }
}

Server World::StartServer(const std::string& program, Words arguments) {
  const std::string ready_file = NewPath("ready");
  arguments.insert(arguments.end(), {"--ready-file", ready_file});
  Server server;
  server.process = Start(program, arguments);
  WaitReady(*server.process, ready_file);
  const std::string ready = ReadAll(ready_file);
  server.listen = JsonField(ready, "listen");
  server.http = JsonField(ready, "http");
  server.https = JsonField(ready, "https");
  server.control = JsonField(ready, "control");
  return server;
}

Server World::StartKeyManager(const Words& more) {
  return StartServer("nark-keymanager",
                     Joined({"--pool", pool(), "--issuer", issuer() + "/issuer.pem", "--listen",
                             "127.0.0.1:0", "--http", "127.0.0.1:0"},
                            more));
}

SecureSpaceFolder World::MakeSecureSpace(const std::string& issuer) {
  return MakeSecureSpace(issuer, {}, {});
}

SecureSpaceFolder World::MakeTpmSecureSpace(const std::string& tcti) {
  return MakeSecureSpace(issuer(), {"--tpm", tcti}, {"--class", "tpm"});
}

SecureSpaceFolder World::MakeSecureSpace(const std::string& issuer, const Words& init,
                                         const Words& certify) {
  SecureSpaceFolder space;
  space.folder = NewPath("s");
  space.certificate = NewPath("certificate");
  space.id = LastWord(Do("nark-securespace", Joined({"init", space.folder}, init)));
  Do("narkctl", Joined({"issuer", "certify", issuer, "--request", space.folder + "/request.pem",
                        "--out", space.certificate},
                       certify));
  Do("nark-securespace", {"install", space.folder, "--certificate", space.certificate});
  return space;
}

SessionFiles World::MakeSession(const Words& key_managers, const Words& more) {
  const Group group = NewGroup();
  SessionFiles files = MakeSessionAt(group.Uri(), key_managers, more);
  files.group = group;
  return files;
}

SessionFiles World::MakeSessionAt(const std::string& transport, const Words& key_managers,
                                  const Words& more) {
  SessionFiles files;
  const std::string stem = NewPath("session");
  files.session = stem + ".nark";
  files.sender = stem + ".sender";
  Words arguments = {"session", "create",      "--provider",   provider(),  "--pool",
                     pool(),    "--transport", transport,      "--title",   "Test",
                     "--out",   files.session, "--sender-out", files.sender};
  for (const std::string& address : key_managers) {
    arguments.insert(arguments.end(), {"--key-manager", address});
  }
  Do("narkctl", Joined(arguments, more));
  return files;
}

std::string World::MakeVoucher(const SessionFiles& session, const std::string& secure_space_id,
                               const std::string& range, const Words& more) {
  const std::string path = NewPath("voucher");
  Do("narkctl", Joined({"voucher", "issue", "--provider", provider(), "--session", session.session,
                        "--secure-space", secure_space_id, "--range", range, "--out", path},
                       more));
  return path;
}

Words World::JoinArguments(const SessionFiles& session, const SecureSpaceFolder& space,
                           const std::string& voucher, const std::string& output) const {
  return {"join",  session.session, "--secure-space", space.folder, "--voucher",
          voucher, "--output",      "file:" + output, "--cache",    Path("cache")};
}

std::unique_ptr<Process> World::StartJoin(const SessionFiles& session,
                                          const SecureSpaceFolder& space,
                                          const std::string& voucher, const std::string& output,
                                          const Words& more) {
  const std::string ready_file = NewPath("ready");
  Words arguments = Joined(JoinArguments(session, space, voucher, output), more);
  arguments.insert(arguments.end(), {"--ready-file", ready_file});
  std::unique_ptr<Process> process = Start("nark-receiver", arguments);
  WaitReady(*process, ready_file);
  return process;
}

void World::SendAll(const SessionFiles& session, const std::string& input, const Words& more) {
  Do("nark-sender", Joined({"--session", session.sender, "--input", "file:" + input}, more));
}

std::string World::Note(const SessionFiles& session, const SecureSpaceFolder& space,
                        const Words& more) {
  const std::string path = NewPath("note");
  Do("nark-receiver",
     Joined({"note", session.session, "--secure-space", space.folder, "--out", path}, more));
  return Do("narkctl", {"note", "show", path, "--issuer", issuer() + "/issuer.pem", "--json"});
}

std::vector<uint64_t> DeliveredIds(const std::string& note) {
  std::vector<uint64_t> ids;
  // Named: what is iterated over must outlive the loop.
  const nlohmann::json parsed = nlohmann::json::parse(note);
  for (const auto& sender : parsed.at("senders")) {
    for (const auto& range : sender.at("delivered_ranges")) {
      for (uint64_t id = range[0]; id <= range[1].get<uint64_t>(); ++id) ids.push_back(id);
    }
  }
  return ids;
}

std::string RandomBytes(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(bytes, '\0');
  for (size_t at = 0; at < bytes; at += 8) {
    const uint64_t word = random();
    std::memcpy(text.data() + at, &word, std::min<size_t>(8, bytes - at));
  }
  return text;
}

std::string JsonField(const std::string& json, const std::string& name) {
  const auto parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains(name)) return "";
  const auto& value = parsed.at(name);
  return value.is_string() ? value.get<std::string>() : value.dump();
}

double MetricOf(const std::string& exposition, const std::string& name, const std::string& labels) {
  std::istringstream lines(exposition);
  std::string line;
  double sum = 0;
  while (std::getline(lines, line)) {
    if (line.compare(0, name.size(), name) != 0) continue;
    const char next = line.size() > name.size() ? line[name.size()] : '\0';
    if (next != ' ' && next != '{') continue;
    if (line.find(labels) == std::string::npos) continue;
    sum += std::stod(line.substr(line.rfind(' ') + 1));
  }
  return sum;
}

std::string HttpGet(const std::string& host_port, const std::string& path) {
  const size_t colon = host_port.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(host_port.substr(colon + 1))));
  inet_pton(AF_INET, host_port.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string answer;
  if (fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    ssize_t got = send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[4096];
    while (got > 0 && (got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(got));
    }
  }
  if (fd >= 0) close(fd);
  if (answer.size() < 12) return "no answer";
  const std::string status = answer.substr(9, 3);
  const size_t body = answer.find("\r\n\r\n");
  const std::string text = body == std::string::npos ? "" : answer.substr(body + 4);
  return status == "200" ? text : status + " " + text;
}

}  // namespace nark::harness
