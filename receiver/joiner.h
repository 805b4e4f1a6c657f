#ifndef NARK_RECEIVER_JOINER_H_
#define NARK_RECEIVER_JOINER_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/chameleon.h"
#include "common/object/session.h"
#include "keymanager/client.h"
#include "nark/v1/envelope.pb.h"
#include "receiver/block_cache.h"
#include "securespace/secure_space.h"

namespace nark::receiver {

// One key manager and what to call it in messages.
struct KeyManagerEndpoint {
  std::string name;  // HOST:PORT
  keymanager::Client* client = nullptr;
};

struct JoinOptions {
  // Whether an installed grant that releases keys ends it, or a key manager is asked
  // all the same: a lapsed lease wants a newer grant.
  enum class Installed { kSuffices, kRenew } installed = Installed::kSuffices;
  // In a session with an audit trail: whether the marked block is to be opened too, ...
  enum class Block { kWanted, kHave } block = Block::kWanted;
  // ... where it may be kept (nullptr: nowhere; must outlive the join), ...
  const BlockCache* cache = nullptr;
  // ... how long it may take where it has to be fetched, and one call for it, ...
  std::chrono::microseconds block_timeout = std::chrono::seconds(60);
  std::chrono::microseconds block_call_timeout = std::chrono::seconds(20);
  // ... and who hears of it on the way, in the thread of Step: first, before anybody is
  // asked, of 0 bytes done.
  keymanager::Client::BlockProgress block_progress = nullptr;
  // Hears at once, in the thread of Step and a line each, what was wrong with the block that
  // was kept, why the one that is fetched is not kept, and what a slow fetch waits for.
  std::function<void(const std::string&)> warn = nullptr;
  // For the whole exchange without it.
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  // The longest that one call waits for one replica.
  std::chrono::microseconds call_timeout = std::chrono::seconds(3);
  // Before one that failed is asked again; doubles with each failure, up to the second.
  std::chrono::microseconds first_pause = std::chrono::milliseconds(100);
  std::chrono::microseconds longest_pause = std::chrono::seconds(1);
  // In [0, 1), for each join another: with which endpoint it begins, and how far pauses are
  // stretched, at most to the double. So many that join at once neither begin nor come
  // again all together.
  double spread = 0;
};

// The one exchange of a receiver-session as a state machine:
//
//   kLook -> kChallenge -> kAttest -> kGrant -> kInstall -> kJoined
//     |          ^            |          |          |
//     |          |            |          +----------+--> kChallenge: another replica
//     +----------------------------------------------> kJoined: installed before
//
// With an audit trail kBlock comes before kJoined: it opens the block that is kept, and
// fetches one where there is none or it was damaged, by evidence of its own where the
// grant was installed before (kBlock -> kChallenge -> kAttest -> kBlock).
//
// and from anywhere kFailed. Each Step makes at most one call. Any replica
// answers any step: one that is down, slow, lies, or says that it can not just now is
// left for the next at once, and asked again when it said. Only where none is left that
// may be asked before the end is that the end. NOT_ATTESTED must be said by two of
// several, each of a challenge of its own; any other refusal ends it, unless it says to
// come again. One thread only.
class Joiner {
 public:
  enum class State { kLook, kChallenge, kAttest, kGrant, kInstall, kBlock, kJoined, kFailed };
  // Where the marked block came from.
  enum class BlockOrigin { kNone, kCache, kKeyManager };

  // Session and voucher must have been verified. References must outlive it.
  Joiner(const VerifiedSession& session, const v1::SignedEnvelope& voucher,
         const VerifiedVoucher& verified_voucher, securespace::SecureSpace& secure_space,
         std::vector<KeyManagerEndpoint> endpoints);

  // Starts the clock: all must be done by now + timeout.
  void Start(const JoinOptions& options, Timestamp now);
  // Does what the state asks for. To be called when `now` is not before
  // not_before(), until done().
  void Step(Timestamp now);

  State state() const { return state_; }
  bool done() const { return state_ == State::kJoined || state_ == State::kFailed; }
  Timestamp not_before() const { return not_before_; }

  // Why it failed: one line that names the peer. IsRemote says whose fault it
  // was; ReasonOf the reason of a refusal. OK before that and after success.
  const absl::Status& result() const { return result_; }
  // Whether no key manager was asked for a grant.
  bool used_installed_grant() const { return used_installed_grant_; }
  // The marked block, where keys are released; nullptr else.
  const std::shared_ptr<const ChameleonBlock>& block() const { return block_; }
  BlockOrigin block_origin() const { return block_origin_; }

 private:
  void Look();
  void Challenge(Timestamp now);
  void Attest();
  void Grant(Timestamp now);
  void Install(Timestamp now);
  void Block(Timestamp now);
  void LookInCache(Timestamp now);
  void FetchBlock(Timestamp now);
  void Keep(ByteView sealed);
  // INVALID_ARGUMENT where it is none for this secure space.
  absl::Status OpenBlock(ByteView sealed);
  // Where it lasts.
  void TellOfSlowBlock(Timestamp now);
  void Warn(const std::string& line) const;
  // What nobody did until the end, and how long that was.
  std::string Unmet() const;
  void AskKeyManagers();
  void OnInstalled();
  v1::IssueGrantRequest Request() const;
  // IssueGrant or GetMarkedBlock failed.
  void OnDecisionError(const absl::Status& error, Timestamp now);
  std::chrono::milliseconds CallTimeout(std::chrono::microseconds longest, Timestamp now) const;
  absl::Status CheckChallenge(const v1::Challenge& challenge) const;
  absl::Status NamingPeer(const absl::Status& error) const;
  // The peer gave no answer or refused: another one is next, or that is the end.
  void OnPeerError(const absl::Status& error, Timestamp now);
  void OnNotAttested(Timestamp now);
  // The peer's answer is no use to anybody: it is not asked again.
  void OnLie(const absl::Status& error, Timestamp now);
  // The current one is not asked before a pause is over, which is longer each time.
  void Pause(Timestamp now);
  // It is not asked before then; not at all where that is beyond the end.
  void AskAgainAfter(std::chrono::seconds wait, Timestamp now);
  // When that wait is over, stretched by the spread within what is left.
  Timestamp Stretched(std::chrono::seconds wait, Timestamp now) const;
  // The one that may be asked first is next; where there is none, that is the end.
  void NextEndpoint(Timestamp now);
  // What is told in the end: rather what a peer refused than that one was not reached.
  void Remember(const absl::Status& error);
  void FailLocally(const absl::Status& error);
  void FailRemotely(const absl::Status& error);
  const KeyManagerEndpoint& endpoint() const { return endpoints_[current_]; }

  struct Turn {
    Timestamp not_before;
    std::chrono::microseconds pause{};  // the next one
  };

  const VerifiedSession& session_;
  const v1::SignedEnvelope& voucher_;
  const VerifiedVoucher& verified_voucher_;
  securespace::SecureSpace& secure_space_;
  const std::vector<KeyManagerEndpoint> endpoints_;

  JoinOptions options_;
  State state_ = State::kLook;
  Timestamp deadline_;
  Timestamp not_before_;
  size_t current_ = 0;
  size_t challenger_ = 0;    // who made challenge_
  Timestamp challenged_;     // when
  int not_attested_ = 0;     // how many said so of a challenge of their own
  std::vector<Turn> turns_;  // of the endpoints
  std::string secure_space_id_;
  v1::Challenge challenge_;
  v1::AttestResponse attested_;
  v1::SignedEnvelope grant_;
  absl::Status last_error_;
  absl::Status result_;
  bool used_installed_grant_ = false;
  // Of the marked block, once it is known that it has to be fetched.
  std::optional<std::chrono::microseconds> block_wait_;
  Timestamp told_of_block_;
  std::shared_ptr<const ChameleonBlock> block_;
  BlockOrigin block_origin_ = BlockOrigin::kNone;
};

std::string_view Name(Joiner::State state);

}  // namespace nark::receiver

#endif  // NARK_RECEIVER_JOINER_H_
