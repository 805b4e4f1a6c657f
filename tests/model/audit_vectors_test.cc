// Audit trails, held against the independent model.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "common/audit/family.h"
#include "common/audit/sealed_block.h"
#include "common/audit/stream_keys.h"
#include "common/crypto/hash.h"
#include "common/wire/cipher.h"
#include "tests/model/vectors.h"

namespace nark::model {
namespace {

using audit::Family;
using nlohmann::json;

SecretBytes SecretField(const json& object, std::string_view name) {
  return SecretBytes::CopyOf(HexField(object, name));
}

Family FamilyOf(const json& shape) {
  return *Family::Of(SecretField(Vectors()["audit"], "secret"),
                     shape["words_log2"].get<uint32_t>());
}

std::string HashOf(const SecretBytes& secret) { return ToHex(Sha256(secret.Reveal())); }

TEST(AuditVectorsTest, FamiliesAreTheModels) {
  for (const json& expected : Vectors()["audit"]["families"]) {
    const Family family = FamilyOf(expected);
    EXPECT_EQ(ToHex(family.id()), expected["id"]);
    Bytes symbols;
    for (const audit::Symbol& symbol : family.symbols()) {
      symbols.push_back(symbol.lane);
      symbols.resize(symbols.size() + 4);
      StoreBig32(&symbols[symbols.size() - 4], symbol.ones);
    }
    EXPECT_EQ(ToHex(Sha256(symbols)), expected["symbols_sha256"]);
    for (size_t i = 0; i < expected["symbols"].size(); ++i) {
      EXPECT_EQ(family.symbols()[i].lane, expected["symbols"][i]["lane"].get<uint8_t>());
      EXPECT_EQ(family.symbols()[i].ones, expected["symbols"][i]["ones"].get<uint32_t>());
    }
    const SecretBytes base = *audit::BaseBlockBytes(*family.BaseBlockKey(), family.words_log2());
    EXPECT_EQ(HashOf(base), expected["base_block_sha256"]);
  }
}

TEST(AuditVectorsTest, CodewordsAndBlocksOfMembersAreTheModels) {
  for (const json& expected : Vectors()["audit"]["families"]) {
    const Family family = FamilyOf(expected);
    for (const json& member : expected["members"]) {
      const Digest space = ArrayField<32>(member, "secure_space_id");
      const SecretBytes codeword = *family.CodewordOf(space);
      std::string first;
      for (size_t i = 0; i < 64; ++i) first += static_cast<char>('0' + codeword.Reveal()[i]);
      EXPECT_EQ(first, member["codeword"]);
      EXPECT_EQ(HashOf(codeword), member["codeword_sha256"]);
      const ChameleonBlock block = *family.MarkedBlockOf(space);
      EXPECT_EQ(HashOf(block.bytes()), member["block_sha256"]);
      const SecretBytes key = *family.BlockKey(space);
      EXPECT_EQ(ToHex(key.Reveal()), member["block_key"]);
      const auto sealed = audit::SealBlock(key, family.id(), space, block);
      ASSERT_TRUE(sealed.ok()) << sealed.status();
      EXPECT_EQ(ToHex(Sha256(*sealed)), member["sealed_block_sha256"]);
    }
  }
}

TEST(AuditVectorsTest, KeysOfStreamsAreTheModels) {
  const Family family = FamilyOf(Vectors()["audit"]["families"][0]);
  for (const json& expected : Vectors()["audit"]["streams"]) {
    const SecretBytes key =
        *family.StreamKey(ModelSession(), expected["sub_session"].get<uint32_t>(),
                          expected["sender_id"].get<uint32_t>());
    EXPECT_EQ(ToHex(key.Reveal()), expected["key"]);
    for (const json& adu : expected["adus"]) {
      const audit::AduMarkKeys keys = *audit::MarkKeysOf(key, adu["adu_id"].get<uint64_t>());
      EXPECT_EQ(ToHex(keys.index.Reveal()), adu["index"]);
      EXPECT_EQ(ToHex(keys.plane.Reveal()), adu["plane"]);
    }
  }
}

TEST(AuditVectorsTest, SealsAndOpensAsTheModel) {
  for (const json& expected : Vectors()["audit"]["adus"]) {
    const Family family = FamilyOf(expected);
    const wire::CipherSuite& suite = **wire::FindCipher("chameleon");
    const auto base = std::make_shared<const ChameleonBlock>(
        *ChameleonBlock::Of(*audit::BaseBlockBytes(*family.BaseBlockKey(), family.words_log2())));
    const Bytes plaintext = Filler("audit", expected["plaintext_bytes"].get<size_t>());
    const SecretBytes key = SecretField(expected, "key");
    Bytes sealed(suite.CiphertextBytes(plaintext.size())), played(plaintext.size());
    const auto sender = *suite.Create(base);
    sender->MarkNext({{SecretField(expected, "index"), SecretField(expected, "plane")},
                      expected["offset"].get<uint32_t>(),
                      expected["bytes"].get<uint32_t>()});
    ASSERT_TRUE(sender->Seal(key, {}, plaintext, sealed).ok());
    EXPECT_EQ(ToHex(Sha256(sealed)), expected["ciphertext_sha256"]);

    const json& member = Vectors()["audit"]["families"][0]["members"][0];
    const auto marked = std::make_shared<const ChameleonBlock>(
        *family.MarkedBlockOf(ArrayField<32>(member, "secure_space_id")));
    ASSERT_TRUE((*suite.Create(marked))->Open(key, {}, sealed, played).ok());
    EXPECT_EQ(ToHex(Sha256(played)), expected["played_sha256"]);
  }
}

}  // namespace
}  // namespace nark::model
