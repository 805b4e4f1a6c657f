#include "securespace/folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "common/base/storage.h"
#include "common/object/identity.h"
#include "common/object/testing.h"
#include "nark/v1/note.pb.h"
#include "tests/harness/swtpm.h"

namespace nark::securespace {
namespace {

class FolderTest : public testing::Test {
 protected:
  FolderTest() : clock_(kTestTime) {
    char path[] = "/tmp/nark-XXXXXX";
    root_ = mkdtemp(path);
    folder_ = root_ + "/space";
  }
  ~FolderTest() override {
    if (system(("rm -rf " + root_).c_str()) != 0) ADD_FAILURE() << root_ << " stays behind";
  }

  Digest Initialise() {
    absl::StatusOr<Digest> id = InitialiseFolder(folder_, random_);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(Digest{});
  }
  // A certificate for the folder's request, of another class if one is named, in a file.
  std::string Certify(const std::string& folder,
                      std::optional<v1::AssuranceClass> assurance = std::nullopt) {
    SecureSpaceRequest request = *ParseSecureSpaceRequestPem(*ReadFile(folder + "/request.pem"));
    if (assurance.has_value()) request.scope.assurance = *assurance;
    Certificate certificate = *CertifySecureSpace(
        request, *MakeRoot(CertificateRole::kIssuerRoot, "I", kTestTime), kTestTime);
    std::string path = root_ + "/certificate.pem";
    EXPECT_TRUE(WriteFile(path, AsBytes(certificate.ToPem()), FileMode::kPublic).ok());
    return path;
  }
  absl::StatusOr<std::unique_ptr<Folder>> Open() { return Folder::Open(folder_, clock_, random_); }

  std::string root_;
  std::string folder_;
  ManualClock clock_;
  SystemRandom random_;
};

TEST_F(FolderTest, BecomesASecureSpaceInThreeSteps) {
  Digest id = Initialise();
  {
    auto bare = Open();
    ASSERT_TRUE(bare.ok()) << bare.status();
    EXPECT_TRUE((*bare)->certificates().empty());
    EXPECT_EQ((*bare)->space().GetIdentity()->secure_space_id(), ToText(id));
  }
  ASSERT_TRUE(InstallCertificate(folder_, Certify(folder_)).ok());
  auto folder = Open();
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->certificates().size(), 1u);
  EXPECT_EQ((*folder)->space().GetIdentity()->certificates_size(), 1);
}

TEST_F(FolderTest, KeepsItsSecretsToItsOwner) {
  Initialise();
  struct stat info {};
  ASSERT_EQ(stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const char* name : {"attestation-key.pem", "note-key.pem", "state-key.pem", "sessions"}) {
    ASSERT_EQ(stat((folder_ + "/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(FolderTest, IsMadeOnce) {
  Initialise();
  EXPECT_TRUE(absl::IsAlreadyExists(InitialiseFolder(folder_, random_).status()));
}

TEST_F(FolderTest, AnInterruptedBeginningIsBegunAnew) {
  Initialise();
  ASSERT_EQ(unlink((folder_ + "/request.pem").c_str()), 0);
  EXPECT_TRUE(absl::IsNotFound(Open().status()));
  Initialise();
  EXPECT_TRUE(Open().ok());
}

TEST_F(FolderTest, BelongsToOneProcessAtATime) {
  Initialise();
  auto first = Open();
  ASSERT_TRUE(first.ok());
  absl::Status second = Open().status();
  EXPECT_TRUE(absl::IsUnavailable(second)) << second;
  EXPECT_NE(second.message().find(SocketPath(folder_)), absl::string_view::npos) << second;
  EXPECT_TRUE(absl::IsUnavailable(InstallCertificate(folder_, Certify(folder_))));
  first->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(FolderTest, IsLockedByWhatCannotBeRemovedUnderItsHolder) {
  Initialise();
  auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  std::filesystem::remove(folder_ + "/lock");
  EXPECT_TRUE(absl::IsUnavailable(Open().status())) << Open().status();
}

TEST_F(FolderTest, IsNobodyElses) {
  std::filesystem::create_directory(folder_);
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  EXPECT_TRUE(absl::IsPermissionDenied(InitialiseFolder(folder_, random_).status()));
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
  Initialise();
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  EXPECT_TRUE(absl::IsPermissionDenied(Open().status())) << Open().status();
}

TEST_F(FolderTest, IsNeverHardware) {
  Initialise();
  for (v1::AssuranceClass hardware : {v1::ASSURANCE_CLASS_CARD, v1::ASSURANCE_CLASS_TPM}) {
    EXPECT_TRUE(absl::IsInvalidArgument(InstallCertificate(folder_, Certify(folder_, hardware))));
  }
}

TEST_F(FolderTest, WithACounterMayBeCertifiedAsTpmOrLess) {
  harness::Swtpm tpm;
  ASSERT_TRUE(InitialiseFolder(folder_, random_, tpm.tcti()).ok());
  ASSERT_TRUE(InstallCertificate(folder_, Certify(folder_)).ok());
  EXPECT_EQ(Open().value()->space().GetIdentity()->assurance(), v1::ASSURANCE_CLASS_TPM);
  EXPECT_TRUE(absl::IsInvalidArgument(
      InstallCertificate(folder_, Certify(folder_, v1::ASSURANCE_CLASS_CARD))));
  ASSERT_TRUE(InstallCertificate(folder_, Certify(folder_, v1::ASSURANCE_CLASS_EMULATED)).ok());
  EXPECT_EQ(Open().value()->space().GetIdentity()->assurance(), v1::ASSURANCE_CLASS_EMULATED);
}

TEST_F(FolderTest, NeedsItsCounterAndNoOther) {
  harness::Swtpm tpm;
  ASSERT_TRUE(InitialiseFolder(folder_, random_, tpm.tcti()).ok());
  const std::string other = root_ + "/other";
  ASSERT_TRUE(InitialiseFolder(other, random_, tpm.tcti()).ok());
  const std::string path = folder_ + "/tpm";
  const Bytes good = *ReadFile(path);
  ASSERT_TRUE(WriteFile(path, *ReadFile(other + "/tpm"), FileMode::kPublic).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status())) << Open().status();
  ASSERT_EQ(unlink(path.c_str()), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status())) << Open().status();
  for (size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= static_cast<uint8_t>(1 << at % 8);
    ASSERT_TRUE(WriteFile(path, bad, FileMode::kPublic).ok());
    ASSERT_FALSE(Open().ok()) << "at " << at;
  }
  ASSERT_TRUE(WriteFile(path, good, FileMode::kPublic).ok());
  EXPECT_TRUE(Open().ok()) << Open().status();
}

TEST_F(FolderTest, AnInterruptedBeginningWithACounterIsBegunAnewWithoutOne) {
  harness::Swtpm tpm;
  ASSERT_TRUE(InitialiseFolder(folder_, random_, tpm.tcti()).ok());
  ASSERT_EQ(unlink((folder_ + "/request.pem").c_str()), 0);
  Initialise();
  ASSERT_TRUE(Open().ok()) << Open().status();
  EXPECT_EQ(Open().value()->counter(), nullptr);
}

TEST_F(FolderTest, RefusesTheCertificateOfAnother) {
  Initialise();
  std::string other = root_ + "/other";
  ASSERT_TRUE(InitialiseFolder(other, random_).ok());
  std::string path = Certify(other);
  absl::Status status = InstallCertificate(folder_, path);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find(path), absl::string_view::npos) << status;
  EXPECT_TRUE(Open().value()->certificates().empty());
}

TEST_F(FolderTest, RefusesACertificateThatIsNone) {
  Initialise();
  EXPECT_FALSE(InstallCertificate(folder_, folder_ + "/request.pem").ok());
  EXPECT_FALSE(InstallCertificate(folder_, folder_ + "/missing.pem").ok());
  SigningIdentity issuer = *MakeRoot(CertificateRole::kIssuerRoot, "I", kTestTime);
  std::string path = root_ + "/issuer.pem";
  ASSERT_TRUE(WriteFile(path, AsBytes(issuer.certificate.ToPem()), FileMode::kPublic).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(InstallCertificate(folder_, path)));
}

TEST_F(FolderTest, RefusesAnyFlippedBitOfItsSecrets) {
  Initialise();
  for (const char* name : {"attestation-key.pem", "note-key.pem", "state-key.pem", "sessions"}) {
    std::string path = folder_ + "/" + name;
    Bytes good = *ReadFile(path);
    for (size_t at = 0; at < good.size(); at += 3) {
      Bytes bad = good;
      bad[at] ^= static_cast<uint8_t>(1 << at % 8);
      ASSERT_TRUE(WriteFile(path, bad, FileMode::kSecret).ok());
      ASSERT_FALSE(Open().ok()) << name << " at " << at;
    }
    ASSERT_TRUE(WriteFile(path, good, FileMode::kSecret).ok());
  }
  EXPECT_TRUE(Open().ok());
}

TEST_F(FolderTest, SaysWhatIsMissing) {
  absl::Status none = Open().status();
  EXPECT_TRUE(absl::IsNotFound(none)) << none;
  EXPECT_NE(none.message().find("nark-securespace init"), absl::string_view::npos) << none;
  Initialise();
  for (const char* name : {"attestation-key.pem", "note-key.pem", "state-key.pem", "sessions"}) {
    std::string path = folder_ + "/" + name;
    Bytes good = *ReadFile(path);
    ASSERT_EQ(unlink(path.c_str()), 0);
    absl::Status status = Open().status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_NE(status.message().find(name), absl::string_view::npos) << status;
    ASSERT_TRUE(WriteFile(path, good, FileMode::kSecret).ok());
  }
}

}  // namespace
}  // namespace nark::securespace
