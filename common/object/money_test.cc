#include "common/object/money.h"

#include "gtest/gtest.h"

namespace nark {
namespace {

TEST(MoneyTest, CountsMinorUnitsByCurrency) {
  EXPECT_EQ(ParseMoney("0.05", "EUR")->amount_minor(), 5u);
  EXPECT_EQ(ParseMoney("1.5", "EUR")->amount_minor(), 150u);
  EXPECT_EQ(ParseMoney("12", "EUR")->amount_minor(), 1200u);
  EXPECT_EQ(ParseMoney("12", "JPY")->amount_minor(), 12u);
  EXPECT_EQ(ParseMoney("0.005", "KWD")->amount_minor(), 5u);
  EXPECT_EQ(ParseMoney("0", "EUR")->amount_minor(), 0u);
  EXPECT_EQ(ParseMoney("184467440737095516.15", "EUR")->amount_minor(), ~uint64_t{0});
}

TEST(MoneyTest, RefusesWhatIsNoExactAmount) {
  for (const char* amount : {"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0x1", " 1", "1.005",
                             "184467440737095516.16", "99999999999999999999"}) {
    EXPECT_EQ(ParseMoney(amount, "EUR").status().code(), absl::StatusCode::kInvalidArgument)
        << amount;
  }
  EXPECT_FALSE(ParseMoney("1.5", "JPY").ok());
  for (const char* currency : {"", "eur", "EURO", "E1R"}) {
    EXPECT_FALSE(ParseMoney("1", currency).ok()) << currency;
  }
}

TEST(MoneyTest, WritesWhatItReads) {
  EXPECT_EQ(FormatMoney(*ParseMoney("0.05", "EUR")), "0.05 EUR");
  EXPECT_EQ(FormatMoney(*ParseMoney("12.3", "EUR")), "12.30 EUR");
  EXPECT_EQ(FormatMoney(*ParseMoney("7", "JPY")), "7 JPY");
  EXPECT_EQ(FormatMoney(*ParseMoney("0", "KWD")), "0.000 KWD");
}

}  // namespace
}  // namespace nark
