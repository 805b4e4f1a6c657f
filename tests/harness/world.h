#ifndef NARK_TESTS_HARNESS_WORLD_H_
#define NARK_TESTS_HARNESS_WORLD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/harness/process.h"

namespace nark::harness {

using Words = std::vector<std::string>;

// A multicast group on loopback that no other test uses.
struct Group {
  std::string address;  // 239.255.x.y
  uint16_t port = 0;
  std::string Uri(const std::string& more = "") const;
};
Group NewGroup();
// A TCP port of 127.0.0.1 that was free a moment ago.
uint16_t FreePort();

// A server and where it listens.
struct Server {
  std::unique_ptr<Process> process;
  std::string listen;   // HOST:PORT
  std::string http;     // HOST:PORT; empty without --http
  std::string https;    // HOST:PORT; empty without --https
  std::string control;  // HOST:PORT; empty without --control
};

struct SecureSpaceFolder {
  std::string folder;
  std::string id;           // hexadecimal
  std::string certificate;  // file
};

struct SessionFiles {
  std::string session;  // *.nark
  std::string sender;
  Group group;
};

// A provider's whole world in a temporary folder, made by the real programs: an
// issuer, a provider and its pool are there from the start. Throws where a command
// fails that must not. One thread only.
class World {
 public:
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const std::string& folder() const { return folder_; }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // The only one with this ending so far, or numbered.
  std::string NewPath(const std::string& stem);

  // Runs a program that must end with 0; returns its stdout.
  std::string Do(const std::string& program, const Words& arguments);
  // Runs a program to whatever end.
  Outcome Try(const std::string& program, const Words& arguments, const std::string& input = "");
  std::unique_ptr<Process> Start(const std::string& program, const Words& arguments,
                                 const std::string& input = "");

  // Starts a server with --ready-file and waits until it serves.
  Server StartServer(const std::string& program, Words arguments);
  // One more replica of the pool, with --http.
  Server StartKeyManager(const Words& more = {});

  // A secure space, certified by the issuer in `issuer` (a folder).
  SecureSpaceFolder MakeSecureSpace(const std::string& issuer);
  SecureSpaceFolder MakeSecureSpace() { return MakeSecureSpace(issuer()); }
  // One that counts in a TPM, and is certified so.
  SecureSpaceFolder MakeTpmSecureSpace(const std::string& tcti);

  // A session on a new group. `more`: further flags of `session create`.
  SessionFiles MakeSession(const Words& key_managers, const Words& more);
  // The same with a transport of the test's own.
  SessionFiles MakeSessionAt(const std::string& transport, const Words& key_managers,
                             const Words& more);
  std::string MakeVoucher(const SessionFiles& session, const std::string& secure_space_id,
                          const std::string& range, const Words& more = {});

  // The arguments of a receiver's join with one file output; marked blocks are kept in
  // Path("cache").
  Words JoinArguments(const SessionFiles& session, const SecureSpaceFolder& space,
                      const std::string& voucher, const std::string& output) const;
  // Starts a join and waits until it holds a grant.
  std::unique_ptr<Process> StartJoin(const SessionFiles& session, const SecureSpaceFolder& space,
                                     const std::string& voucher, const std::string& output,
                                     const Words& more = {});
  // Sends a whole file; the sender must end with 0.
  void SendAll(const SessionFiles& session, const std::string& input, const Words& more = {});

  // What a note says that the receiver takes now, verified, as JSON. `more`: further flags
  // of `note`.
  std::string Note(const SessionFiles& session, const SecureSpaceFolder& space,
                   const Words& more = {});

  std::string issuer() const { return Path("issuer"); }
  std::string provider() const { return Path("provider"); }
  std::string pool() const { return Path("pool"); }
  // The path of the pool's one file whose name begins and ends so, as in "tls-", ".key".
  std::string PoolFile(const std::string& prefix, const std::string& suffix) const;

 private:
  SecureSpaceFolder MakeSecureSpace(const std::string& issuer, const Words& init,
                                    const Words& certify);
  void WaitReady(Process& process, const std::string& ready_file);
  std::string folder_;
  int number_ = 0;
};

// The ids that a note (World::Note) calls delivered, stream by stream.
std::vector<uint64_t> DeliveredIds(const std::string& note);

// Bytes that look like nothing, the same for a seed.
std::string RandomBytes(size_t bytes, uint64_t seed);

// The value of a string field in a flat JSON object; empty where it is absent.
std::string JsonField(const std::string& json, const std::string& name);

// The sum of a counter over its labels, from Prometheus' text; `labels` is a part
// that the line must have.
double MetricOf(const std::string& exposition, const std::string& name,
                const std::string& labels = "");

// Plain HTTP GET; the body, or "STATUS body" where the status is not 200.
std::string HttpGet(const std::string& host_port, const std::string& path);

}  // namespace nark::harness

#endif  // NARK_TESTS_HARNESS_WORLD_H_
