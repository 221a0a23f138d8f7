// Test only: compares text with a file under tests/golden, or rewrites it if UPDATE_GOLDEN=1.
#ifndef BOOT_TESTING_GOLDEN_FIXTURES_H_
#define BOOT_TESTING_GOLDEN_FIXTURES_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace boot {

inline std::string ReadFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

inline void WriteFile(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

// Compares `text` with the file `name` below tests/golden. If a difference is intended, run the
// test with UPDATE_GOLDEN=1 in the environment, and review the new file as part of the change.
inline void ExpectGolden(const std::string& name, const std::string& text) {
  const auto path = std::filesystem::path(VMM_SOURCE_DIR) / "tests/golden" / name;
  const char* update = std::getenv("UPDATE_GOLDEN");
  if (update != nullptr && std::string(update) == "1") WriteFile(path, text);
  EXPECT_EQ(text, ReadFile(path)) << "differs from " << path
                                  << "; if that is meant, run again with UPDATE_GOLDEN=1";
}

}  // namespace boot

#endif  // BOOT_TESTING_GOLDEN_FIXTURES_H_
