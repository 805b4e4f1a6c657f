#include "tests/harness/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <thread>
#include <utility>

extern char** environ;

namespace nark::harness {
namespace {

const std::map<std::string, std::string>& Rooms() {
  static const auto* rooms = new std::map<std::string, std::string>{
      {"narkctl", "narkctl"},         {"nark-keymanager", "keymanager"},
      {"nark-load", "load"},          {"nark-sender", "sender"},
      {"nark-receiver", "receiver"},  {"nark-securespace", "securespace"},
      {"nark-refunds", "refunds"},    {"nark-relay", "relay"},
      {"bad-network", "tests/relay"},
  };
  return *rooms;
}

std::string Runfiles() {
  const char* folder = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  if (folder == nullptr || workspace == nullptr) return ".";
  return std::string(folder) + "/" + workspace;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// The test's environment with `more` in front, which therefore counts.
std::vector<std::string> EnvironmentWith(const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** entry = environ; *entry != nullptr; ++entry) all.emplace_back(*entry);
  return all;
}

std::string Quoted(const std::string& text) {
  return text.empty() ? "(nothing)\n" : text.back() == '\n' ? text : text + "\n";
}

}  // namespace

bool Eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string ProgramPath(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  auto room = Rooms().find(program);
  if (room == Rooms().end()) return program;
  return Runfiles() + "/" + room->second + "/" + program;
}

std::string ToString(const CommandLine& command) {
  std::string line = command.program;
  for (const std::string& argument : command.arguments) line += " " + argument;
  return line;
}

std::string Outcome::ToString() const {
  const bool text = out.size() < 20000 && out.find('\0') == std::string::npos;
  return "exit status " + std::to_string(status) + "\nstderr: " + Quoted(err) +
         "stdout: " + (text ? Quoted(out) : std::to_string(out.size()) + " bytes\n");
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteAll(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

Process::Process(const CommandLine& command, const std::string& folder) : name_(ToString(command)) {
  static std::atomic<int> number{0};
  const std::string program = std::filesystem::path(command.program).filename();
  const std::string stem = folder + "/" + std::to_string(++number) + "-" + program;
  out_path_ = stem + ".out";
  err_path_ = stem + ".err";

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const std::string input = command.input.empty() ? "/dev/null" : command.input;
  const int create = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out_path_.c_str(), create, 0600);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err_path_.c_str(), create, 0600);

  std::vector<std::string> words = {ProgramPath(command.program)};
  words.insert(words.end(), command.arguments.begin(), command.arguments.end());
  const std::vector<std::string> environment = EnvironmentWith(command.environment);
  const int error = posix_spawnp(&pid_, words[0].c_str(), &files, nullptr, Pointers(words).data(),
                                 Pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    pid_ = -1;
    throw std::runtime_error("cannot start " + name_ + ": " + std::strerror(error));
  }
}

Process::~Process() {
  if (pid_ > 0 && running()) {
    Signal(SIGKILL);
    Reap(0);
  }
}

std::optional<int> Process::Reap(int options) {
  if (status_) return status_;
  int status = 0;
  pid_t ended;
  do {
    ended = waitpid(pid_, &status, options);
  } while (ended < 0 && errno == EINTR);
  if (ended == pid_) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    left_image_ = WIFSIGNALED(status) && WCOREDUMP(status);
  }
  return status_;
}

bool Process::running() { return !Reap(WNOHANG); }

void Process::Signal(int signal) {
  if (!status_) kill(pid_, signal);
}

Outcome Process::Wait(std::chrono::milliseconds patience) {
  if (!Eventually([this] { return !running(); }, patience)) {
    Signal(SIGKILL);
    Reap(0);
    throw std::runtime_error(name_ + " did not end in time; stderr: " + err());
  }
  return {*status_, out(), err(), left_image_};
}

Outcome Process::Stop() {
  Signal(SIGTERM);
  return Wait();
}

Outcome Process::Kill() {
  Signal(SIGKILL);
  return Wait();
}

std::string Process::out() const { return ReadAll(out_path_); }
std::string Process::err() const { return ReadAll(err_path_); }

Outcome Execute(const CommandLine& command, const std::string& folder,
                std::chrono::milliseconds patience) {
  Process process(command, folder);
  return process.Wait(patience);
}

}  // namespace nark::harness
