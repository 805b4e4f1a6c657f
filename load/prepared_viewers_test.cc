// From prepare's file to a grant: viewers made, written, read back, and served by the
// decision core of a key manager.

#include "load/prepared_viewers.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <string>

#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/object/envelope.h"
#include "common/object/testing.h"
#include "keymanager/testing.h"
#include "load/prepare.h"
#include "load/viewer_file.h"

namespace nark::load {
namespace {

class PreparedViewersTest : public testing::Test {
 protected:
  PreparedViewersTest() : session_(provider_.MakeSession()) {
    std::string pattern = std::string(std::getenv("TEST_TMPDIR")) + "/viewersXXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~PreparedViewersTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // A file of three viewers.
  std::string Write() {
    const std::string path = Path("viewers.load");
    const PrepareSettings settings{.first_adu = 100, .last_adu = 199, .stagger = 2};
    auto writer =
        ViewerFileWriter::Create(path, {session_.name(), session_.session().terms_identity(), 3});
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (uint64_t i = 0; i < 3; ++i) {
      auto viewer = MakeViewer(settings,
                               {.session = session_.session(),
                                .issuer = provider_.issuer,
                                .till = provider_.till,
                                .random = random_},
                               i, provider_.now());
      EXPECT_TRUE(viewer.ok()) << viewer.status();
      EXPECT_TRUE(writer->Add(*viewer).ok());
    }
    EXPECT_TRUE(writer->Finish().ok());
    return path;
  }
  absl::StatusOr<std::unique_ptr<PreparedViewers>> Load(const std::string& path) {
    return PreparedViewers::Load(path, session_.session(), provider_.now(), random_);
  }

  TestProvider provider_;
  TestSession session_;
  SystemRandom random_;
  ManualClock clock_{kTestTime};
  std::string folder_;
};

TEST_F(PreparedViewersTest, AKeyManagerServesThem) {
  keymanager::RecordedRefusals refusals;
  const auto authority = keymanager::MakeAuthority(
      provider_, {.clock = clock_, .random = random_, .refusals = refusals});
  auto viewers = Load(Write());
  ASSERT_TRUE(viewers.ok()) << viewers.status();
  ASSERT_EQ((*viewers)->count(), 3u);
  std::set<std::string> ids;
  for (size_t i = 0; i < 3; ++i) {
    const v1::GetChallengeRequest request = (*viewers)->ChallengeRequest(i);
    ids.insert(request.secure_space_id());
    const auto challenge = authority->GetChallenge(request);
    ASSERT_TRUE(challenge.ok()) << challenge.status();
    const auto attested = (*viewers)->Attest(i, challenge->challenge());
    ASSERT_TRUE(attested.ok()) << attested.status();
    const auto grant = authority->IssueGrant(attested->request);
    ASSERT_TRUE(grant.ok()) << grant.status() << " " << refusals.last_detail();
    EXPECT_TRUE(attested->pending->Check(grant->grant()).ok());

    // Another exchange of the same viewer has another key.
    const auto again = (*viewers)->Attest(i, challenge->challenge());
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(ReasonOf(again->pending->Check(grant->grant())), "GRANT_REFUSED");
    v1::SignedEnvelope changed = grant->grant();
    changed.mutable_payload()->back() ^= 1;
    EXPECT_EQ(ReasonOf(attested->pending->Check(changed)), "GRANT_REFUSED");
  }
  EXPECT_EQ(ids.size(), 3u);
}

TEST_F(PreparedViewersTest, VouchersAreStaggeredAndCostNothing) {
  std::vector<v1::Voucher> vouchers;
  ASSERT_TRUE(ReadViewerFile(
                  Write(), [](const ViewerFileHead&) { return absl::OkStatus(); },
                  [&](ViewerEntry viewer) {
                    auto verified =
                        VerifyVoucher(viewer.voucher, session_.session(), provider_.now());
                    EXPECT_TRUE(verified.ok()) << verified.status();
                    vouchers.push_back(verified->voucher);
                    return absl::OkStatus();
                  })
                  .ok());
  ASSERT_EQ(vouchers.size(), 3u);
  EXPECT_EQ(vouchers[0].policy().range().first(), 100u);
  EXPECT_EQ(vouchers[1].policy().range().first(), 101u);
  EXPECT_EQ(vouchers[1].policy().range().last(), 200u);
  EXPECT_EQ(vouchers[2].policy().range().first(), 100u);
  for (const v1::Voucher& voucher : vouchers) EXPECT_EQ(voucher.price().amount_minor(), 0u);
}

TEST_F(PreparedViewersTest, AVoucherOfASessionWithAPriceCostsNothingEither) {
  SessionOptions options;
  options.price_per_adu.emplace();
  options.price_per_adu->set_amount_minor(5);
  options.price_per_adu->set_currency("EUR");
  const TestSession priced = provider_.MakeSession(options);
  const auto viewer = MakeViewer({},
                                 {.session = priced.session(),
                                  .issuer = provider_.issuer,
                                  .till = provider_.till,
                                  .random = random_},
                                 0, provider_.now());
  ASSERT_TRUE(viewer.ok()) << viewer.status();
  const auto voucher = PayloadOf<v1::Voucher>(viewer->voucher, "the voucher");
  ASSERT_TRUE(voucher.ok());
  EXPECT_TRUE(voucher->has_price());
  EXPECT_EQ(voucher->price().amount_minor(), 0u);
}

TEST_F(PreparedViewersTest, TheFileIsSecretAndWhole) {
  const std::string path = Write();
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(PreparedViewersTest, AChangedOrCutFileIsRefused) {
  const Bytes good = *ReadFile(Write());
  const auto expect_refused = [&](ByteView bytes, size_t at) {
    ASSERT_TRUE(WriteFile(Path("bad"), bytes, FileMode::kSecret).ok());
    const auto viewers = Load(Path("bad"));
    EXPECT_EQ(viewers.status().code(), absl::StatusCode::kInvalidArgument)
        << at << ": " << viewers.status();
    EXPECT_NE(viewers.status().message().find("bad"), std::string::npos);
  };
  for (size_t at = 0; at < good.size(); at += at < 120 ? 1 : 97) {
    Bytes bad = good;
    bad[at] ^= static_cast<uint8_t>(1 << (at % 8));
    expect_refused(bad, at);
  }
  for (size_t size = 0; size < good.size(); size += 211) {
    expect_refused(ByteView(good).first(size), size);
  }
  Bytes longer = good;
  longer.push_back(0);
  expect_refused(longer, longer.size());
}

TEST_F(PreparedViewersTest, AnotherSessionIsRefused) {
  const std::string path = Write();
  const TestSession other = provider_.MakeSession();
  const auto viewers = PreparedViewers::Load(path, other.session(), provider_.now(), random_);
  EXPECT_EQ(viewers.status().code(), absl::StatusCode::kFailedPrecondition) << viewers.status();
}

TEST_F(PreparedViewersTest, AnUnfinishedFileHasNoName) {
  const std::string path = Path("half.load");
  {
    auto writer =
        ViewerFileWriter::Create(path, {session_.name(), session_.session().terms_identity(), 3});
    ASSERT_TRUE(writer.ok());
    EXPECT_TRUE(std::filesystem::exists(path + ".new"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

}  // namespace
}  // namespace nark::load
