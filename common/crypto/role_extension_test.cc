#include "common/crypto/role_extension.h"

#include <gtest/gtest.h>

#include <string>

namespace nark {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// RFC 6979's P-256 key: any key will do.
constexpr char kSpki[] =
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004"
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

RoleContent Plain(CertificateRole role) {
  RoleContent content;
  content.role = role;
  return content;
}

RoleContent Sender() {
  RoleContent content = Plain(CertificateRole::kSender);
  SenderScope scope;
  scope.provider.fill(0xa1);
  scope.session_id.fill(0xb2);
  scope.sender_id = 0x01020304;
  scope.may_control = true;
  content.sender_scope = scope;
  return content;
}

RoleContent SecureSpace() {
  RoleContent content = Plain(CertificateRole::kSecureSpace);
  content.secure_space_scope = SecureSpaceScope{FromHex(kSpki), 3};
  return content;
}

std::string Repeated(const char* byte, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += byte;
  return text;
}

TEST(RoleExtensionTest, HasTheDocumentedLayout) {
  EXPECT_EQ(ToHex(SerialiseRole(Plain(CertificateRole::kTill))), "0103");
  EXPECT_EQ(ToHex(SerialiseRole(Sender())), "0109" + Repeated("a1", 32) + Repeated("b2", 16) +
                                                "01020304"
                                                "01");
  EXPECT_EQ(ToHex(SerialiseRole(SecureSpace())), std::string("010b03") + kSpki);
}

TEST(RoleExtensionTest, EveryRoleReadsBack) {
  for (int role = 1; role <= 12; ++role) {
    RoleContent content = Plain(static_cast<CertificateRole>(role));
    if (content.role == CertificateRole::kSender) content = Sender();
    if (content.role == CertificateRole::kSecureSpace) content = SecureSpace();
    Bytes layout = SerialiseRole(content);
    RoleContent read = ParseRole(layout).value();
    EXPECT_EQ(read.role, content.role);
    EXPECT_EQ(SerialiseRole(read), layout) << RoleName(content.role);
  }
}

TEST(RoleExtensionTest, RefusesEveryOtherLength) {
  for (const RoleContent& content : {Plain(CertificateRole::kTill), Sender(), SecureSpace()}) {
    Bytes layout = SerialiseRole(content);
    for (size_t size = 0; size < layout.size(); ++size) {
      EXPECT_EQ(ParseRole(ByteView(layout).first(size)).status().code(), kInvalid) << size;
    }
    layout.push_back(0);
    EXPECT_EQ(ParseRole(layout).status().code(), kInvalid);
  }
}

// A flipped bit is refused or gives other content: no two layouts mean the same.
TEST(RoleExtensionTest, NoTwoLayoutsMeanTheSame) {
  for (const RoleContent& content : {Plain(CertificateRole::kTill), Sender(), SecureSpace()}) {
    const Bytes layout = SerialiseRole(content);
    for (size_t bit = 0; bit < 8 * layout.size(); ++bit) {
      Bytes broken = layout;
      broken[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
      absl::StatusOr<RoleContent> read = ParseRole(broken);
      if (read.ok()) {
        EXPECT_EQ(SerialiseRole(*read), broken) << bit;
      } else {
        EXPECT_EQ(read.status().code(), kInvalid) << bit;
      }
    }
  }
}

TEST(RoleExtensionTest, RefusesUnknownVersionsAndRoles) {
  EXPECT_EQ(ParseRole(FromHex("0003")).status().code(), kInvalid);
  EXPECT_EQ(ParseRole(FromHex("0203")).status().code(), kInvalid);
  EXPECT_EQ(ParseRole(FromHex("0100")).status().code(), kInvalid) << "none is no role";
  EXPECT_EQ(ParseRole(FromHex("010d")).status().code(), kInvalid);
}

using ExtensionStack = STACK_OF(X509_EXTENSION);

class ExtensionTest : public testing::Test {
 protected:
  ~ExtensionTest() override { sk_X509_EXTENSION_pop_free(stack_, X509_EXTENSION_free); }
  void Push(UniqueExtension extension) {
    ASSERT_GT(sk_X509_EXTENSION_push(stack_, extension.get()), 0);
    (void)extension.release();
  }
  // One whose value is `der` as it stands.
  static UniqueExtension Raw(ByteView der, int critical) {
    UniqueExtension extension = MakePrivateExtension(kRoleOid, {}).value();
    UniqueOctets data(ASN1_OCTET_STRING_new());
    EXPECT_EQ(ASN1_OCTET_STRING_set(data.get(), der.data(), static_cast<int>(der.size())), 1);
    EXPECT_EQ(X509_EXTENSION_set_data(extension.get(), data.get()), 1);
    EXPECT_EQ(X509_EXTENSION_set_critical(extension.get(), critical), 1);
    return extension;
  }
  ExtensionStack* stack_ = sk_X509_EXTENSION_new_null();
};

TEST_F(ExtensionTest, IsFoundByItsOid) {
  EXPECT_FALSE(FindPrivateExtension(nullptr, kRoleOid).value().has_value());
  EXPECT_FALSE(FindPrivateExtension(stack_, kRoleOid).value().has_value());
  for (size_t size : {0, 1, 127, 128, 255}) {
    ExtensionStack* one = sk_X509_EXTENSION_new_null();
    UniqueExtension extension = MakePrivateExtension(kNoteProofOid, Bytes(size, 5)).value();
    sk_X509_EXTENSION_push(one, extension.get());
    EXPECT_FALSE(FindPrivateExtension(one, kRoleOid).value().has_value());
    EXPECT_EQ(FindPrivateExtension(one, kNoteProofOid).value(), Bytes(size, 5)) << size;
    sk_X509_EXTENSION_free(one);
  }
}

TEST_F(ExtensionTest, TwoOfAKindAreRefused) {
  Push(MakePrivateExtension(kRoleOid, FromHex("0103")).value());
  Push(MakePrivateExtension(kNoteProofOid, FromHex("01")).value());
  EXPECT_TRUE(FindPrivateExtension(stack_, kRoleOid).ok());
  Push(MakePrivateExtension(kRoleOid, FromHex("0104")).value());
  EXPECT_EQ(FindPrivateExtension(stack_, kRoleOid).status().code(), kInvalid);
}

TEST_F(ExtensionTest, ACriticalOneIsRefused) {
  Push(Raw(FromHex("04020103"), 1));
  EXPECT_EQ(FindPrivateExtension(stack_, kRoleOid).status().code(), kInvalid);
}

TEST_F(ExtensionTest, AValueThatIsNoOctetStringInDerIsRefused) {
  for (const char* der : {"", "04", "0403", "030102", "04030103", "0402010300", "0481020103",
                          "048002010300", "04820002", "240404020103"}) {
    ExtensionStack* one = sk_X509_EXTENSION_new_null();
    UniqueExtension extension = Raw(FromHex(der), 0);
    sk_X509_EXTENSION_push(one, extension.get());
    EXPECT_EQ(FindPrivateExtension(one, kRoleOid).status().code(), kInvalid) << der;
    sk_X509_EXTENSION_free(one);
  }
}

TEST(RoleRulesTest, EveryPathEndsAtARootThatMayCertify) {
  for (int role = 0; role <= 12; ++role) {
    auto current = static_cast<CertificateRole>(role);
    int below = -1;  // CA certificates between this one and the leaf
    while (std::optional<CertificateRole> issuer = IssuerRoleOf(current)) {
      ++below;
      ASSERT_TRUE(PathLengthOf(*issuer).has_value()) << RoleName(*issuer) << " is no CA";
      EXPECT_GE(*PathLengthOf(*issuer), below) << RoleName(*issuer);
      current = *issuer;
    }
  }
}

}  // namespace
}  // namespace nark
