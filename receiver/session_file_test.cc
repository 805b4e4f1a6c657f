#include "receiver/session_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/status.h"
#include "common/object/file.h"
#include "common/object/provider.h"
#include "common/object/testing.h"

namespace nark::receiver {
namespace {

using ::testing::HasSubstr;

class SessionFileTest : public ::testing::Test {
 protected:
  SessionFileTest()
      : made_(provider_.MakeSession(Open())), path_(::testing::TempDir() + "/session_file.nark") {
    Write(made_.descriptor());
  }
  static SessionOptions Open() {
    SessionOptions options;
    options.open_to_senders = OpenToSenders::kYes;
    return options;
  }
  void Write(const v1::SignedEnvelope& descriptor) {
    ASSERT_TRUE(WriteNarkFile(path_, SessionFileOf(descriptor), FileMode::kPublic).ok());
  }
  static v1::NarkFile SessionFileOf(const v1::SignedEnvelope& descriptor) {
    return nark::SessionFile(descriptor);
  }
  NewSession WithSender(const VerifiedSession& session, uint32_t id) {
    return *AddSender(session, made_.secrets(), id, provider_.signers(), kTestTime);
  }

  // When it may be looked at again.
  Timestamp Later() { return now_ += SessionFile::kLookEvery; }

  Timestamp now_ = kTestTime;
  TestProvider provider_;
  TestSession made_;
  std::string path_;
};

TEST_F(SessionFileTest, GivesALaterDescriptorOnce) {
  SessionFile file(path_);
  EXPECT_FALSE(file.Poll(made_.session(), Later())->has_value());
  const NewSession later = WithSender(made_.session(), 7);
  Write(later.descriptor);
  auto found = file.Poll(made_.session(), Later());
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->has_value());
  EXPECT_NE((**found).FindSender(7), nullptr);
  EXPECT_FALSE(file.Poll(later.session, Later())->has_value());
}

TEST_F(SessionFileTest, SaysOnceWhatIsWrongAndGoesOn) {
  SessionFile file(path_);
  Write(provider_.MakeSession(Open()).descriptor());
  EXPECT_THAT(Std(file.Poll(made_.session(), Later()).status().message()),
              HasSubstr("another session"));
  EXPECT_TRUE(file.Poll(made_.session(), Later()).ok());
  ASSERT_TRUE(WriteFile(path_, AsBytes("half a fi"), FileMode::kPublic).ok());
  EXPECT_THAT(Std(file.Poll(made_.session(), Later()).status().message()), HasSubstr(path_));
  EXPECT_TRUE(file.Poll(made_.session(), Later()).ok());
  std::filesystem::remove(path_);
  EXPECT_FALSE(file.Poll(made_.session(), Later())->has_value());
  const NewSession later = WithSender(made_.session(), 7);
  Write(made_.descriptor());
  EXPECT_THAT(Std(file.Poll(later.session, Later()).status().message()), HasSubstr("earlier"));
  Write(later.descriptor);
  EXPECT_TRUE(file.Poll(made_.session(), Later())->has_value());
}

TEST_F(SessionFileTest, LooksOnceASecondAndAgainLaterForWhatCouldNotBeUsed) {
  SessionFile file(path_);
  EXPECT_FALSE(file.Poll(made_.session(), Later())->has_value());
  Write(WithSender(made_.session(), 7).descriptor);
  EXPECT_FALSE(file.Poll(made_.session(), now_ + std::chrono::milliseconds(999))->has_value());
  EXPECT_TRUE(file.Poll(made_.session(), Later())->has_value());
  file.TryAgain(now_);
  EXPECT_FALSE(file.Poll(made_.session(), Later())->has_value());
  now_ += SessionFile::kTryAgainAfter;
  EXPECT_TRUE(file.Poll(made_.session(), now_)->has_value());
  EXPECT_FALSE(file.Poll(made_.session(), Later())->has_value());
}

}  // namespace
}  // namespace nark::receiver
