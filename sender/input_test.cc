#include "sender/input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/status.h"
#include "common/base/storage.h"

namespace nark::sender {
namespace {

using ::testing::HasSubstr;

Bytes ReadAll(Input& input) {
  Bytes all;
  for (;;) {
    absl::StatusOr<Input::State> state =
        input.Read([&](ByteView bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
    if (!state.ok()) ADD_FAILURE() << state.status();
    if (!state.ok() || *state == Input::State::kEnded) return all;
  }
}

TEST(InputTest, ReadsAFileByEveryName) {
  std::string path = ::testing::TempDir() + "/input";
  Bytes content(3'000'000, 7);
  ASSERT_TRUE(WriteFile(path, content, FileMode::kPublic).ok());
  for (const std::string& uri : {path, "file:" + path, "file://" + path}) {
    auto input = OpenInput(uri);
    ASSERT_TRUE(input.ok()) << input.status();
    EXPECT_TRUE(ReadAll(**input) == content) << uri;
  }
}

TEST(InputTest, StdinHasTwoNames) {
  EXPECT_TRUE(OpenInput("-").ok());
  EXPECT_TRUE(OpenInput("file://con").ok());
}

TEST(InputTest, WhatCannotBeReadIsNamed) {
  absl::Status status = OpenInput("/nark-none/film.ts").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nark-none/film.ts"));
  for (const char* uri : {"", "file:", "http://host/film.ts", "udp://nonsense", "/tmp"}) {
    EXPECT_EQ(OpenInput(uri).status().code(), absl::StatusCode::kInvalidArgument) << uri;
  }
}

}  // namespace
}  // namespace nark::sender
