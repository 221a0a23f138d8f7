#include "tests/posix/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tests/posix/runner.h"

namespace posix {
namespace {

// The name of the case that this process runs.
std::string& RunningCase() {
  static std::string name;
  return name;
}

// A file beside the case's directory, whose times show the file system's clock.
std::string& ClockFile() {
  static std::string path;
  return path;
}

std::string Name(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

// Waits for a child, which has already printed the failure if a check failed.
void Join(pid_t child) {
  int status = 0;
  OK(waitpid(child, &status, 0));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  Fail(__FILE__, __LINE__, "a child was killed by signal " + std::to_string(WTERMSIG(status)));
}

}  // namespace

std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

Registered::Registered(const std::string& name, const std::function<void()>& run) {
  Cases().push_back({name, run});
}

void BeginCase(const std::string& name, const std::string& clock_file) {
  RunningCase() = name;
  ClockFile() = clock_file;
}

void Fail(const char* file, int line, const std::string& text) {
  const char* base = strrchr(file, '/');
  printf("FAIL %s: %s:%d: %s\n", RunningCase().c_str(), base != nullptr ? base + 1 : file, line,
         text.c_str());
  fflush(stdout);
  _exit(kCaseFailed);
}

void FailCall(const char* what, const char* file, int line) {
  Fail(file, line, std::string(what) + ": " + Name(errno));
}

void CheckFails(int error, long result, const char* what, const char* file, int line) {
  if (result != -1) {
    Fail(file, line, std::string(what) + ": is " + std::to_string(result) + ", not " + Name(error));
  }
  if (errno != error) {
    Fail(file, line, std::string(what) + ": " + Name(errno) + ", not " + Name(error));
  }
}

void CheckEqual(long long got, long long wanted, const char* what, const char* file, int line) {
  if (got == wanted) return;
  Fail(file, line,
       std::string(what) + " is " + std::to_string(got) + ", not " + std::to_string(wanted));
}

void CheckText(const std::string& got, const std::string& wanted, const char* what,
               const char* file, int line) {
  if (got == wanted) return;
  size_t same = 0;
  while (same < got.size() && same < wanted.size() && got[same] == wanted[same]) ++same;
  Fail(file, line,
       std::string(what) + " differs at byte " + std::to_string(same) + ": " +
           std::to_string(got.size()) + " bytes \"" + got.substr(same, 20) + "\", wanted " +
           std::to_string(wanted.size()) + " bytes \"" + wanted.substr(same, 20) + "\"");
}

void Make(const std::string& path, const std::string& content, mode_t mode) {
  const int fd = OK(open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600));
  WriteAll(fd, content);
  OK(fchmod(fd, mode));
  OK(close(fd));
}

void MakeDirectory(const std::string& path, mode_t mode) {
  OK(mkdir(path.c_str(), 0700));
  OK(chmod(path.c_str(), mode));
}

void Give(const std::string& path, uid_t uid, gid_t gid) { OK(lchown(path.c_str(), uid, gid)); }

std::string Content(const std::string& path) {
  const int fd = OK(open(path.c_str(), O_RDONLY));
  std::string content;
  char buffer[4096];
  long got = 0;
  while ((got = OK(read(fd, buffer, sizeof(buffer)))) > 0) {
    content.append(buffer, static_cast<size_t>(got));
  }
  OK(close(fd));
  return content;
}

std::string ReadAt(int fd, size_t size, off_t offset) {
  std::string data(size, '\0');
  const long got = OK(pread(fd, data.data(), size, offset));
  data.resize(static_cast<size_t>(got));
  return data;
}

void WriteAll(int fd, const std::string& data) {
  if (!data.empty()) EQUAL(OK(write(fd, data.data(), data.size())), data.size());
}

void WriteAt(int fd, const std::string& data, off_t offset) {
  EQUAL(OK(pwrite(fd, data.data(), data.size(), offset)), data.size());
}

struct stat Stat(const std::string& path) {
  struct stat state = {};
  OK(stat(path.c_str(), &state));
  return state;
}

struct stat Lstat(const std::string& path) {
  struct stat state = {};
  OK(lstat(path.c_str(), &state));
  return state;
}

struct stat Fstat(int fd) {
  struct stat state = {};
  OK(fstat(fd, &state));
  return state;
}

mode_t Permissions(const std::string& path) { return Lstat(path).st_mode & 07777; }

bool Exists(const std::string& path) {
  struct stat state = {};
  if (lstat(path.c_str(), &state) == 0) return true;
  EQUAL(errno, ENOENT);
  return false;
}

std::vector<std::string> Names(const std::string& path) {
  DIR* directory = opendir(path.c_str());
  HOLDS(directory != nullptr);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  EQUAL(errno, 0);
  OK(closedir(directory));
  std::sort(names.begin(), names.end());
  return names;
}

void As(uid_t uid, gid_t gid, const std::function<void()>& run) { As(uid, gid, {}, run); }

void As(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::function<void()>& run) {
  InChild([&] {
    OK(setgroups(groups.size(), groups.data()));
    OK(setresgid(gid, gid, gid));
    OK(setresuid(uid, uid, uid));
    run();
  });
}

void InChild(const std::function<void()>& run) {
  const pid_t child = OK(fork());
  if (child == 0) {
    run();
    _exit(kCasePassed);
  }
  Join(child);
}

void Tick() {
  const int clock = OK(open(ClockFile().c_str(), O_CREAT | O_WRONLY, 0600));
  OK(fchmod(clock, 0600));
  const struct stat begin = Fstat(clock);
  do {
    usleep(2000);
    OK(fchmod(clock, 0600));
  } while (!Newer(Fstat(clock).st_ctim, begin.st_ctim));
  OK(close(clock));
}

bool Newer(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

bool SameTime(const timespec& a, const timespec& b) { return !Newer(a, b) && !Newer(b, a); }

struct stat MakeOld(const std::string& path) {
  const timespec past[2] = {{1000000000, 0}, {1000000000, 0}};
  OK(utimensat(AT_FDCWD, path.c_str(), past, AT_SYMLINK_NOFOLLOW));
  const struct stat state = Lstat(path);
  Tick();
  return state;
}

}  // namespace posix
