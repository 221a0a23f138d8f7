// posix-suite [--on SYSTEM] [--only TEXT] [--list] FOLDER: runs the cases in a new folder below
// FOLDER.
//
// Prints a line for each case that fails, and for each case that passes although the list of
// differences says that it cannot pass on SYSTEM (tmpfs, ext4, virtiofs or 9p; by default the file
// system of FOLDER). The last line is "N passed, M failed, K not supported". Exit status: 0 if no
// case failed; 1 if a case failed; 2 for wrong usage; 77 if the suite cannot run (not root, or a
// file system without a list of differences).

#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/posix/runner.h"
#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr int kCannotRun = 77;          // ctest counts this status as skipped
constexpr unsigned kCaseSeconds = 120;  // only ends cases that hang

struct Arguments {
  std::string folder, system, only;
  size_t every = 1;
  bool list = false;
};

struct Totals {
  int passed = 0, failed = 0, not_supported = 0;
};

// RAM disks have O_DIRECT and user attributes since Linux 6.6.
bool IsBeforeLinux66() {
  utsname names = {};
  int major = 0, minor = 0;
  if (uname(&names) != 0 || sscanf(names.release, "%d.%d", &major, &minor) != 2) return true;
  return major < 6 || (major == 6 && minor < 6);
}

std::string SystemOf(const std::string& folder) {
  struct statfs state = {};
  if (statfs(folder.c_str(), &state) != 0) return "";
  switch (static_cast<unsigned long>(state.f_type)) {
    case TMPFS_MAGIC:
      return IsBeforeLinux66() ? "" : "tmpfs";
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case FUSE_SUPER_MAGIC:
      return "virtiofs";
    case V9FS_MAGIC:
      return "9p";
    default:
      return "";
  }
}

bool Parse(int count, char** words, Arguments& arguments) {
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--list") {
      arguments.list = true;
    } else if (word == "--on" && i + 1 < count) {
      arguments.system = words[++i];
    } else if (word == "--only" && i + 1 < count) {
      arguments.only = words[++i];
    } else if (word == "--every" && i + 1 < count) {
      arguments.every = strtoul(words[++i], nullptr, 10);
    } else if (word[0] != '-' && arguments.folder.empty()) {
      arguments.folder = word;
    } else {
      return false;
    }
  }
  return arguments.every > 0 && (arguments.list || !arguments.folder.empty());
}

int RemoveEntry(const char* path, const struct stat* /*state*/, int /*type*/, FTW* /*ftw*/) {
  return remove(path);
}

[[noreturn]] void RunHere(const Case& one, const std::string& scratch, const std::string& clock) {
  BeginCase(one.name, clock);
  alarm(kCaseSeconds);
  umask(022);
  OK(chdir(scratch.c_str()));
  one.run();
  fflush(stdout);
  _exit(kCasePassed);
}

// Runs a case in its own process and directory. Returns true if it passed.
bool Run(const Case& one, const std::string& folder, bool failure_expected) {
  const std::string scratch = folder + "/" + one.name;
  BeginCase(one.name, "");
  MakeDirectory(scratch);
  fflush(stdout);
  const pid_t child = OK(fork());
  if (child == 0) {
    if (failure_expected) (void)freopen("/dev/null", "w", stdout);
    RunHere(one, scratch, folder + "/clock");
  }
  int status = 0;
  OK(waitpid(child, &status, 0));
  if (WIFSIGNALED(status) && !failure_expected) {
    printf("FAIL %s: ended by signal %d\n", one.name.c_str(), WTERMSIG(status));
  }
  const bool removed = nftw(scratch.c_str(), RemoveEntry, 16, FTW_DEPTH | FTW_PHYS) == 0;
  if (!removed) {
    printf("FAIL %s: its directory cannot be removed: %s\n", one.name.c_str(), strerror(errno));
  }
  return removed && WIFEXITED(status) && WEXITSTATUS(status) == kCasePassed;
}

void Count(const Case& one, const Arguments& arguments, Totals& totals) {
  const Difference* difference = FindDifference(arguments.system, one.name);
  const bool passed = Run(one, arguments.folder, difference != nullptr);
  if (difference == nullptr) {
    ++(passed ? totals.passed : totals.failed);
  } else if (passed) {
    printf("FAIL %s: passes, but %s is listed as unable: %s\n", one.name.c_str(),
           arguments.system.c_str(), difference->reason);
    ++totals.failed;
  } else {
    ++totals.not_supported;
  }
}

int RunAll(Arguments arguments) {
  arguments.folder += "/posix-suite-XXXXXX";
  if (mkdtemp(arguments.folder.data()) == nullptr || chmod(arguments.folder.c_str(), 0755) != 0) {
    fprintf(stderr, "posix-suite: %s: %s\n", arguments.folder.c_str(), strerror(errno));
    return 2;
  }
  Totals totals;
  for (size_t i = 0; i < Cases().size(); i += arguments.every) {
    const Case& one = Cases()[i];
    if (one.name.find(arguments.only) != std::string::npos) Count(one, arguments, totals);
  }
  unlink((arguments.folder + "/clock").c_str());
  if (rmdir(arguments.folder.c_str()) != 0) {
    printf("FAIL: %s cannot be removed: %s\n", arguments.folder.c_str(), strerror(errno));
    ++totals.failed;
  }
  printf("%d passed, %d failed, %d not supported\n", totals.passed, totals.failed,
         totals.not_supported);
  return totals.failed == 0 ? 0 : 1;
}

int Main(int count, char** words) {
  Arguments arguments;
  if (!Parse(count, words, arguments)) {
    fprintf(stderr, "usage: posix-suite [--on SYSTEM] [--only TEXT] [--every N] [--list] FOLDER\n");
    return 2;
  }
  if (arguments.list) {
    for (const Case& one : Cases()) printf("%s\n", one.name.c_str());
    return 0;
  }
  if (arguments.system.empty()) arguments.system = SystemOf(arguments.folder);
  if (geteuid() != 0 || !IsKnownSystem(arguments.system)) {
    fprintf(stderr, "posix-suite: needs root, and a file system with a list of differences\n");
    return kCannotRun;
  }
  if (const Difference* unused = FindUnusedDifference(arguments.system)) {
    fprintf(stderr, "posix-suite: no case is named %s\n", unused->name);
    return 2;
  }
  return RunAll(arguments);
}

}  // namespace
}  // namespace posix

int main(int count, char** words) { return posix::Main(count, words); }
