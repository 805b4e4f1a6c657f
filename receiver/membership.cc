#include "receiver/membership.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/object/file.h"
#include "keymanager/grpc_client.h"

namespace nark::receiver {

absl::StatusOr<VerifiedSession> LoadSession(const std::string& path, Timestamp now) {
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(path, v1::NarkFile::kSessionDescriptor));
  auto session = VerifiedSession::Verify(file.session_descriptor(), now);
  if (!session.ok()) return Annotate(session.status(), path);
  return session;
}

absl::StatusOr<Purchase> Purchase::Load(const std::string& session_path,
                                        const std::string& voucher_path, Timestamp now) {
  ASSIGN_OR_RETURN(VerifiedSession session, LoadSession(session_path, now));
  ASSIGN_OR_RETURN(v1::NarkFile file, ReadNarkFile(voucher_path, v1::NarkFile::kVoucher));
  auto voucher = VerifyVoucher(file.voucher(), session, now);
  if (!voucher.ok()) return Annotate(voucher.status(), voucher_path);
  return Purchase{std::move(session), file.voucher(), *std::move(voucher)};
}

absl::StatusOr<KeyManagers> KeyManagers::Connect(const VerifiedSession& session,
                                                 const std::vector<std::string>& instead,
                                                 KeyManagerTransport transport, Random& random) {
  const v1::SessionDescriptor& descriptor = session.descriptor();
  std::vector<std::string> names = instead;
  if (names.empty()) {
    names.assign(descriptor.key_managers().begin(), descriptor.key_managers().end());
  }
  KeyManagers managers;
  std::array<uint8_t, 16> drawn;
  RETURN_IF_ERROR(random.Fill(drawn));
  managers.request_id = ToHex(ByteView(drawn).first(8));
  // 53 bits: every value of a double in [0, 1) that they give is exact.
  managers.spread = std::ldexp(static_cast<double>(LoadBig64(drawn.data() + 8) >> 11), -53);
  for (const std::string& name : names) {
    rpc::ChannelOptions options;
    options.endpoint = name;
    if (transport == KeyManagerTransport::kTls) {
      options.tls =
          rpc::TlsTrust{ToBytes(AsBytes(descriptor.tls_ca_certificate())), keymanager::kServerName};
    }
    ASSIGN_OR_RETURN(std::unique_ptr<keymanager::Client> client,
                     keymanager::MakeGrpcClient(options, managers.request_id));
    managers.endpoints.push_back({name, client.get()});
    managers.clients.push_back(std::move(client));
  }
  return managers;
}

absl::Status RunToEnd(Joiner& joiner, Clock& clock) {
  while (!joiner.done()) {
    const Timestamp now = clock.Now();
    if (now < joiner.not_before()) std::this_thread::sleep_for(joiner.not_before() - now);
    joiner.Step(clock.Now());
  }
  return joiner.result();
}

absl::StatusOr<std::unique_ptr<JoinThread>> JoinThread::Start(Joiner& joiner, Clock& clock) {
  net::Descriptor done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (done.fd() < 0) return absl::ErrnoToStatus(errno, "eventfd");
  auto thread = std::unique_ptr<JoinThread>(new JoinThread(joiner, clock, std::move(done)));
  thread->thread_ = std::thread([raw = thread.get()] { raw->Run(); });
  return thread;
}

JoinThread::~JoinThread() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    stopping_.SignalAll();
  }
  thread_.join();
}

void JoinThread::Run() {
  while (!joiner_.done() && PauseUntil(joiner_.not_before())) joiner_.Step(clock_.Now());
  {
    absl::MutexLock lock(&mutex_);
    done_ = joiner_.done();
    result_ = joiner_.result();
  }
  const uint64_t one = 1;
  // An eventfd takes eight bytes or, where nobody reads it, is readable already.
  [[maybe_unused]] const ssize_t written = ::write(done_fd_.fd(), &one, sizeof one);
}

// False where it was told to stop.
bool JoinThread::PauseUntil(Timestamp at) {
  absl::MutexLock lock(&mutex_);
  for (Timestamp now = clock_.Now(); now < at && !stop_; now = clock_.Now()) {
    stopping_.WaitWithTimeout(&mutex_, absl::FromChrono(at - now));
  }
  return !stop_;
}

bool JoinThread::done() const {
  absl::MutexLock lock(&mutex_);
  return done_;
}

absl::Status JoinThread::result() const {
  absl::MutexLock lock(&mutex_);
  return result_;
}

}  // namespace nark::receiver
