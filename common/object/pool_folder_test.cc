#include "common/object/pool_folder.h"

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/base/file_operations.h"
#include "common/base/status.h"
#include "common/base/storage.h"
#include "common/crypto/hash.h"
#include "common/object/provider.h"
#include "common/object/sealed_session.h"
#include "common/object/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace nark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Fails the operation with the given number: before it has happened or after, once or from
// then on, as where the process was killed.
class FailingOperations final : public FileOperations {
 public:
  enum class When { kBefore, kAfter };
  enum class Until { kNext, kEver };
  FailingOperations(int number, When when, Until until)
      : number_(number), when_(when), until_(until) {}

  bool failed() const { return count_ > number_; }

  absl::StatusOr<int> Create(const std::string& path, FileMode mode) override {
    const bool fails = Fails();
    if (fails && when_ == When::kBefore) return Broken();
    absl::StatusOr<int> file = real_.Create(path, mode);
    if (!fails || !file.ok()) return file;
    real_.Close(*file);
    return Broken();
  }
  absl::StatusOr<int> OpenAppend(const std::string& path, FileMode mode) override {
    return real_.OpenAppend(path, mode);
  }
  absl::StatusOr<size_t> Write(int file, const std::string& path, ByteView bytes) override {
    if (!Fails()) return real_.Write(file, path, bytes);
    // No more space.
    if (when_ == When::kAfter) (void)real_.Write(file, path, bytes.first(bytes.size() / 2));
    return Broken();
  }
  absl::Status Sync(int file, const std::string& path) override {
    return Do([&] { return real_.Sync(file, path); });
  }
  absl::Status SyncContent(int file, const std::string& path) override {
    return Do([&] { return real_.SyncContent(file, path); });
  }
  void Close(int file) override { real_.Close(file); }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return Do([&] { return real_.Rename(from, to); });
  }
  absl::Status Unlink(const std::string& path) override {
    return Do([&] { return real_.Unlink(path); });
  }
  absl::Status SyncFolder(const std::string& folder) override {
    return Do([&] { return real_.SyncFolder(folder); });
  }
  absl::StatusOr<Bytes> Read(const std::string& path, size_t limit_bytes) override {
    return real_.Read(path, limit_bytes);
  }

 private:
  bool Fails() {
    const int now = count_++;
    return until_ == Until::kEver ? now >= number_ : now == number_;
  }
  absl::Status Broken() const { return absl::InternalError("broken"); }
  template <typename Operation>
  absl::Status Do(Operation operation) {
    if (!Fails()) return operation();
    // Of all that would follow a kill, nothing happens.
    if (when_ == When::kAfter && count_ == number_ + 1) (void)operation();
    return Broken();
  }

  FileOperations& real_ = PosixFileOperations();
  const int number_;
  const When when_;
  const Until until_;
  int count_ = 0;
};

class PoolFolderTest : public ::testing::Test {
 protected:
  PoolFolderTest() {
    folder_ = ::testing::TempDir() + "/pool-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    absl::Status written = WritePoolFolder(folder_, Pool(), provider_.pool_role, kTestTime);
    EXPECT_TRUE(written.ok()) << written;
  }

  PoolFolder Pool() { return provider_.MakePool(); }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  absl::Status Load() { return LoadPoolFolder(folder_, kTestTime).status(); }

  TestProvider provider_;
  std::string folder_;
};

TEST_F(PoolFolderTest, ComesBackAsWritten) {
  absl::StatusOr<PoolFolder> pool = LoadPoolFolder(folder_, kTestTime);
  ASSERT_TRUE(pool.ok()) << pool.status();
  EXPECT_EQ(pool->root.der(), provider_.root.certificate.der());
  ASSERT_EQ(pool->hpke_keys.size(), 1u);
  EXPECT_EQ(pool->hpke_keys[0].public_key(), provider_.pool_keys[0].public_key());
  EXPECT_EQ(pool->hpke_keys_made, std::vector<Timestamp>{kTestTime});
  ASSERT_EQ(pool->challenge_keys.size(), 1u);
  EXPECT_TRUE(pool->challenge_keys[0].key == provider_.challenge_keys[0].key);
  EXPECT_EQ(pool->challenge_keys[0].made, kTestTime);
  EXPECT_EQ(pool->challenge_keys[0].makes_from, kTestTime);
  EXPECT_EQ(pool->signing.Chain().size(), 2u);
  EXPECT_EQ(pool->tls_certificates_pem, provider_.key_manager_tls.certificate.ToPem());
}

TEST_F(PoolFolderTest, HoldsSeveralKeysTheOldestFirst) {
  PoolFolder pool = Pool();
  pool.hpke_keys.push_back(*HpkePrivateKey::Generate(provider_.random()));
  pool.hpke_keys_made.push_back(kTestTime - std::chrono::hours(1));
  SecretBytes key(32);
  ASSERT_TRUE(provider_.random().Fill(key.RevealMutable()).ok());
  const Timestamp later = kTestTime + std::chrono::minutes(10);
  pool.challenge_keys.insert(pool.challenge_keys.begin(),
                             {.key = key.Clone(), .made = later, .makes_from = later});
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  absl::StatusOr<PoolFolder> loaded = LoadPoolFolder(folder_, kTestTime);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->hpke_keys.size(), 2u);
  EXPECT_EQ(loaded->hpke_keys[1].public_key(), provider_.pool_keys[0].public_key());
  ASSERT_EQ(loaded->challenge_keys.size(), 2u);
  EXPECT_TRUE(loaded->challenge_keys[1].key == key);
  EXPECT_EQ(loaded->challenge_keys[1].makes_from, later);
}

TEST_F(PoolFolderTest, RemembersWhatItRevoked) {
  PoolFolder pool = Pool();
  const Digest own = pool.signing.certificate.public_key().id();
  pool.revoked = {{.key_id = Digest{}, .not_after = kTestTime}, {.key_id = own, .not_after = {}}};
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  absl::StatusOr<PoolFolder> loaded = LoadPoolFolder(folder_, kTestTime);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->revoked.size(), 2u);
  EXPECT_EQ(loaded->revoked[0].key_id, Digest{});
  EXPECT_EQ(loaded->revoked[0].not_after, kTestTime);
  EXPECT_TRUE(loaded->RevokesItself());

  pool.revoked.pop_back();
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  EXPECT_FALSE(LoadPoolFolder(folder_, kTestTime)->RevokesItself());

  pool.revoked = {{.key_id = Digest{2}, .not_after = {}}, {.key_id = Digest{1}, .not_after = {}}};
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  EXPECT_THAT(Std(Load().message()), HasSubstr("in order, each once"));
}

// They are secrets that nothing needs any more.
TEST_F(PoolFolderTest, RemovesKeysThatItNoLongerLists) {
  const size_t files = Names().size();
  PoolFolder pool = Pool();
  pool.hpke_keys[0] = *HpkePrivateKey::Generate(provider_.random());
  ASSERT_TRUE(provider_.random().Fill(pool.challenge_keys[0].key.RevealMutable()).ok());
  ASSERT_TRUE(WriteFile(folder_ + "/notes.key", AsBytes("x"), FileMode::kPublic).ok());
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  EXPECT_EQ(Names().size(), files + 1);
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/notes.key"));
  EXPECT_TRUE(Load().ok());
}

// Everything is new but the root, as after a rotation of everything.
TEST_F(PoolFolderTest, HoldsTheOldOrTheNewWhereverWritingEnds) {
  using Operations = FailingOperations;
  const auto written_ids = [](const PoolFolder& pool) {
    return std::vector<Digest>{
        ChallengeKeyId(pool.challenge_keys[0].key), PoolKeyId(pool.hpke_keys[0].public_key()),
        pool.signing.certificate.public_key().id(), Sha256(AsBytes(pool.tls_certificates_pem)),
        Sha256(pool.tls_key_pem.Reveal())};
  };
  const auto next = [&] {
    PoolFolder pool = Pool();
    pool.hpke_keys[0] = *HpkePrivateKey::Generate(provider_.random());
    EXPECT_TRUE(provider_.random().Fill(pool.challenge_keys[0].key.RevealMutable()).ok());
    const auto tls = MakeTlsServer("keymanager.nark", provider_.tls_ca, kTestTime);
    pool.tls_certificates_pem = tls->certificate.ToPem();
    pool.tls_key_pem = *tls->key.ToPem();
    return pool;
  };
  const size_t files = Names().size();
  int failures = 0, came = 0;
  for (const auto when : {Operations::When::kBefore, Operations::When::kAfter}) {
    for (const auto until : {Operations::Until::kNext, Operations::Until::kEver}) {
      for (int number = 0;; ++number) {
        SCOPED_TRACE(testing::Message() << "operation " << number << ", " << static_cast<int>(when)
                                        << static_cast<int>(until));
        absl::StatusOr<PoolFolder> before = LoadPoolFolder(folder_, kTestTime);
        ASSERT_TRUE(before.ok()) << before.status();
        const PoolFolder pool = next();
        Operations operations(number, when, until);
        const absl::Status status =
            WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime, operations);
        if (!operations.failed()) {
          EXPECT_TRUE(status.ok()) << status;
          break;
        }
        ++failures;
        const absl::StatusOr<PoolFolder> after = LoadPoolFolder(folder_, kTestTime);
        ASSERT_TRUE(after.ok()) << after.status();
        const bool is_new = written_ids(*after) == written_ids(pool);
        came += is_new;
        EXPECT_TRUE(is_new || written_ids(*after) == written_ids(*before));
        EXPECT_TRUE(is_new || !status.ok());
        // Writing goes on, and takes away what was left.
        const PoolFolder later = next();
        ASSERT_TRUE(WritePoolFolder(folder_, later, provider_.pool_role, kTestTime).ok());
        EXPECT_EQ(written_ids(*LoadPoolFolder(folder_, kTestTime)), written_ids(later));
        EXPECT_EQ(Names().size(), files) << testing::PrintToString(Names());
      }
    }
  }
  EXPECT_GT(failures, 4 * 40);
  EXPECT_GT(came, 0);
}

// Whoever reads while another writes, and finds a file gone, reads what came instead.
TEST_F(PoolFolderTest, IsReadWhileItIsWritten) {
  std::vector<PoolFolder> pools;
  for (int i = 0; i < 50; ++i) pools.push_back(Pool());
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (const PoolFolder& pool : pools) {
      EXPECT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
    }
    done = true;
  });
  do {
    EXPECT_TRUE(Load().ok()) << Load();
  } while (!done);
  writer.join();
}

TEST_F(PoolFolderTest, NamesItsSigningCertificate) {
  const absl::StatusOr<std::string> path = SigningCertificateFile(folder_);
  ASSERT_TRUE(path.ok()) << path.status();
  const absl::StatusOr<PoolFolder> pool = LoadPoolFolder(folder_, kTestTime);
  EXPECT_TRUE(ToText(*ReadFile(*path)).starts_with(pool->signing.certificate.ToPem()));
  EXPECT_EQ(SigningCertificateFile(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

// As where a folder was copied over an older one.
TEST_F(PoolFolderTest, NamesFilesThatItNoLongerLists) {
  ASSERT_EQ(*UnlistedFiles(folder_), std::vector<std::string>());
  for (const std::string name :
       {"tls-0123abcd.key.new", "signing-0123abcd.key", "challenge-0123abcd-89ef4567.pkcs11",
        "notes.key", "hpke-notes.pem", "root.pem.new"}) {
    ASSERT_TRUE(WriteFile(folder_ + "/" + name, AsBytes("x"), FileMode::kSecret).ok());
  }
  EXPECT_THAT(*UnlistedFiles(folder_), ElementsAre("challenge-0123abcd-89ef4567.pkcs11",
                                                   "signing-0123abcd.key", "tls-0123abcd.key.new"));
  ASSERT_TRUE(WritePoolFolder(folder_, Pool(), provider_.pool_role, kTestTime).ok());
  EXPECT_EQ(*UnlistedFiles(folder_), std::vector<std::string>());
  EXPECT_EQ(UnlistedFiles(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PoolFolderTest, RemembersWhoseItIs) {
  EXPECT_EQ(LoadPoolFolder(folder_, kTestTime)->kind, PoolFolderKind::kPool);
  PoolFolder pool = Pool();
  pool.kind = PoolFolderKind::kReplica;
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  EXPECT_EQ(LoadPoolFolder(folder_, kTestTime)->kind, PoolFolderKind::kReplica);
}

TEST_F(PoolFolderTest, KeepsItsFilesToItsOwner) {
  for (const std::string& name : Names()) {
    auto mode = std::filesystem::status(folder_ + "/" + name).permissions();
    EXPECT_EQ(static_cast<int>(mode), 0600) << name;
  }
}

TEST_F(PoolFolderTest, IgnoresFilesThatAreNotListed) {
  ASSERT_TRUE(WriteFile(folder_ + "/hpke-notes.pem", AsBytes("x"), FileMode::kPublic).ok());
  EXPECT_TRUE(Load().ok());
}

TEST_F(PoolFolderTest, IsRefusedWhereAFileIsMissing) {
  for (const std::string& name : Names()) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::rename(path, path + ".away");
    absl::Status status = Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(Std(status.message()), HasSubstr(name));
    std::filesystem::rename(path + ".away", path);
  }
  EXPECT_TRUE(Load().ok());
}

TEST_F(PoolFolderTest, IsRefusedWhereAByteOfAnyFileIsDamaged) {
  for (const std::string& name : Names()) {
    const std::string path = folder_ + "/" + name;
    const Bytes good = *ReadFile(path);
    // Every third byte, in a bit that moves on.
    for (size_t byte = 0; byte < good.size(); byte += 3) {
      Bytes bad = good;
      bad[byte] ^= static_cast<uint8_t>(1 << byte % 8);
      std::FILE* file = std::fopen(path.c_str(), "wb");
      std::fwrite(bad.data(), 1, bad.size(), file);
      std::fclose(file);
      absl::Status status = Load();
      ASSERT_FALSE(status.ok()) << name << ", byte " << byte;
      ASSERT_THAT(Std(status.message()), HasSubstr(name));
    }
    ASSERT_TRUE(WriteFile(path, good, FileMode::kSecret).ok());
  }
  EXPECT_TRUE(Load().ok());
}

TEST_F(PoolFolderTest, IsRefusedWithAManifestOfAnotherProvider) {
  TestProvider other(kTestTime, 2);
  ASSERT_TRUE(WritePoolFolder(folder_, Pool(), other.pool_role, kTestTime).ok());
  EXPECT_EQ(Load().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(PoolFolderTest, IsRefusedWithAnotherPoolsSigningKey) {
  TestProvider other(kTestTime, 2);
  PoolFolder pool = Pool();
  pool.signing = other.MakeReplica();
  ASSERT_TRUE(WritePoolFolder(folder_, pool, provider_.pool_role, kTestTime).ok());
  EXPECT_EQ(Load().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Std(Load().message()), HasSubstr("/signing-"));
}

TEST_F(PoolFolderTest, IsRefusedOnceItsCertificateHasExpired) {
  const Timestamp later = provider_.key_manager.certificate.not_after() + std::chrono::hours(2);
  EXPECT_EQ(LoadPoolFolder(folder_, later).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(PoolFolderTest, NamesAFolderThatIsNone) {
  absl::Status status = LoadPoolFolder(folder_ + "/none", kTestTime).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Std(status.message()), HasSubstr("none/manifest.nark"));
}

}  // namespace
}  // namespace nark
