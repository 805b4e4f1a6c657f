#include "keymanager/request_shape.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/bytes.h"
#include "nark/v1/keymanager.pb.h"

namespace nark::keymanager {
namespace {

v1::IssueGrantRequest Honest() {
  v1::IssueGrantRequest request;
  for (v1::SignedEnvelope* envelope : {request.mutable_session_descriptor(),
                                       request.mutable_voucher(), request.mutable_evidence()}) {
    envelope->set_payload_type("type");
    envelope->set_payload(std::string(3000, 'p'));
    envelope->set_key_id(std::string(32, 'k'));
    envelope->set_signature(std::string(64, 's'));
    for (int i = 0; i < 4; ++i) envelope->add_certificates(std::string(700, 'c'));
  }
  for (int i = 0; i < 4; ++i) request.add_secure_space_certificates(std::string(700, 'c'));
  request.mutable_challenge()->set_body("body");
  request.mutable_challenge()->set_mac_key_id("12345678");
  request.mutable_challenge()->set_mac(std::string(32, 'm'));
  return request;
}

bool Parses(const std::string& bytes) {
  v1::IssueGrantRequest request;
  return ParseRequest(AsBytes(bytes), request).ok();
}

TEST(RequestShapeTest, ParsesWhatIsHonest) {
  const std::string sent = Honest().SerializeAsString();
  v1::IssueGrantRequest request;
  ASSERT_TRUE(ParseRequest(AsBytes(sent), request).ok());
  EXPECT_EQ(request.SerializeAsString(), sent);
  EXPECT_TRUE(Parses("")) << "what is missing, CheckShape says";
}

// Each of them would take some hundred times its bytes.
TEST(RequestShapeTest, ManyFieldsAreNotParsed) {
  v1::IssueGrantRequest request = Honest();
  for (int i = 0; i < 10; ++i) request.add_secure_space_certificates("");
  EXPECT_TRUE(Parses(request.SerializeAsString())) << "gets a reason of its own";
  for (int i = 0; i < 1000; ++i) request.add_secure_space_certificates("");
  EXPECT_FALSE(Parses(request.SerializeAsString()));
  request = Honest();
  for (int i = 0; i < 1000; ++i) request.mutable_voucher()->add_certificates("");
  EXPECT_FALSE(Parses(request.SerializeAsString()));
  // Repeated, a message is merged.
  std::string bytes = Honest().SerializeAsString();
  for (int i = 0; i < 1000; ++i) bytes += std::string("\x0a\x00", 2);
  EXPECT_FALSE(Parses(bytes));
}

TEST(RequestShapeTest, FieldsOfNoContractAreNotParsed) {
  const std::string honest = Honest().SerializeAsString();
  EXPECT_FALSE(Parses(honest + "\x78\x01"));  // field 15, a number
  v1::IssueGrantRequest request = Honest();
  request.mutable_evidence()
      ->GetReflection()
      ->MutableUnknownFields(request.mutable_evidence())
      ->AddVarint(15, 1);
  EXPECT_FALSE(Parses(request.SerializeAsString()));
}

// A group takes any number of fields, and is kept as unknown where bytes are due.
TEST(RequestShapeTest, AGroupIsNotParsed) {
  std::string group = "\x1b";
  for (int i = 0; i < 1000; ++i) group += std::string("\x08\x00", 2);
  group += "\x1c";
  EXPECT_FALSE(Parses(Honest().SerializeAsString() + group));
  std::string envelope = Honest().voucher().SerializeAsString() + group;
  std::string request = "\x12";
  for (size_t size = envelope.size(); size > 0; size >>= 7) {
    request += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
  }
  EXPECT_FALSE(Parses(request + envelope));
}

TEST(RequestShapeTest, WhatIsCutOrOfAnotherKindIsNotParsed) {
  const std::string honest = Honest().SerializeAsString();
  for (size_t size = 1; size < honest.size(); size += 97) {
    const std::string cut = honest.substr(0, size);
    v1::IssueGrantRequest request;
    EXPECT_EQ(Parses(cut), request.ParseFromString(cut)) << size;
  }
  EXPECT_FALSE(Parses("\x08\x01"));                  // a number where a message is due
  EXPECT_FALSE(Parses("\x0a\x7f"));                  // longer than there is
  EXPECT_FALSE(Parses("\x0a\xff\xff\xff\xff\x0f"));  // far longer
  EXPECT_FALSE(Parses(std::string("\x0b\x0c", 2)));  // a group
}

TEST(RequestShapeTest, ARequestForAChallengeIsSmall) {
  v1::GetChallengeRequest request;
  request.set_secure_space_id(std::string(32, 'i'));
  v1::GetChallengeRequest parsed;
  EXPECT_TRUE(ParseRequest(AsBytes(request.SerializeAsString()), parsed).ok());
  request.set_secure_space_id(std::string(2000, 'i'));
  EXPECT_FALSE(ParseRequest(AsBytes(request.SerializeAsString()), parsed).ok());
}

}  // namespace
}  // namespace nark::keymanager
