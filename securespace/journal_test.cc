#include "securespace/journal.h"

#include <gtest/gtest.h>

#include "common/crypto/random.h"
#include "securespace/fake_storage.h"

namespace nark::securespace {
namespace {

class JournalTest : public testing::Test {
 protected:
  JournalTest() : key_(32), random_(1) { key_.RevealMutable()[5] = 5; }

  Journal Open() { return Journal(key_, storage_, random_, "file"); }
  Bytes& File() { return storage_.files()["file"]; }

  // A snapshot and three records.
  void Fill() {
    Journal journal = Open();
    ASSERT_TRUE(journal.Rewrite(AsBytes("snapshot")).ok());
    for (const char* record : {"one", "two", "three"}) {
      ASSERT_TRUE(journal.Append(AsBytes(record)).ok());
    }
  }

  SecretBytes key_;
  SeededRandom random_;
  FakeStorage storage_;
};

std::vector<std::string> Texts(const absl::StatusOr<std::vector<SecretBytes>>& records) {
  std::vector<std::string> texts;
  if (!records.ok()) return {records.status().ToString()};
  for (const SecretBytes& record : *records) texts.push_back(ToText(record.Reveal()));
  return texts;
}

TEST_F(JournalTest, ReadsWhatWasWritten) {
  Fill();
  EXPECT_EQ(Texts(Open().Read()), (std::vector<std::string>{"snapshot", "one", "two", "three"}));
}

TEST_F(JournalTest, SaysWhereThereIsNone) { EXPECT_TRUE(absl::IsNotFound(Open().Read().status())); }

TEST_F(JournalTest, IsNotAppendedToBeforeItWasRewritten) {
  Fill();
  Journal journal = Open();
  EXPECT_TRUE(journal.WantsRewriting());
  EXPECT_TRUE(absl::IsFailedPrecondition(journal.Append(AsBytes("four"))));
  ASSERT_TRUE(journal.Rewrite(AsBytes("new")).ok());
  EXPECT_FALSE(journal.WantsRewriting());
  ASSERT_TRUE(journal.Append(AsBytes("four")).ok());
  EXPECT_EQ(Texts(Open().Read()), (std::vector<std::string>{"new", "four"}));
}

TEST_F(JournalTest, WantsRewritingOnceRecordsOutweighTheSnapshot) {
  Journal journal = Open();
  ASSERT_TRUE(journal.Rewrite(AsBytes("snapshot")).ok());
  Bytes record(100'000);
  ASSERT_TRUE(journal.Append(record).ok());
  ASSERT_TRUE(journal.Append(record).ok());
  EXPECT_FALSE(journal.WantsRewriting());
  ASSERT_TRUE(journal.Append(record).ok());
  EXPECT_TRUE(journal.WantsRewriting());
}

TEST_F(JournalTest, RefusesEveryFlippedBit) {
  Fill();
  Bytes good = File();
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    File() = good;
    File()[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    absl::Status status = Open().Read().status();
    ASSERT_TRUE(absl::IsDataLoss(status)) << "bit " << bit << ": " << status;
    ASSERT_NE(status.message().find("file"), absl::string_view::npos);
  }
}

TEST_F(JournalTest, LeavesOutATornLastRecordAndNoOther) {
  Fill();
  Bytes good = File();
  size_t last = good.size() - (8 + 5 + 16);
  size_t second = last - (8 + 3 + 16);
  for (size_t size = 0; size < good.size(); ++size) {
    File() = good;
    File().resize(size);
    absl::StatusOr<std::vector<SecretBytes>> records = Open().Read();
    if (size >= last) {
      ASSERT_EQ(Texts(records), (std::vector<std::string>{"snapshot", "one", "two"})) << size;
    } else if (size >= second) {
      ASSERT_EQ(Texts(records), (std::vector<std::string>{"snapshot", "one"})) << size;
    } else if (size < 24 + 8 + 8 + 16) {
      ASSERT_TRUE(absl::IsDataLoss(records.status())) << size;
    }
  }
}

TEST_F(JournalTest, IsNotFooledByALengthBeyondTheEnd) {
  Fill();
  // The first record claims all that follows and more, as a torn one would.
  StoreBig32(File().data() + 56, 4096 ^ 0xA5A5A5A5);
  StoreBig32(File().data() + 60, ~(4096 ^ 0xA5A5A5A5));
  EXPECT_TRUE(absl::IsDataLoss(Open().Read().status()));
}

TEST_F(JournalTest, LeavesOutALastRecordOfZeros) {
  Fill();
  Bytes good = File();
  std::fill(File().end() - (8 + 5 + 16), File().end(), 0);
  EXPECT_EQ(Texts(Open().Read()), (std::vector<std::string>{"snapshot", "one", "two"}));
  File() = good;
  // Zeros in the middle are damage.
  std::fill(File().begin() + 60, File().begin() + 80, 0);
  EXPECT_TRUE(absl::IsDataLoss(Open().Read().status()));
}

TEST_F(JournalTest, RefusesRecordsThatChangedPlaces) {
  Fill();
  Bytes& file = File();
  size_t one = 24 + 8 + 8 + 16;
  std::swap_ranges(file.begin() + one, file.begin() + one + 27, file.begin() + one + 27);
  EXPECT_TRUE(absl::IsDataLoss(Open().Read().status()));
}

TEST_F(JournalTest, RefusesAnotherFileUnderItsName) {
  Fill();
  storage_.files()["other"] = File();
  EXPECT_TRUE(absl::IsDataLoss(Journal(key_, storage_, random_, "other").Read().status()));
}

TEST_F(JournalTest, RefusesAnotherKey) {
  Fill();
  SecretBytes other(32);
  EXPECT_TRUE(absl::IsDataLoss(Journal(other, storage_, random_, "file").Read().status()));
}

TEST_F(JournalTest, SealsTheSameRecordDifferentlyEachTime) {
  Fill();
  Bytes first = File();
  Fill();
  EXPECT_NE(Bytes(first.begin() + 32, first.end()), Bytes(File().begin() + 32, File().end()));
}

}  // namespace
}  // namespace nark::securespace
