#include "common/object/file.h"

#include <string>

#include "common/base/sanitized.h"
#include "common/base/status.h"
#include "common/object/deny_list.h"
#include "common/object/envelope.h"
#include "common/object/sender_file.h"
#include "common/object/session.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark {
namespace {

using ::testing::HasSubstr;

std::string PathOf(const std::string& name) { return ::testing::TempDir() + "/" + name; }

TEST(NarkFileTest, ComesBackAsWritten) {
  TestProvider provider;
  TestSession session = provider.MakeSession();
  const std::string path = PathOf("a.nark");
  ASSERT_TRUE(WriteNarkFile(path, SessionFile(session.descriptor()), FileMode::kPublic).ok());
  absl::StatusOr<v1::NarkFile> file = ReadNarkFile(path, v1::NarkFile::kSessionDescriptor);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Serialise(file->session_descriptor()), Serialise(session.descriptor()));
}

TEST(NarkFileTest, SaysWhatItIsInstead) {
  TestProvider provider;
  const std::string path = PathOf("b.nark");
  ASSERT_TRUE(
      WriteNarkFile(path, SessionFile(provider.MakeSession().descriptor()), FileMode::kPublic)
          .ok());
  absl::Status status = ReadNarkFile(path, v1::NarkFile::kVoucher).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr(path + " is a session descriptor, not a voucher"));
}

TEST(NarkFileTest, NamesAFileThatIsMissingOrEmpty) {
  absl::Status status = ReadNarkFile(PathOf("none.nark"), v1::NarkFile::kVoucher).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Std(status.message()), HasSubstr("none.nark"));
  ASSERT_TRUE(WriteFile(PathOf("empty.nark"), {}, FileMode::kPublic).ok());
  status = ReadNarkFile(PathOf("empty.nark"), v1::NarkFile::kVoucher).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Std(status.message()), HasSubstr("empty.nark is empty"));
}

TEST(NarkFileTest, IsRefusedAtEveryTruncation) {
  TestProvider provider;
  const std::string bytes = Serialise(SessionFile(provider.MakeSession().descriptor()));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(
        ParseNarkFile(AsBytes(bytes).first(size), "it", v1::NarkFile::kSessionDescriptor).ok())
        << size;
  }
  EXPECT_FALSE(ParseNarkFile(AsBytes(bytes + '\0'), "it", v1::NarkFile::kSessionDescriptor).ok());
}

constexpr size_t kStride = kSanitized ? 13 : 1;

// Calls `accepts` with each flip of one bit; none may be accepted.
template <typename Accepts>
void ExpectEveryFlipIsRefused(const v1::NarkFile& file, Accepts accepts) {
  std::string bytes = Serialise(file);
  ASSERT_TRUE(accepts(AsBytes(bytes)));
  for (size_t bit = 0; bit < bytes.size() * 8; bit += kStride) {
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    ASSERT_FALSE(accepts(AsBytes(bytes))) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
  }
}

TEST(FlippedBitTest, IsRefusedInASessionDescriptor) {
  TestProvider provider;
  ExpectEveryFlipIsRefused(SessionFile(provider.MakeSession().descriptor()), [](ByteView bytes) {
    absl::StatusOr<v1::NarkFile> file =
        ParseNarkFile(bytes, "it", v1::NarkFile::kSessionDescriptor);
    return file.ok() && VerifiedSession::Verify(file->session_descriptor(), kTestTime).ok();
  });
}

TEST(FlippedBitTest, IsRefusedInAVoucher) {
  TestProvider provider;
  TestSession session = provider.MakeSession();
  ExpectEveryFlipIsRefused(
      VoucherFile(provider.MakeVoucher(session, Digest{}, 0, 9)), [&](ByteView bytes) {
        absl::StatusOr<v1::NarkFile> file = ParseNarkFile(bytes, "it", v1::NarkFile::kVoucher);
        return file.ok() && VerifyVoucher(file->voucher(), session.session(), kTestTime).ok();
      });
}

TEST(FlippedBitTest, IsRefusedInADenyList) {
  TestProvider provider;
  v1::NarkFile list;
  *list.mutable_deny_list() = *MakeDenyList(provider.id(), {Digest{}}, provider.control, kTestTime,
                                            kTestTime + std::chrono::hours(1));
  ExpectEveryFlipIsRefused(list, [&](ByteView bytes) {
    absl::StatusOr<v1::NarkFile> file = ParseNarkFile(bytes, "it", v1::NarkFile::kDenyList);
    return file.ok() &&
           VerifyDenyList(file->deny_list(), provider.root.certificate, kTestTime).ok();
  });
}

// A sender file holds a whole descriptor, whose bits the test above flips; here
// every byte is damaged once, in a bit that moves on.
TEST(FlippedBitTest, IsRefusedInASenderFile) {
  TestProvider provider;
  std::string bytes = Serialise(SenderNarkFile(provider.MakeSession().sender_files.at(1)));
  for (size_t byte = 0; byte < bytes.size(); byte += kStride) {
    const char flip = static_cast<char>(1 << byte % 8);
    bytes[byte] ^= flip;
    absl::StatusOr<v1::NarkFile> file = ParseNarkFile(AsBytes(bytes), "it", v1::NarkFile::kSender);
    ASSERT_FALSE(file.ok() && OpenSenderFile(file->sender(), kTestTime).ok()) << byte;
    bytes[byte] ^= flip;
  }
}

}  // namespace
}  // namespace nark
