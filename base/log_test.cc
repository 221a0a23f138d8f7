#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace base {
namespace {

// Returns what `function` writes to stderr.
std::string Captured(const std::function<void()>& function) {
  const int saved = dup(STDERR_FILENO);
  const int file = memfd_create("stderr", 0);
  // Threads that write to a memfd race for its position, unlike threads that write to other files.
  fcntl(file, F_SETFL, O_APPEND);
  dup2(file, STDERR_FILENO);
  function();
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::string text(static_cast<size_t>(lseek(file, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(file, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  close(file);
  return text;
}

TEST(Log, PrefixesTheLevelOnATerminal) {
  EXPECT_EQ(Captured([] {
              LOG(Info) << "disk " << 3 << ": opened";
              LOG(Warning) << "slow";
              LOG(Error) << "gone";
            }),
            "vmm: disk 3: opened\nvmm: warning: slow\nvmm: error: gone\n");
}

TEST(Log, NeitherPrintsNorEvaluatesLinesBelowTheLevel) {
  int evaluated = 0;
  const auto count = [&evaluated] { return ++evaluated; };
  EXPECT_EQ(Captured([&] { LOG(Debug) << count(); }), "");
  EXPECT_EQ(evaluated, 0);
  SetLogLevel(LogLevel::kDebug);
  EXPECT_EQ(Captured([&] { LOG(Debug) << count(); }), "vmm: debug: 1\n");
  SetLogLevel(LogLevel::kError);
  EXPECT_EQ(Captured([&] { LOG(Warning) << count(); }), "");
  SetLogLevel(LogLevel::kInfo);
}

TEST(Log, ReplacesControlCharactersAndKeepsUtf8) {
  EXPECT_EQ(Captured([] {
              LOG(Info) << "a\nvmm: error: forged\r\x1b[2J\x7f\t" << std::string(1, '\0') << "é";
            }),
            "vmm: a?vmm: error: forged??[2J???é\n");
}

TEST(Log, WritesEachLineInOnePiece) {
  const std::string text = Captured([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 200; ++i) LOG(Info) << std::string(100, static_cast<char>('a' + t));
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); at += 106, ++lines) {
    ASSERT_EQ(text.substr(at, 5), "vmm: ");
    ASSERT_EQ(text.substr(at + 5, 100), std::string(100, text[at + 5]));
    ASSERT_EQ(text[at + 105], '\n');
  }
  EXPECT_EQ(lines, 800u);
}

TEST(Log, NeverWaitsForAReaderAndCountsLostLines) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const int saved = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  // A pipe holds less than this, so a write that waits would wait for ever.
  for (int i = 0; i < 2000; ++i) LOG(Info) << std::string(100, 'a');
  std::string taken(1 << 20, '\0');
  const ssize_t size = read(ends[0], taken.data(), taken.size());
  LOG(Info) << "next";
  char last[128] = {};
  EXPECT_GT(read(ends[0], last, sizeof(last) - 1), 0);
  dup2(saved, STDERR_FILENO);
  for (const int fd : {saved, ends[0], ends[1]}) close(fd);
  ASSERT_GT(size, 0);
  EXPECT_EQ(size % 106, 0) << "a line was cut";
  const ssize_t lost = 2000 - size / 106;
  EXPECT_GT(lost, 0);
  EXPECT_EQ(std::string(last), "vmm: warning: log lines lost, nobody read them: " +
                                   std::to_string(lost) + "\nvmm: next\n");
}

// Returns what arrives at `fd`, from the first byte until nothing has arrived for 200 ms.
std::string ReadWhatComes(int fd) {
  std::string text;
  pollfd readable = {.fd = fd, .events = POLLIN, .revents = 0};
  while (poll(&readable, 1, text.empty() ? 20'000 : 200) > 0) {
    char bytes[4096];
    const ssize_t size = read(fd, bytes, sizeof(bytes));
    if (size <= 0) break;
    text.append(bytes, static_cast<size_t>(size));
  }
  return text;
}

// A terminal that no program reads any more (of a lost ssh session) reports that it can be written
// to until its very last byte is used.
TEST(Log, NeverWaitsForATerminalWithRoomForAPartOfALine) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const int stderr_end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(stderr_end, 0);
  const int saved = dup(STDERR_FILENO);
  dup2(stderr_end, STDERR_FILENO);
  for (size_t i = 0; i < 2000; ++i) LOG(Info) << std::string(50 + i % 50, 'a');
  const std::string before = ReadWhatComes(terminal);
  // More text may have been in transit, so there may have been no room for the next line yet.
  std::string after;
  for (int i = 0; i < 50 && after.find("vmm: next") == std::string::npos; ++i) {
    LOG(Info) << "next";
    after += ReadWhatComes(terminal);
  }
  dup2(saved, STDERR_FILENO);
  for (const int fd : {saved, stderr_end, terminal}) close(fd);
  EXPECT_EQ(before.substr(0, 5), "vmm: ");
  EXPECT_NE(after.find("log lines lost"), std::string::npos) << after;
  EXPECT_NE(after.find("vmm: next"), std::string::npos) << after;
}

TEST(Log, CutsALineAtTwoKilobytes) {
  EXPECT_EQ(Captured([] { LOG(Info) << std::string(10'000, 'a'); }),
            "vmm: " + std::string(2042, 'a') + "\n");
}

TEST(RateLimit, AllowsOneEventPerPeriodAndCountsTheOthers) {
  // On a busy machine a few calls may take longer than the period; the test then tries again.
  for (int attempt = 0; attempt < 20; ++attempt) {
    RateLimit limit;
    uint64_t suppressed = 99;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(limit.Allow(1, suppressed));
    EXPECT_EQ(suppressed, 0u);
    int refused = 0;
    for (int i = 0; i < 5; ++i) refused += limit.Allow(1, suppressed) ? 0 : 1;
    if (std::chrono::steady_clock::now() - start > std::chrono::milliseconds(900)) continue;
    EXPECT_EQ(refused, 5);
    usleep(1'050'000);
    EXPECT_TRUE(limit.Allow(1, suppressed));
    EXPECT_EQ(suppressed, 5u);
    return;
  }
  FAIL() << "six calls never took less than a second";
}

TEST(RateLimit, AllowsOneOfManyThreads) {
  RateLimit limit;
  std::atomic<int> allowed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      uint64_t suppressed;
      for (int i = 0; i < 1000; ++i) allowed += limit.Allow(3600, suppressed);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allowed, 1);
}

TEST(Log, EveryNSecondsPrintsOneLineOfAFlood) {
  EXPECT_EQ(Captured([] {
              for (int i = 0; i < 1000; ++i) LOG_EVERY_N_SEC(Warning, 3600) << "flood " << i;
            }),
            "vmm: warning: flood 0\n");
}

TEST(LogDeathTest, CheckSaysWhereAndWhatAndAborts) {
  EXPECT_EXIT(
      CHECK(1 + 1 == 3), testing::KilledBySignal(SIGABRT),
      "vmm: fatal: this is a bug of vmm, please report it: .*log_test.cc:[0-9]+: 1 \\+ 1 == 3");
  CHECK(true);
}

// The process decides once whether journald reads stderr, so this test needs its own process.
TEST(LogDeathTest, UsesPrioritiesUnderJournald) {
  EXPECT_EXIT(
      {
        setenv("JOURNAL_STREAM", "8:1234", 1);
        LOG(Warning) << "slow";
        _exit(0);
      },
      testing::ExitedWithCode(0), "^<4>slow\n$");
}

}  // namespace
}  // namespace base

int main(int argc, char** argv) {
  unsetenv("JOURNAL_STREAM");
  // Death tests run this program again, so that they inherit no state of other tests.
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
