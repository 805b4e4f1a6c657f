#include "narkctl/trace/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "narkctl/trace/testing.h"

namespace nark::trace {
namespace {

using testing::HasSubstr;

class ReportTest : public testing::Test {
 protected:
  Accusation Accused(const Examination& shown, uint32_t receivers) {
    return *Accuse(shown.evidence, studio_.family(), Studio::Ids(receivers), 1e-6);
  }

  Studio studio_{{.seed = 51, .words_log2 = 12}};
  const std::vector<StreamToSearch> streams_ = studio_.Streams();
};

TEST_F(ReportTest, NamesTheAccused) {
  const Examination shown = studio_.ExaminationOf(studio_.CopyOf(3, {2, 3}), {0, 5});
  const Accusation accusation = Accused(shown, 40);
  const Report report{shown, accusation, streams_, 44100, 2, {0, 5}, {0, 5}};
  const auto json = ReportJson(report);
  const std::string id = ToHex(Studio::IdOf(3));
  EXPECT_EQ(json["accused"], nlohmann::ordered_json::array({id}));
  EXPECT_EQ(json["candidates"].size(), 40u);
  EXPECT_EQ(json["candidates"][0]["id"], id);
  EXPECT_GT(json["candidates"][0]["score"], json["threshold"]);
  EXPECT_LT(json["candidates"][1]["score"], json["threshold"]);
  EXPECT_EQ(json["error_probability"], 1e-6);
  EXPECT_EQ(json["aligned_seconds"], 2.0);
  ASSERT_EQ(json["stretches"].size(), 1u);
  EXPECT_EQ(json["stretches"][0]["first_adu"], 2);
  EXPECT_EQ(json["stretches"][0]["last_adu"], 3);
  EXPECT_THAT(ReportText(report), HasSubstr("Accused      " + id));
  EXPECT_THAT(ReportSvg(report), HasSubstr("1 of 40 candidates accused"));
}

TEST_F(ReportTest, SaysWhatWasSearched) {
  const Examination shown = studio_.ExaminationOf(studio_.MasterOf(AduRange{0, 0}), {0, 5});
  const Accusation accusation = Accused(shown, 4);
  Report report{shown, accusation, streams_, 44100, 2, {0, 5}, {0, 5}};
  EXPECT_THAT(ReportText(report), HasSubstr("Searched     ADU 0 to 5\n"));
  report.all.last = 900;
  EXPECT_THAT(ReportText(report), HasSubstr("ADU 0 to 5 of 0 to 900; --adus names others\n"));
  EXPECT_EQ(ReportJson(report)["searched_adus"], (nlohmann::ordered_json{0, 5}));
}

TEST_F(ReportTest, SaysNobody) {
  const Examination shown = studio_.ExaminationOf(studio_.MasterOf(AduRange{0, 0}), {0, 5});
  const Accusation accusation = Accused(shown, 4);
  const Report report{shown, accusation, streams_, 44100, 2, {0, 5}, {0, 5}};
  EXPECT_EQ(ReportJson(report)["accused"], nlohmann::ordered_json::array());
  EXPECT_TRUE(ReportText(report).ends_with("Accused      nobody\n"));
}

}  // namespace
}  // namespace nark::trace
