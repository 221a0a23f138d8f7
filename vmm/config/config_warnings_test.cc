#include "vmm/config/config_warnings.h"

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "vmm/config/load_config.h"

namespace vmm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> WarningsOf(const std::string& maps) {
  const auto config =
      ParseVmConfig(absl::StrCat(R"({"payload": {"kernel": "/k"}, "fs": [{"tag": "s", )",
                                 R"("path": "/s", )", maps, "}]}"),
                    {});
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? ConfigWarnings(*config) : std::vector<std::string>();
}

TEST(ConfigWarnings, NamesAnEntryWhoseFilesLookLikeAnEarlierEntrys) {
  EXPECT_THAT(
      WarningsOf(R"("uid_map": [{"guest": 0, "host": 990}, {"guest": 1000, "host": 990}])"),
      ElementsAre("fs[0].uid_map[1]: files of the host's id 990 look like the guest's id 0 "
                  "(fs[0].uid_map[0]), so the guest's id 1000 owns none, not even those that it "
                  "makes; give it another host id, or put its entry first"));
  EXPECT_THAT(
      WarningsOf(R"("gid_map": [{"guest": 5, "host": 100, "count": 10}, {"guest": 50, "host": 7},
                                {"guest": 100, "host": 95, "count": 10}])"),
      ElementsAre("fs[0].gid_map[2]: files of the host's id 100 look like the guest's id 5 "
                  "(fs[0].gid_map[0]), so the guest's id 105 owns none, not even those that it "
                  "makes; give it another host id, or put its entry first"));
}

TEST(ConfigWarnings, DoNotNameRootOwningNoFiles) {
  EXPECT_THAT(WarningsOf(R"("uid_map": [{"guest": 1000, "host": 990}, {"guest": 0, "host": 990}])"),
              IsEmpty());
  // The other ids of the range do get a warning.
  EXPECT_THAT(WarningsOf(R"("uid_map": [{"guest": 1000, "host": 990, "count": 2},
                                        {"guest": 0, "host": 990, "count": 2}])"),
              ElementsAre(testing::HasSubstr("so the guest's id 1 owns none")));
}

TEST(ConfigWarnings, DoNotNameAdjacentRanges) {
  EXPECT_THAT(WarningsOf(R"("uid_map": [{"guest": 0, "host": 10, "count": 5},
                                        {"guest": 5, "host": 15, "count": 5},
                                        {"guest": 10, "host": 9},
                                        {"guest": 11, "host": 4294967295}])"),
              IsEmpty());
}

TEST(ConfigWarnings, AreEmptyForConfigsWithoutMaps) {
  EXPECT_THAT(WarningsOf(R"("readonly": true)"), IsEmpty());
}

// Checks those examples of docs/shares.md that have their own code block.
TEST(ConfigWarnings, AreEmptyForTheExamplesOfTheDocs) {
  std::ifstream file(VMM_SOURCE_DIR "/docs/shares.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  constexpr char kBegin[] = "```json\n\"fs\": ";
  int with_maps = 0;
  for (size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at + 1)) {
    const size_t begin = text.find('"', at);
    const std::string example = text.substr(begin, text.find("```", begin) - begin);
    const auto config =
        ParseVmConfig(absl::StrCat(R"({"payload": {"kernel": "/k"}, )", example, "}"), {});
    ASSERT_TRUE(config.ok()) << config.status() << "\n" << example;
    EXPECT_THAT(ConfigWarnings(*config), IsEmpty()) << example;
    if (!config->fs[0].uid_map.empty()) ++with_maps;
  }
  EXPECT_GT(with_maps, 0);
}

}  // namespace
}  // namespace vmm
