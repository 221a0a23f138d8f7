#include "devices/character/rotating_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

using testing::HasSubstr;
using Outcome = RotatingFile::Outcome;

class RotatingFileTest : public testing::Test {
 protected:
  RotatingFileTest() {
    char name[] = "/tmp/rotating_file_test.XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/log";
    old_ = path_ + ".old";
  }
  ~RotatingFileTest() override { std::filesystem::remove_all(directory_); }

  RotatingFile Open(const std::string& path) {
    base::UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_TRUE(file.valid());
    return RotatingFile(std::move(file), path);
  }
  static void Put(const RotatingFile& file, const std::string& text) {
    EXPECT_EQ(pwrite(file.file(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string directory_, path_, old_;
};

TEST_F(RotatingFileTest, NewestOutputIsInFileAndTheOutputBeforeIsInOld) {
  RotatingFile file = Open(path_);
  EXPECT_EQ(file.predecessor_error(), "");
  for (const std::string text : {"one", "two", "three"}) {
    Put(file, text);
    EXPECT_EQ(Read(path_), text);
    const RotatingFile::Rotation rotation = file.Rotate();
    EXPECT_EQ(rotation.outcome, Outcome::kExchanged) << rotation.error;
    EXPECT_EQ(Read(path_), "");
    EXPECT_EQ(Read(old_), text);
  }
  struct stat status;
  for (const std::string& path : {path_, old_}) {
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << path;
  }
}

TEST_F(RotatingFileTest, OldFileOfAnEarlierRunStaysUntilTheFirstRotation) {
  std::ofstream(old_) << "of an earlier run, and longer";
  RotatingFile file = Open(path_);
  Put(file, "new");
  EXPECT_EQ(Read(old_), "of an earlier run, and longer");
  EXPECT_EQ(file.Rotate().outcome, Outcome::kExchanged);
  EXPECT_EQ(Read(old_), "new");
}

// The file that the link leads to gets the output, and the predecessor is beside that file.
TEST_F(RotatingFileTest, LinkToTheFileStaysALink) {
  const std::string target = directory_ + "/elsewhere";
  std::filesystem::create_symlink(target, path_);
  RotatingFile file = Open(path_);
  Put(file, "text");
  EXPECT_EQ(file.Rotate().outcome, Outcome::kExchanged);
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_EQ(Read(target + ".old"), "text");
  EXPECT_FALSE(std::filesystem::exists(old_));
}

TEST_F(RotatingFileTest, PredecessorThatIsALinkIsNotFollowed) {
  const std::string precious = directory_ + "/precious";
  std::ofstream(precious) << "precious";
  std::filesystem::create_symlink(precious, old_);
  RotatingFile file = Open(path_);
  EXPECT_EQ(file.predecessor_error(), old_ + ": is a symbolic link");
  EXPECT_EQ(file.predecessor(), -1);
  Put(file, "text");
  EXPECT_EQ(file.Rotate().outcome, Outcome::kStartedOver);
  EXPECT_EQ(Read(path_), "");
  EXPECT_EQ(Read(precious), "precious");
}

TEST_F(RotatingFileTest, PredecessorThatIsNoSeparateRegularFileIsRefused) {
  ASSERT_EQ(mkfifo(old_.c_str(), 0600), 0);
  EXPECT_THAT(Open(path_).predecessor_error(), HasSubstr("log.old: "));
  std::filesystem::remove(old_);
  std::filesystem::create_directory(old_);
  EXPECT_THAT(Open(path_).predecessor_error(), HasSubstr("log.old: Is a directory"));
  std::filesystem::remove(old_);
  ASSERT_EQ(link(path_.c_str(), old_.c_str()), 0);
  EXPECT_EQ(Open(path_).predecessor_error(), old_ + ": is the same file as log");
}

TEST_F(RotatingFileTest, RemovedPredecessorMakesARotationEmptyTheFile) {
  RotatingFile file = Open(path_);
  Put(file, "text");
  std::filesystem::remove(old_);
  const RotatingFile::Rotation rotation = file.Rotate();
  EXPECT_EQ(rotation.outcome, Outcome::kStartedOver);
  EXPECT_EQ(rotation.error, "log.old was moved, removed or replaced");
  EXPECT_EQ(Read(path_), "");
  EXPECT_FALSE(std::filesystem::exists(old_));
}

// Neither a file that another program has put aside nor a file in its place may be touched.
TEST_F(RotatingFileTest, FilesThatWereMovedAwayOrReplacedKeepTheirContents) {
  const std::string saved = directory_ + "/saved", saved_old = directory_ + "/saved.old";
  RotatingFile file = Open(path_);
  Put(file, "first");
  ASSERT_EQ(file.Rotate().outcome, Outcome::kExchanged);
  Put(file, "second");
  std::filesystem::rename(old_, saved_old);
  std::filesystem::rename(path_, saved);
  EXPECT_EQ(file.Rotate().outcome, Outcome::kLost);
  std::ofstream(path_) << "another's";
  std::ofstream(old_) << "another's";
  EXPECT_EQ(file.Rotate().outcome, Outcome::kLost);
  EXPECT_EQ(Read(saved), "second");
  EXPECT_EQ(Read(saved_old), "first");
  EXPECT_EQ(Read(path_), "another's");
  EXPECT_EQ(Read(old_), "another's");
}

TEST_F(RotatingFileTest, NeedsNoDescriptorAndNoPathToRotate) {
  RotatingFile file = Open(path_);
  Put(file, "text");
  const std::string moved = directory_ + ".moved";
  std::filesystem::rename(directory_, moved);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const RotatingFile::Rotation rotation = file.Rotate();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(rotation.outcome, Outcome::kExchanged) << rotation.error;
  EXPECT_EQ(Read(moved + "/log.old"), "text");
  std::filesystem::rename(moved, directory_);
}

}  // namespace
}  // namespace devices
