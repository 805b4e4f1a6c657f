// Signed objects and their names, held against the independent model.

#include <gtest/gtest.h>

#include <string>

#include "common/crypto/certificate.h"
#include "common/crypto/signature.h"
#include "common/object/envelope.h"
#include "common/object/session.h"
#include "tests/model/vectors.h"

namespace nark::model {
namespace {

using nlohmann::json;

TEST(SessionVectorsTest, ContextAndTagAreTheModels) {
  for (const json& expected : Vectors()["session"]["contexts"]) {
    const Digest context = SessionContext(ModelSession(), expected["sub_session"].get<uint32_t>());
    EXPECT_EQ(ToHex(context), expected["context"]);
    uint8_t tag[8];
    StoreBig64(tag, SessionTag(context));
    EXPECT_EQ(ToHex(tag), expected["tag"]);
  }
}

TEST(EnvelopeVectorsTest, EncodesNamesAndVerifiesAsTheModel) {
  for (const json& expected : Vectors()["envelopes"]) {
    const std::string type = expected["payload_type"];
    SCOPED_TRACE(type);
    const Bytes payload = HexField(expected, "payload");
    EXPECT_EQ(ToHex(AsBytes(PreAuthenticationPrefix(type, payload.size()))) + ToHex(payload),
              expected["pre_authentication_encoding"]);
    EXPECT_EQ(ToHex(ObjectIdentity(type, payload)), expected["identity"]);

    v1::SignedEnvelope envelope;
    ASSERT_TRUE(ParseStrictly(HexField(expected, "envelope"), "the envelope", envelope).ok());
    EXPECT_EQ(ToHex(ObjectIdentity(envelope)), expected["identity"]);
    const auto key = PublicKey::FromSpki(HexField(expected, "spki"));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(ToHex(key->id()), expected["key_id"]);
    EXPECT_TRUE(VerifyEnvelope(envelope, type, *key).ok());

    envelope.mutable_payload()->push_back('x');
    EXPECT_EQ(VerifyEnvelope(envelope, type, *key).code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST(ObjectVectorsTest, TranscriptAndIdsAreTheModels) {
  const json& objects = Vectors()["objects"];
  const auto digest = [&](const char* name) { return ArrayField<32>(objects, name); };
  EXPECT_EQ(ToHex(GrantTranscript(digest("descriptor_identity"), digest("challenge_identity"),
                                  digest("evidence_identity"), digest("voucher_identity"))),
            objects["transcript"]);
  EXPECT_EQ(ToHex(GrantId(digest("voucher_identity"), digest("secure_space_id"))),
            objects["grant_id"]);
  EXPECT_EQ(ToHex(SealedSessionInfo(ModelSession(), digest("terms_identity"))),
            objects["sealed_session_info"]);
}

TEST(ObjectVectorsTest, SecureSpaceIdIsTheModels) {
  const json& objects = Vectors()["objects"];
  const auto attestation = PublicKey::FromSpki(HexField(objects, "attestation_spki"));
  const auto note = PublicKey::FromSpki(HexField(objects, "note_spki"));
  ASSERT_TRUE(attestation.ok() && note.ok());
  EXPECT_EQ(ToHex(SecureSpaceId(attestation->spki(), note->spki())), objects["secure_space_id"]);
}

}  // namespace
}  // namespace nark::model
