// Tests that output reaches files within their limits, and what errors of a backend say.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/unique_fd.h"
#include "devices/character/testing/character_fixtures.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using ::testing::HasSubstr;

TEST_F(CharacterBackendTest, NullTakesEverything) {
  Start({.mode = CharacterMode::kNull});
  Flood();
  EXPECT_TRUE(backend_->drained());
  EXPECT_EQ(backend_->dropped_bytes(), 0u);
}

TEST_F(CharacterBackendTest, FileGetsAllOutput) {
  const std::string path = directory_ + "/out";
  std::ofstream(path) << "old contents";
  Start({.mode = CharacterMode::kFile, .path = path});
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    Print(line);
    expected += line;
  }
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), expected);
  EXPECT_EQ(backend_->host_path(), path);
}

TEST_F(CharacterBackendTest, FileIsCreatedWithMode0600) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path});
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// Makes writes to the file fail as on a full disk.
TEST_F(CharacterBackendTest, FileErrorsDropOutputUntilWritingWorksAgain) {
  const std::string path = directory_ + "/out";
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 5, .rlim_max = before.rlim_max};
  Start({.mode = CharacterMode::kFile, .path = path});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Print("12345678");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 3; }));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  Print("again");
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "12345\r\n[vmm: 3 bytes dropped]\r\nagain");
}

constexpr uint64_t kLimitBytes = 64 * 1024;

TEST_F(CharacterBackendTest, FileStaysWithinItsLimitHoweverMuchTheGuestPrints) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {  // 100 bytes each: 15 files full
    std::string line = "line " + std::to_string(i) + " ";
    line.resize(99, '.');
    line += '\n';
    expected += line;
    Print(line);
    // Prints no faster than the file takes the output, so that nothing is dropped.
    if (i % 100 == 0) {
      ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
    }
    EXPECT_LE(std::filesystem::file_size(path), kLimitBytes);
    EXPECT_LE(std::filesystem::file_size(path + ".old"), kLimitBytes);
  }
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  const std::string kept = ReadFile(path + ".old") + ReadFile(path);
  EXPECT_GT(kept.size(), kLimitBytes);
  EXPECT_EQ(kept, expected.substr(expected.size() - kept.size()));
  EXPECT_EQ(backend_->dropped_bytes(), 0u);
  EXPECT_EQ(backend_->removed_bytes(), expected.size() - kept.size());
}

TEST_F(CharacterBackendTest, FullFileWithoutAPredecessorIsEmptiedAndMarksTheLoss) {
  const std::string path = directory_ + "/out";
  std::filesystem::create_directory(path + ".old");
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  const std::string full(kLimitBytes, 'a');
  Print(full);
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(std::filesystem::file_size(path), kLimitBytes);
  Print("THE END");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(ReadFile(path), "\r\n[vmm: 65536 bytes dropped]\r\nTHE END");
  EXPECT_EQ(backend_->dropped_bytes(), kLimitBytes);
}

TEST_F(CharacterBackendTest, FileThatWasMovedAwayKeepsItsContentsAndGetsNoMore) {
  const std::string path = directory_ + "/out", saved = directory_ + "/saved";
  Start({.mode = CharacterMode::kFile, .path = path, .max_file_bytes = kLimitBytes});
  Print(std::string(kLimitBytes, 'a'));
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::filesystem::rename(path, saved);
  Print("more");
  EXPECT_TRUE(Eventually([this] { return backend_->dropped_bytes() == 4; }));
  EXPECT_EQ(ReadFile(saved), std::string(kLimitBytes, 'a'));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(backend_->drained());
}

TEST_F(CharacterBackendTest, RegularFileAsStandardOutputStaysWithinTheLimit) {
  const std::string path = directory_ + "/log";
  const base::UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Start({.mode = CharacterMode::kTty,
         .max_file_bytes = kLimitBytes,
         .input_fd = null.get(),
         .output_fd = log.get()});
  Flood();
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  Print("more");
  EXPECT_TRUE(backend_->drained());
  const uint64_t stored = std::filesystem::file_size(path);
  EXPECT_LE(stored, kLimitBytes);
  EXPECT_GT(stored, kLimitBytes / 2);
  EXPECT_FALSE(std::filesystem::exists(path + ".old"));
}

// logrotate's copytruncate empties a file like this.
TEST_F(CharacterBackendTest, OutputToAnEmptiedFileContinuesAtItsBeginning) {
  const std::string path = directory_ + "/out";
  Start({.mode = CharacterMode::kFile, .path = path});
  Print("before");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::filesystem::resize_file(path, 0);
  Print("after");
  ASSERT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_EQ(ReadFile(path), "after");
}

// A pipe stores nothing, so its reader may take any amount.
TEST_F(CharacterBackendTest, FifoHasNoLimit) {
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const base::UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  Start({.mode = CharacterMode::kFile, .path = fifo, .max_file_bytes = kLimitBytes});
  const std::string piece(kLimitBytes / 2, 'p');
  for (int i = 0; i < 10; ++i) {
    Print(piece + std::to_string(i));
    EXPECT_EQ(ReadUntil(reader.get(), std::to_string(i)), piece + std::to_string(i));
  }
  EXPECT_FALSE(std::filesystem::exists(fifo + ".old"));
}

TEST_F(CharacterBackendTest, FullDeviceDropsOutputButNeverBlocks) {
  Start({.mode = CharacterMode::kFile, .path = "/dev/full"});
  Flood();
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  EXPECT_GE(backend_->dropped_bytes(), kFloodBytes);
}

TEST_F(CharacterBackendTest, ErrorsNameKeyAndPath) {
  EXPECT_EQ(
      Error({.mode = CharacterMode::kFile, .path = "/nonexistent/x"}),
      "console.file: /nonexistent/x: cannot open for writing (make its folder first): No such "
      "file or directory (ENOENT)");
  EXPECT_THAT(Error({.mode = CharacterMode::kSocket, .path = "/nonexistent/x"}),
              HasSubstr("console.socket: /nonexistent/x.lock: cannot open"));
  EXPECT_THAT(Error({.mode = CharacterMode::kTty, .output_fd = 999}),
              HasSubstr("console: standard output is not open"));
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(Error({.mode = CharacterMode::kFile, .path = fifo}),
              HasSubstr("a FIFO needs its reader first"));
}

TEST_F(CharacterBackendTest, RegularFileAsStandardOutputIsAppendedTo) {
  const std::string path = directory_ + "/log";
  std::ofstream(path) << "before\n";
  const base::UniqueFd log(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  const base::UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Start({.mode = CharacterMode::kTty, .input_fd = null.get(), .output_fd = log.get()});
  Print("from the guest\n");
  EXPECT_TRUE(Eventually([this] { return backend_->drained(); }));
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "before\nfrom the guest\n");
}

}  // namespace
}  // namespace devices
