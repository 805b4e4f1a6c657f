// Keys in SoftHSM 2 against keys in memory.

#include "common/pkcs11/token_keys.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status.h"
#include "common/crypto/hash.h"
#include "common/pkcs11/keys.h"
#include "common/pkcs11/pin.h"
#include "tests/harness/process.h"
#include "tests/harness/soft_hsm.h"

namespace nark::pkcs11 {
namespace {

using harness::SoftHsm;

SecretBytes Secret(std::string_view hex) { return SecretBytes::CopyOf(FromHex(hex)); }

class TokenKeysTest : public testing::Test {
 protected:
  std::unique_ptr<TokenKeys> Open(Access access = Access::kWrite) {
    return OpenWith(SecretBytes::CopyOf(AsBytes(hsm_.pin())), access);
  }
  std::unique_ptr<TokenKeys> OpenWith(SecretBytes pin, Access access = Access::kWrite) {
    auto keys = TokenKeys::Create(SoftHsm::module(), std::move(pin), access);
    EXPECT_TRUE(keys.ok()) << keys.status();
    return *std::move(keys);
  }
  // Under the seal of a recipient; opens it.
  static std::string OpenedBy(const HpkePrivateKey& recipient) {
    SystemRandom random;
    const auto sealed = HpkeSeal(recipient.public_key(), AsBytes("info"), AsBytes("aad"),
                                 AsBytes("content"), random);
    EXPECT_TRUE(sealed.ok()) << sealed.status();
    const auto opened =
        HpkeOpen(recipient, sealed->enc, AsBytes("info"), AsBytes("aad"), sealed->ciphertext);
    return opened.ok() ? ToText(opened->Reveal()) : opened.status().ToString();
  }

  SoftHsm hsm_{{"one", "the other"}};
  const KeyPlace one_{.token = "one", .owner = "nark-test"};
  SystemRandom random_;
};

// RFC 9180, appendix A.1.1.
TEST_F(TokenKeysTest, OpensTheVectorOfRfc9180AsAKeyInMemoryDoes) {
  auto memory = HpkePrivateKey::FromRaw(
      Secret("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"));
  ASSERT_TRUE(memory.ok());
  const Bytes enc = FromHex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
  const Bytes info = FromHex("4f6465206f6e2061204772656369616e2055726e");
  const Bytes aad = FromHex("436f756e742d30");
  const Bytes ciphertext = FromHex(
      "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
      "6d8770ac83d07bea87e13c512a");
  const auto keys = Open();
  const auto token = keys->Import(one_, *memory);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(token->raw().empty());
  EXPECT_EQ(ToHex(token->public_key()),
            "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
  for (const HpkePrivateKey* key :
       std::initializer_list<const HpkePrivateKey*>{&*memory, &*token}) {
    const auto opened = HpkeOpen(*key, enc, info, aad, ciphertext);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(ToHex(opened->Reveal()),
              "4265617574792069732074727574682c20747275746820626561757479");
  }
  Bytes broken = ciphertext;
  broken[3] ^= 1;
  EXPECT_EQ(HpkeOpen(*token, enc, info, aad, broken).status(),
            HpkeOpen(*memory, enc, info, aad, broken).status());
  // A point of small order.
  EXPECT_EQ(HpkeOpen(*token, Bytes(32, 0), info, aad, ciphertext).status(),
            HpkeOpen(*memory, Bytes(32, 0), info, aad, ciphertext).status());
  // Twice is once.
  const auto again = keys->Import(one_, *memory);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->external()->uri(), token->external()->uri());
}

TEST_F(TokenKeysTest, MakesKeysThatAreFoundAgainByTheirUris) {
  std::string hpke_uri, signing_uri, mac_uri;
  X25519PublicKey hpke_half;
  std::optional<PublicKey> signing_half;
  Digest mac{};
  {
    const auto keys = Open();
    const auto hpke = keys->MakeHpkeKey(one_);
    const auto signing = keys->MakeSigningKey(one_);
    const auto challenge = keys->MakeMacKey(one_, random_);
    ASSERT_TRUE(hpke.ok() && signing.ok() && challenge.ok())
        << hpke.status() << signing.status() << challenge.status();
    hpke_uri = hpke->external()->uri();
    hpke_half = hpke->public_key();
    signing_uri = signing->external()->uri();
    signing_half = signing->public_key();
    mac_uri = (*challenge)->uri();
    mac = (*challenge)->Mac({AsBytes("a"), AsBytes("b")}).value();
    EXPECT_EQ(signing->ToPem().status().code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(hpke_uri.starts_with("pkcs11:token=one;object=nark-test-hpke-")) << hpke_uri;
  const auto keys = Open(Access::kRead);
  const auto hpke = keys->FindHpkeKey(hpke_uri);
  const auto signing = keys->FindSigningKey(signing_uri, *signing_half);
  const auto challenge = keys->FindMacKey(mac_uri);
  ASSERT_TRUE(hpke.ok() && signing.ok() && challenge.ok())
      << hpke.status() << signing.status() << challenge.status();
  EXPECT_EQ(hpke->public_key(), hpke_half);
  EXPECT_EQ(OpenedBy(*hpke), "content");
  const auto signature = signing->Sign({AsBytes("mess"), AsBytes("age")});
  ASSERT_TRUE(signature.ok()) << signature.status();
  EXPECT_TRUE(signing_half->Verify({AsBytes("message")}, *signature).ok());
  EXPECT_EQ((*challenge)->Mac({AsBytes("ab")}).value(), mac);
  // Sessions that only read make nothing.
  EXPECT_FALSE(keys->MakeHpkeKey(one_).ok());
  // One kind is not taken for another.
  EXPECT_FALSE(keys->FindHpkeKey(signing_uri).ok());
  EXPECT_FALSE(keys->FindMacKey(hpke_uri).ok());
  EXPECT_FALSE(keys->FindSigningKey(signing_uri, PrivateKey::Generate()->public_key()).ok());
}

TEST_F(TokenKeysTest, ImportsWhatDoesTheSame) {
  const auto keys = Open();
  const auto signing = PrivateKey::Generate();
  const auto signer = keys->Import(one_, *signing);
  ASSERT_TRUE(signer.ok()) << signer.status();
  const auto signature = signer->Sign({AsBytes("message")});
  ASSERT_TRUE(signature.ok());
  EXPECT_TRUE(signing->public_key().Verify({AsBytes("message")}, *signature).ok());
  const SecretBytes mac_key = SecretBytes::CopyOf(Bytes(32, 7));
  const auto mac = keys->Import(one_, mac_key, Sha256(AsBytes("its id")));
  ASSERT_TRUE(mac.ok()) << mac.status();
  EXPECT_EQ((*mac)->Mac({AsBytes("x")}).value(), HmacSha256(mac_key, {AsBytes("x")}));
}

// What the token holds of a key is not to be had from it, nor in its files.
TEST_F(TokenKeysTest, KeysDoNotLeaveTheToken) {
  const auto keys = Open();
  ASSERT_TRUE(keys->MakeHpkeKey(one_).ok());
  const auto memory = HpkePrivateKey::Generate(random_);
  ASSERT_TRUE(keys->Import(one_, *memory).ok());
  const auto module = Module::Load(SoftHsm::module());
  ASSERT_TRUE(module.ok());
  const auto token =
      Token::Open(*module, "one", SecretBytes::CopyOf(AsBytes(hsm_.pin())), Access::kRead);
  ASSERT_TRUE(token.ok()) << token.status();
  size_t found = 0;
  const absl::Status read = (*token)->Run("reading", [&](const Session& session) {
    Template searched;
    searched.Add(CKA_CLASS, CK_ULONG{CKO_PRIVATE_KEY});
    std::vector<CK_OBJECT_HANDLE> objects;
    const CK_RV result = FindObjects(session, searched, objects);
    found = objects.size();
    for (const CK_OBJECT_HANDLE object : objects) {
      Bytes value;
      EXPECT_EQ(ReadAttribute(session, object, CKA_VALUE, value), CKR_ATTRIBUTE_SENSITIVE);
    }
    return result;
  });
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(found, 2u);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(hsm_.folder())) {
    if (!entry.is_regular_file()) continue;
    const std::string content = harness::ReadAll(entry.path());
    EXPECT_EQ(content.find(AsText(memory->raw().Reveal())), content.npos) << entry.path();
  }
}

TEST_F(TokenKeysTest, RefusesAKeyThatCouldBeReadOut) {
  const auto keys = Open();
  const auto module = Module::Load(SoftHsm::module());
  const auto token =
      Token::Open(*module, "one", SecretBytes::CopyOf(AsBytes(hsm_.pin())), Access::kWrite);
  ASSERT_TRUE(token.ok());
  const KeyUri uri = {.token = "one",
                      .object = "loose",
                      .key_class = KeyClass::kSecret,
                      .id = Sha256(AsBytes("loose"))};
  ASSERT_TRUE((*token)
                  ->Run("making",
                        [&](const Session& session) {
                          Template put;
                          put.Add(CKA_TOKEN, true)
                              .Add(CKA_CLASS, CK_ULONG{CKO_SECRET_KEY})
                              .Add(CKA_KEY_TYPE, CK_ULONG{CKK_GENERIC_SECRET})
                              .Add(CKA_ID, uri.id)
                              .Add(CKA_SIGN, true)
                              .Add(CKA_SENSITIVE, true)
                              .Add(CKA_EXTRACTABLE, true)
                              .Add(CKA_VALUE, Bytes(32, 1));
                          CK_OBJECT_HANDLE object = 0;
                          return session.functions.C_CreateObject(session.handle, put.data(),
                                                                  put.size(), &object);
                        })
                  .ok());
  const auto refused = keys->FindMacKey(uri.ToString());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.status().message().find("could be read out"), absl::string_view::npos);
}

TEST_F(TokenKeysTest, AWrongPinIsSaidAndTriedOnce) {
  const auto keys = OpenWith(SecretBytes::CopyOf(AsBytes("not the pin")));
  EXPECT_EQ(keys->MakeHpkeKey(one_).status().code(), absl::StatusCode::kUnauthenticated);
  // It is the PIN from now on, which nobody notices who does not try it again.
  {
    const auto token = Token::Open(*Module::Load(SoftHsm::module()), "one",
                                   SecretBytes::CopyOf(AsBytes(hsm_.pin())), Access::kWrite);
    ASSERT_TRUE(token.ok()) << token.status();
    std::string before = hsm_.pin(), after = "not the pin";
    const auto bytes = [](std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); };
    const absl::Status changed = (*token)->Run("changing", [&](const Session& session) {
      return session.functions.C_SetPIN(session.handle, bytes(before), before.size(), bytes(after),
                                        after.size());
    });
    ASSERT_TRUE(changed.ok()) << changed;
  }
  for (int i = 0; i < 6; ++i) {
    const auto refused = keys->MakeHpkeKey(one_);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnauthenticated) << refused.status();
    EXPECT_NE(refused.status().message().find("refuses the PIN"), absl::string_view::npos);
    EXPECT_EQ(refused.status().message().find("not the pin"), absl::string_view::npos);
  }
  EXPECT_TRUE(OpenWith(SecretBytes::CopyOf(AsBytes("not the pin")))->MakeHpkeKey(one_).ok());
}

TEST_F(TokenKeysTest, AMissingTokenModuleOrKeyIsNamed) {
  const auto keys = Open();
  const auto missing = keys->MakeHpkeKey({.token = "third", .owner = "nark-test"});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find("'third'; it has "), absl::string_view::npos)
      << missing.status();
  EXPECT_EQ(TokenKeys::Create("/no/such/module.so", {}, Access::kRead).status().code(),
            absl::StatusCode::kNotFound);
  const KeyUri uri = {.token = "one", .object = "gone", .key_class = KeyClass::kPrivate, .id = {}};
  const auto gone = keys->FindHpkeKey(uri.ToString());
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(gone.status().message().find("gone"), absl::string_view::npos) << gone.status();
}

TEST_F(TokenKeysTest, ATokenThatIsGoneIsUnavailableAndWorksOnceItIsBack) {
  const auto keys = Open();
  const auto hpke = keys->MakeHpkeKey(one_);
  const auto signing = keys->MakeSigningKey(one_);
  const auto mac = keys->MakeMacKey(one_, random_);
  ASSERT_TRUE(hpke.ok() && signing.ok() && mac.ok());
  ASSERT_EQ(OpenedBy(*hpke), "content");
  hsm_.Remove();
  for (int i = 0; i < 3; ++i) {
    const auto agreed = X25519(*hpke, HpkePrivateKey::Generate(random_)->public_key());
    EXPECT_EQ(agreed.status().code(), absl::StatusCode::kUnavailable) << agreed.status();
    EXPECT_EQ(signing->Sign({AsBytes("m")}).status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ((*mac)->Mac({AsBytes("m")}).status().code(), absl::StatusCode::kUnavailable);
  }
  hsm_.PutBack();
  EXPECT_TRUE(harness::Eventually([&] { return OpenedBy(*hpke) == "content"; }));
  EXPECT_TRUE(signing->Sign({AsBytes("m")}).ok());
  EXPECT_TRUE((*mac)->Mac({AsBytes("m")}).ok());
}

TEST_F(TokenKeysTest, ManyThreadsShareATokenThatComesAndGoes) {
  const auto keys = Open();
  const auto hpke = keys->MakeHpkeKey(one_);
  const auto signing = keys->MakeSigningKey(one_);
  const auto mac = keys->MakeMacKey(one_, random_);
  ASSERT_TRUE(hpke.ok() && signing.ok() && mac.ok());
  const Digest expected = (*mac)->Mac({AsBytes("m")}).value();
  std::atomic<int> wrong{0}, done{0}, lost{0};
  std::atomic<bool> end{false};
  const auto use = [&] {
    while (!end) {
      const auto code = (*mac)->Mac({AsBytes("m")});
      const auto signature = signing->Sign({AsBytes("m")});
      const auto agreed = X25519(*hpke, hpke->public_key());
      for (const absl::Status& status : {code.status(), signature.status(), agreed.status()}) {
        if (absl::IsUnavailable(status)) ++lost;
        if (!status.ok() && !absl::IsUnavailable(status)) ++wrong;
      }
      if (code.ok() && *code != expected) ++wrong;
      if (signature.ok() && !signing->public_key().Verify({AsBytes("m")}, *signature).ok()) ++wrong;
      if (code.ok() && signature.ok() && agreed.ok()) ++done;
    }
  };
  std::vector<std::thread> threads;
  // More than there are sessions.
  for (int i = 0; i < 40; ++i) threads.emplace_back(use);
  const auto more = [](const std::atomic<int>& count) {
    return harness::Eventually([&, from = count.load()] { return count > from + 50; });
  };
  EXPECT_TRUE(more(done));
  hsm_.Remove();
  EXPECT_TRUE(more(lost));
  hsm_.PutBack();
  EXPECT_TRUE(more(done));
  end = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(OpenedBy(*hpke), "content");
}

TEST_F(TokenKeysTest, DestroysWhatNobodyKeeps) {
  const auto keys = Open();
  const auto kept = keys->MakeHpkeKey(one_);
  const auto dropped = keys->MakeHpkeKey(one_);
  const auto mac = keys->MakeMacKey(one_, random_);
  const auto others = keys->MakeSigningKey({.token = "one", .owner = "nark-testing"});
  ASSERT_TRUE(kept.ok() && dropped.ok() && mac.ok() && others.ok());
  const auto destroyed = keys->DestroyOthers(one_, {kept->external()->id()});
  ASSERT_TRUE(destroyed.ok()) << destroyed.status();
  EXPECT_EQ(*destroyed, 2);
  EXPECT_EQ(OpenedBy(*kept), "content");
  EXPECT_TRUE(others->Sign({AsBytes("m")}).ok());
  EXPECT_EQ(keys->FindHpkeKey(dropped->external()->uri()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(keys->FindMacKey((*mac)->uri()).status().code(), absl::StatusCode::kNotFound);
  // Handles that are held meanwhile do not open something else.
  EXPECT_FALSE((*mac)->Mac({AsBytes("m")}).ok());
}

TEST(ReadPinTest, TakesAFileOfTheOwnerOnly) {
  char pattern[] = "/tmp/nark-pin-XXXXXX";
  const std::string folder = mkdtemp(pattern);
  const std::string path = folder + "/pin";
  harness::WriteAll(path, "12 34\n");
  std::filesystem::permissions(path, std::filesystem::perms(0640));
  const auto refused = ReadPin(path);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.status().message().find("chmod 0600"), absl::string_view::npos);
  setenv("CREDENTIALS_DIRECTORY", folder.c_str(), 1);
  EXPECT_TRUE(ReadPin(path).ok());
  unsetenv("CREDENTIALS_DIRECTORY");
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  const auto pin = ReadPin(path);
  ASSERT_TRUE(pin.ok()) << pin.status();
  EXPECT_EQ(AsText(pin->Reveal()), "12 34");
  harness::WriteAll(path, "\n");
  EXPECT_EQ(ReadPin(path).status().code(), absl::StatusCode::kInvalidArgument);
  std::filesystem::remove_all(folder);
}

TEST(KeyUriTest, ParsesWhatItWritesAndNothingElse) {
  const KeyUri uri = {.token = "a token; with 100%",
                      .object = "nark-0a-hpke-1",
                      .key_class = KeyClass::kSecret,
                      .id = Sha256(AsBytes("x"))};
  const std::string text = uri.ToString();
  EXPECT_TRUE(text.starts_with(
      "pkcs11:token=a%20token%3B%20with%20100%25;object=nark-0a-hpke-1;type=secret-key;id=%2D%71"))
      << text;
  const auto parsed = KeyUri::Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->token, uri.token);
  EXPECT_EQ(parsed->object, uri.object);
  EXPECT_EQ(parsed->key_class, uri.key_class);
  EXPECT_EQ(parsed->id, uri.id);
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(KeyUri::Parse(text.substr(0, i)).ok()) << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const auto other = KeyUri::Parse(flipped);
      EXPECT_TRUE(!other.ok() || other->ToString() == flipped) << flipped;
    }
  }
  EXPECT_FALSE(KeyUri::Parse(text + ";pin-value=1").ok());
  EXPECT_FALSE(KeyUri::Parse("").ok());
}

}  // namespace
}  // namespace nark::pkcs11
