#include "devices/character/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace devices {
namespace {

class EscapeFilterTest : public ::testing::Test {
 protected:
  std::string Type(const std::string& keys) {
    std::vector<uint8_t> bytes(keys.begin(), keys.end());
    bytes.resize(keys.size() + 1);
    const size_t kept = filter_.Apply(bytes, keys.size());
    return std::string(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(kept));
  }
  int escapes_ = 0;
  EscapeFilter filter_{[this] { ++escapes_; }};
};

TEST_F(EscapeFilterTest, OrdinaryKeysPass) {
  EXPECT_EQ(Type("hello x"), "hello x");
  EXPECT_EQ(Type(""), "");
  EXPECT_EQ(escapes_, 0);
}

TEST_F(EscapeFilterTest, CtrlAXCallsOnEscapeAndDoesNotReachTheGuest) {
  EXPECT_EQ(Type("ab\x01xcd"), "abcd");
  EXPECT_EQ(escapes_, 1);
}

TEST_F(EscapeFilterTest, SequenceMayBeSplitOverReads) {
  EXPECT_EQ(Type("ab\x01"), "ab");
  EXPECT_EQ(escapes_, 0);
  EXPECT_EQ(Type("xcd"), "cd");
  EXPECT_EQ(escapes_, 1);
  EXPECT_EQ(Type("\x01"), "");
  EXPECT_EQ(Type(""), "");
  EXPECT_EQ(Type("q"), "\x01q");
}

TEST_F(EscapeFilterTest, DoubledPrefixIsOneCtrlA) {
  EXPECT_EQ(Type("\x01\x01"), "\x01");
  EXPECT_EQ(Type("x"), "x");
  EXPECT_EQ(Type("\x01"), "");
  EXPECT_EQ(Type("\x01x"), "\x01x");
  EXPECT_EQ(escapes_, 0);
}

TEST_F(EscapeFilterTest, PrefixAndAnotherKeyBothReachTheGuest) {
  EXPECT_EQ(Type("\x01l"), "\x01l");
  EXPECT_EQ(Type("\x01"), "");
  EXPECT_EQ(Type("l\x01xm"), "\x01lm");
  EXPECT_EQ(escapes_, 1);
}

class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    master_.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_EQ(unlockpt(master_.get()), 0);
    terminal_.reset(ioctl(master_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(terminal_.valid());
  }
  void TearDown() override { RestoreTerminal(); }
  termios Mode() {
    termios mode = {};
    EXPECT_EQ(tcgetattr(terminal_.get(), &mode), 0);
    return mode;
  }
  base::UniqueFd master_, terminal_;
};

TEST_F(TerminalTest, RestoreTerminalUndoesMakeTerminalRaw) {
  const termios before = Mode();
  ASSERT_NE(before.c_lflag & ICANON, 0u);
  ASSERT_TRUE(MakeTerminalRaw(terminal_.get()).ok());
  const termios raw = Mode();
  EXPECT_EQ(raw.c_lflag & (ICANON | ECHO | ISIG), 0u);
  EXPECT_EQ(raw.c_oflag & OPOST, 0u);
  RestoreTerminal();
  EXPECT_EQ(Mode().c_lflag, before.c_lflag);
  EXPECT_EQ(Mode().c_iflag, before.c_iflag);
  EXPECT_EQ(Mode().c_oflag, before.c_oflag);
  RestoreTerminal();  // has no effect
}

TEST_F(TerminalTest, OnlyOneAtATime) {
  ASSERT_TRUE(MakeTerminalRaw(terminal_.get()).ok());
  EXPECT_EQ(MakeTerminalRaw(terminal_.get()).code(), absl::StatusCode::kAlreadyExists);
  RestoreTerminal();
  EXPECT_TRUE(MakeTerminalRaw(terminal_.get()).ok());
}

// A shell changes the mode like this after it has stopped a job.
TEST_F(TerminalTest, IsMadeRawAgainAfterAnotherProgramChangedIt) {
  const termios before = Mode();
  EXPECT_FALSE(RenewRawTerminal(terminal_.get()));
  ASSERT_TRUE(MakeTerminalRaw(terminal_.get()).ok());
  ASSERT_EQ(tcsetattr(terminal_.get(), TCSANOW, &before), 0);
  EXPECT_TRUE(RenewRawTerminal(terminal_.get()));
  EXPECT_EQ(Mode().c_lflag & (ICANON | ECHO | ISIG), 0u);
  RestoreTerminal();
  EXPECT_EQ(Mode().c_lflag, before.c_lflag);
}

TEST_F(TerminalTest, ForgottenTerminalIsNotRestored) {
  ASSERT_TRUE(MakeTerminalRaw(terminal_.get()).ok());
  const termios others = Mode();
  ForgetTerminal();
  RestoreTerminal();
  EXPECT_EQ(Mode().c_lflag, others.c_lflag);
}

TEST_F(TerminalTest, RestoredOnExit) {
  const termios before = Mode();
  EXPECT_EXIT(
      {
        if (MakeTerminalRaw(terminal_.get()).ok() && (Mode().c_lflag & ICANON) == 0) exit(7);
      },
      ::testing::ExitedWithCode(7), "");
  EXPECT_EQ(Mode().c_lflag, before.c_lflag);
}

TEST_F(TerminalTest, NotATerminalIsAnError) {
  const base::UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(MakeTerminalRaw(null.get()).ok());
  EXPECT_EQ(GetTerminalUse(null.get()), TerminalUse::kNone);
  EXPECT_EQ(GetTerminalUse(terminal_.get()), TerminalUse::kForeground);
  master_.reset();
  EXPECT_EQ(GetTerminalUse(terminal_.get()), TerminalUse::kNone) << "hung up";
}

TEST_F(TerminalTest, ReadsTheSizeThatWasSet) {
  EXPECT_FALSE(GetTerminalSize(terminal_.get()).has_value());
  const winsize size = {.ws_row = 25, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(ioctl(master_.get(), TIOCSWINSZ, &size), 0);
  EXPECT_EQ(GetTerminalSize(terminal_.get())->columns, 80);
  EXPECT_EQ(GetTerminalSize(terminal_.get())->rows, 25);
}

}  // namespace
}  // namespace devices
