#include "sender/marking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"

namespace nark::sender {
namespace {

using ::testing::HasSubstr;

TEST(MarkingTest, GoesWithAnAuditTrail) {
  v1::Terms terms;
  EXPECT_EQ(MarkingOf(terms), Marking::kNone);
  terms.mutable_audit();
  EXPECT_EQ(MarkingOf(terms), Marking::kSamples);
}

TEST(MarkingTest, TakesFilesThatAreEncryptedAsAWhole) {
  for (const char* input : {"-", "film.wav", "file:film.wav"}) {
    EXPECT_TRUE(CheckFlags(Marking::kSamples, input, "all", "").ok());
  }
  EXPECT_TRUE(CheckFlags(Marking::kNone, "udp://239.0.0.1:1", "video", "1KiB").ok());
}

TEST(MarkingTest, RefusesDatagramsAndClearBytesByName) {
  auto refused = [](std::string_view input, std::string_view encrypt, std::string_view first) {
    const absl::Status status = CheckFlags(Marking::kSamples, input, encrypt, first);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(Std(status.message()));
  };
  EXPECT_THAT(refused("udp://239.0.0.1:1", "all", ""), HasSubstr("--input udp://239.0.0.1:1: "));
  EXPECT_THAT(refused("-", "video", ""), HasSubstr("--encrypt video: "));
  EXPECT_THAT(refused("-", "all", "64KiB"), HasSubstr("--encrypt-first 64KiB: "));
}

}  // namespace
}  // namespace nark::sender
