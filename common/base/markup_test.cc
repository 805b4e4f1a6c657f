#include "common/base/markup.h"

#include <gtest/gtest.h>

namespace nark {
namespace {

TEST(MarkupTest, EndsNoElementAndNoAttribute) {
  EXPECT_EQ(EscapeMarkup("a</b> & \"c\""), "a&lt;/b&gt; &amp; &quot;c&quot;");
}

TEST(MarkupTest, LeavesOutControlCharactersAndKeepsAllElse) {
  EXPECT_EQ(EscapeMarkup(std::string("a\0b\x1b\n", 5) + "\xc3\xa9 100 %"), "ab\xc3\xa9 100 %");
}

}  // namespace
}  // namespace nark
