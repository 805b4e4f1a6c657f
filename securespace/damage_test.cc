#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/sanitized.h"
#include "common/object/id_codec.h"
#include "securespace/testing.h"

// Every file of the state, damaged at every byte and cut at every length: a clear error,
// and never a state that forgets (docs/architecture.md, "Damage to the state").
namespace nark::securespace {
namespace {

class DamageTest : public testing::Test {
 protected:
  DamageTest() {
    EXPECT_TRUE(world_.Join(world_.Voucher(0, 99)).ok());
    for (uint64_t id : {1, 2, 3}) {
      sizes_.push_back(Session().size());
      EXPECT_EQ(world_.Reason(id), v1::REFUSAL_REASON_UNSPECIFIED);
    }
    good_ = world_.storage.files();
  }

  std::string SessionFile() {
    for (const auto& [name, content] : world_.storage.files()) {
      if (name != "sessions") return name;
    }
    return "";
  }
  Bytes& Session() { return world_.storage.files()[SessionFile()]; }

  // What opening says; it must name the file and an offset in it.
  void ExpectRefused(const std::string& file) {
    const absl::Status status = world_.Reopen();
    ASSERT_TRUE(absl::IsDataLoss(status)) << status;
    ASSERT_NE(status.message().find(absl::StrCat(file, " was changed or damaged at offset ")),
              absl::string_view::npos)
        << status;
  }

  TestWorld world_;
  std::vector<size_t> sizes_;  // of the session's file, before each release
  std::map<std::string, Bytes, std::less<>> good_;
};

TEST_F(DamageTest, NoByteOfAnyFileCanChange) {
  ASSERT_EQ(good_.size(), 2u);
  for (const auto& [name, content] : good_) {
    for (size_t at = 0; at < content.size(); at += kSanitized ? 7 : 1) {
      SCOPED_TRACE(testing::Message() << name << " at " << at);
      world_.storage.files() = good_;
      world_.storage.files()[name][at] ^= static_cast<uint8_t>(1 << at % 8);
      ExpectRefused(name);
      if (HasFatalFailure()) return;
      // Nothing was written over what might be restored.
      ASSERT_EQ(world_.storage.files()[name].size(), content.size());
    }
  }
  world_.storage.files() = good_;
  EXPECT_TRUE(world_.Reopen().ok());
}

TEST_F(DamageTest, ACutSnapshotIsRefusedAtEveryLength) {
  for (const auto& [name, content] : good_) {
    const size_t snapshot = name == "sessions" ? content.size() : sizes_.front();
    for (size_t size = 0; size < snapshot; ++size) {
      SCOPED_TRACE(testing::Message() << name << " cut to " << size);
      world_.storage.files() = good_;
      world_.storage.files()[name].resize(size);
      ExpectRefused(name);
      if (HasFatalFailure()) return;
    }
  }
}

// A cut behind the snapshot looks like a crash: whole records before it stand.
TEST_F(DamageTest, ACutRecordIsLeftOutAndNoneBeforeIt) {
  const std::string name = SessionFile();
  const size_t whole = good_[name].size();
  for (size_t size = sizes_.front(); size < whole; ++size) {
    SCOPED_TRACE(testing::Message() << "cut to " << size);
    world_.storage.files() = good_;
    world_.storage.files()[name].resize(size);
    ASSERT_TRUE(world_.Reopen().ok());
    const auto left =
        std::count_if(sizes_.begin() + 1, sizes_.end(), [&](size_t end) { return end <= size; });
    ASSERT_EQ(world_.space().GetIdentity()->grants_size(), 1);
    absl::StatusOr<v1::DeliveryNote> note = world_.Note();
    ASSERT_TRUE(note.ok()) << note.status();
    IdSet expected;
    if (left > 0) expected.Insert(1, static_cast<uint64_t>(left));
    const IdSet delivered =
        note->receipts().empty() ? IdSet() : *UnpackIds(AsBytes(note->receipts(0).delivered()));
    ASSERT_EQ(delivered, expected);
  }
}

TEST_F(DamageTest, AMissingFileIsNamed) {
  for (const auto& [name, content] : good_) {
    world_.storage.files() = good_;
    world_.storage.files().erase(name);
    const absl::Status status = world_.Reopen();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_NE(status.message().find(name), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace nark::securespace
