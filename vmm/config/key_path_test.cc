#include "vmm/config/key_path.h"

#include <gtest/gtest.h>

namespace vmm {
namespace {

TEST(Printable, EscapesControlCharactersOnly) {
  EXPECT_EQ(Printable("a\nb\x1b[0m\x7f \"é\""), "a\\x0ab\\x1b[0m\\x7f \"é\"");
  EXPECT_EQ(Printable("\u009b31m"), "\xc2\\x9b31m");
  EXPECT_EQ(Printable(absl::string_view("\0x", 2)), "\\x00x");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdefg", 6), "abcdef...");
  EXPECT_EQ(Printable("aéb", 2), "a...");
  EXPECT_EQ(Printable("aéb", 3), "aé...");
}

TEST(JoinKey, JoinsWithADot) {
  EXPECT_EQ(JoinKey("", "cpus"), "cpus");
  EXPECT_EQ(JoinKey(JoinIndex("disks", 0), "path"), "disks[0].path");
}

TEST(Nearest, FindsTypingMistakes) {
  const std::vector<absl::string_view> keys = {"path", "readonly", "boot_vcpus", "max_vcpus"};
  EXPECT_EQ(Nearest("pth", keys), "path");
  EXPECT_EQ(Nearest("readOnly", keys), "readonly");
  EXPECT_EQ(Nearest("bootVcpus", keys), "boot_vcpus");
  EXPECT_EQ(Nearest("boot", keys), "boot_vcpus");
}

TEST(Nearest, FindsNothingForADifferentWord) {
  EXPECT_EQ(Nearest("colour", {"path", "readonly"}), "");
  EXPECT_EQ(Nearest("", {"path"}), "");
  EXPECT_EQ(Nearest("p", {"path"}), "");
  EXPECT_EQ(Nearest(std::string(100000, 'p'), {"path"}), "");
}

}  // namespace
}  // namespace vmm
