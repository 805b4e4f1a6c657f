#ifndef NARK_TESTS_HARNESS_NETWORK_LAB_H_
#define NARK_TESTS_HARNESS_NETWORK_LAB_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/harness/process.h"

namespace nark::harness {

// A machine with a network of its own: a network namespace, kept by a process that
// sleeps and ends with the host. Throws where a command fails that must not. One
// thread only.
class Host {
 public:
  explicit Host(const std::string& folder);

  // Runs a program in it to its end, which must be 0; returns its stdout.
  std::string Do(const std::vector<std::string>& command);
  // `ip` and these words.
  std::string Ip(const std::vector<std::string>& words);
  // What to put before a program's arguments, for `nsenter`.
  std::vector<std::string> Enter(const std::string& program) const;
  // Calls `open` in it: sockets belong to where they were opened.
  void Within(const std::function<void()>& open) const;
  pid_t pid() const { return process_->pid(); }

 private:
  std::string folder_;
  std::unique_ptr<Process> process_;
};

// Hosts, cables and a switch for one test. They go with it, and so does all that was
// set up in them. One thread only.
class NetworkLab {
 public:
  // Gives this process a network of its own, in which it may do everything, once; to be
  // called before any thread is made. Returns why that cannot be, empty where it is.
  static std::string Enter();

  explicit NetworkLab(const std::string& folder);
  ~NetworkLab();
  NetworkLab(const NetworkLab&) = delete;
  NetworkLab& operator=(const NetworkLab&) = delete;

  std::unique_ptr<Host> NewHost();
  // A cable between two hosts' new interfaces, which are up.
  void Connect(Host& one, const std::string& its_interface, Host& other,
               const std::string& others_interface);
  // A switch with IGMP (3) and MLD (2) snooping and a querier, in this process's own
  // network. Returns once it snoops.
  void StartSwitch();
  // Plugs a host's new interface `name` into port `port` of the switch.
  void Plug(Host& host, const std::string& name, const std::string& port);
  // Takes a cable out of the switch, and puts it back.
  void Unplug(const std::string& port);
  void PlugInAgain(const std::string& port);
  // The switch's table of groups, as `bridge mdb show` prints it.
  std::string Groups();

  // Waits until each address of the host may be used (RFC 4862 section 5.4).
  static void WaitForAddresses(Host& host);

 private:
  void Do(const std::vector<std::string>& command);
  std::string folder_;
  bool switch_ = false;
  std::vector<std::string> links_;  // in this process's own network
};

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_NETWORK_LAB_H_
