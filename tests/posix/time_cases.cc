// Times of files: setting them, and which operation changes which time. The cases compare only
// stamps of the tested file system, whose clock may be another machine's.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr long kSecondOfNanoseconds = 1000000000;

void SetTimes(const char* path, timespec access, timespec modification, int flags = 0) {
  const timespec times[2] = {access, modification};
  OK(utimensat(AT_FDCWD, path, times, flags));
}

// --- utimensat ---

struct TimeRow {
  const char* name;
  timespec time;
};

constexpr TimeRow kTimeRows[] = {
    {"epoch", {0, 0}},
    {"one_nanosecond", {1, 1}},
    {"all_nanoseconds", {1234567890, 999999999}},
    {"before_1970", {-1000, 5}},
    {"end_of_31_bits", {0x7fffffff, 123456789}},
    {"after_2038", {0x80000000LL, 987654321}},
    {"year_2200", {7258118400LL, 1}},
};

void RunTimeRow(const TimeRow& row) {
  Make("file");
  SetTimes("file", row.time, {row.time.tv_sec + 1, row.time.tv_nsec});
  const struct stat state = Stat("file");
  EQUAL(state.st_atim.tv_sec, row.time.tv_sec);
  EQUAL(state.st_atim.tv_nsec, row.time.tv_nsec);
  EQUAL(state.st_mtim.tv_sec, row.time.tv_sec + 1);
  EQUAL(state.st_mtim.tv_nsec, row.time.tv_nsec);
}

// --- which operation changes which time ---

enum Stamp { kLeft, kStamped };

struct StampRow {
  const char* name;
  const char* path;  // the file whose times are checked
  void (*act)();
  Stamp modification, change;
};

// Before each operation there are a file "file" of 7 bytes, a link "link", and a directory
// "directory" that contains a file "inner" and a directory "empty".
const StampRow kStampRows[] = {
    {"write", "file", [] { WriteAt(OK(open("file", O_WRONLY)), "x", 0); }, kStamped, kStamped},
    {"append", "file", [] { WriteAll(OK(open("file", O_WRONLY | O_APPEND)), "x"); }, kStamped,
     kStamped},
    {"write_of_nothing", "file", [] { EQUAL(write(OK(open("file", O_WRONLY)), "", 0), 0); }, kLeft,
     kLeft},
    {"read", "file", [] { Content("file"); }, kLeft, kLeft},
    {"stat", "file", [] { Stat("file"); }, kLeft, kLeft},
    {"open_and_close", "file", [] { OK(close(OK(open("file", O_RDWR)))); }, kLeft, kLeft},
    {"truncate", "file", [] { OK(truncate("file", 3)); }, kStamped, kStamped},
    {"truncate_longer", "file", [] { OK(truncate("file", 30)); }, kStamped, kStamped},
    {"ftruncate_to_its_size", "file", [] { OK(ftruncate(OK(open("file", O_RDWR)), 7)); }, kStamped,
     kStamped},
    {"open_truncate", "file", [] { OK(open("file", O_WRONLY | O_TRUNC)); }, kStamped, kStamped},
    {"fallocate", "file", [] { OK(fallocate(OK(open("file", O_RDWR)), 0, 0, 100)); }, kStamped,
     kStamped},
    {"chmod", "file", [] { OK(chmod("file", 0600)); }, kLeft, kStamped},
    {"chmod_to_what_it_is", "file", [] { OK(chmod("file", 0644)); }, kLeft, kStamped},
    {"chown", "file", [] { OK(chown("file", kUser, kGroup)); }, kLeft, kStamped},
    {"link", "file", [] { OK(link("file", "name")); }, kLeft, kStamped},
    {"link_parent", "directory", [] { OK(link("file", "directory/name")); }, kStamped, kStamped},
    {"rename", "file", [] { OK(rename("file", "name")), OK(rename("name", "file")); }, kLeft,
     kStamped},
    {"rename_from_parent", "directory", [] { OK(rename("directory/inner", "name")); }, kStamped,
     kStamped},
    {"rename_to_parent", "directory", [] { OK(rename("file", "directory/name")); }, kStamped,
     kStamped},
    {"create_parent", "directory", [] { Make("directory/new"); }, kStamped, kStamped},
    {"mkdir_parent", "directory", [] { OK(mkdir("directory/new", 0755)); }, kStamped, kStamped},
    {"symlink_parent", "directory", [] { OK(symlink("x", "directory/new")); }, kStamped, kStamped},
    {"mkfifo_parent", "directory", [] { OK(mkfifo("directory/new", 0644)); }, kStamped, kStamped},
    {"unlink_parent", "directory", [] { OK(unlink("directory/inner")); }, kStamped, kStamped},
    {"rmdir_parent", "directory", [] { OK(rmdir("directory/empty")); }, kStamped, kStamped},
    {"write_parent", "directory", [] { WriteAt(OK(open("directory/inner", O_WRONLY)), "x", 0); },
     kLeft, kLeft},
    {"readdir", "directory", [] { Names("directory"); }, kLeft, kLeft},
    {"failed_create_parent", "directory",
     [] { FAILS(EEXIST, open("directory/inner", O_CREAT | O_EXCL | O_RDWR, 0644)); }, kLeft, kLeft},
    {"failed_rmdir", "directory", [] { FAILS(ENOTEMPTY, rmdir("directory")); }, kLeft, kLeft},
    {"chmod_directory", "directory", [] { OK(chmod("directory", 0700)); }, kLeft, kStamped},
    {"readlink", "link",
     [] {
       char text[10];
       OK(readlink("link", text, 10));
     },
     kLeft, kLeft},
    {"lchown", "link", [] { OK(lchown("link", kUser, kGroup)); }, kLeft, kStamped},
    {"utimensat", "file",
     [] {
       SetTimes("file", {5, 5}, {1000000000, 0});
     },
     kLeft, kStamped},
    {"mapped_write", "file",
     [] {
       const int fd = OK(open("file", O_RDWR));
       void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
       HOLDS(memory != MAP_FAILED);
       *static_cast<char*>(memory) = 'x';
       OK(msync(memory, 4096, MS_SYNC));
     },
     kStamped, kStamped},
};

void RunStampRow(const StampRow& row) {
  Make("file", "content");
  MakeDirectory("directory");
  Make("directory/inner", "content");
  MakeDirectory("directory/empty");
  OK(symlink("file", "link"));
  const struct stat before = MakeOld(row.path);
  row.act();
  const struct stat after = Lstat(row.path);
  EQUAL(Newer(after.st_mtim, before.st_mtim), row.modification == kStamped);
  if (row.modification == kLeft) HOLDS(SameTime(after.st_mtim, before.st_mtim));
  EQUAL(Newer(after.st_ctim, before.st_ctim), row.change == kStamped);
}

bool Register() {
  for (const TimeRow& row : kTimeRows) {
    Registered(std::string("times.set_to_") + row.name, [&row] { RunTimeRow(row); });
  }
  for (const StampRow& row : kStampRows) {
    Registered(std::string("stamps.") + row.name, [&row] { RunStampRow(row); });
  }
  return true;
}

const bool kRegistered = Register();

POSIX_CASE(times, omit_leaves_one) {
  Make("file");
  SetTimes("file", {100, 1}, {200, 2});
  SetTimes("file", {0, UTIME_OMIT}, {300, 3});
  EQUAL(Stat("file").st_atim.tv_sec, 100);
  EQUAL(Stat("file").st_atim.tv_nsec, 1);
  EQUAL(Stat("file").st_mtim.tv_sec, 300);
  SetTimes("file", {400, 4}, {0, UTIME_OMIT});
  EQUAL(Stat("file").st_atim.tv_sec, 400);
  EQUAL(Stat("file").st_mtim.tv_nsec, 3);
}

POSIX_CASE(times, omit_both_changes_nothing) {
  Make("file");
  const struct stat before = MakeOld("file");
  SetTimes("file", {0, UTIME_OMIT}, {0, UTIME_OMIT});
  HOLDS(SameTime(Stat("file").st_mtim, before.st_mtim));
  HOLDS(SameTime(Stat("file").st_ctim, before.st_ctim));
}

POSIX_CASE(times, now_sets_both) {
  Make("file");
  const struct stat before = MakeOld("file");
  SetTimes("file", {0, UTIME_NOW}, {0, UTIME_NOW});
  HOLDS(Newer(Stat("file").st_mtim, before.st_mtim));
  HOLDS(Newer(Stat("file").st_atim, before.st_atim));
}

POSIX_CASE(times, now_sets_one) {
  Make("file");
  const struct stat before = MakeOld("file");
  SetTimes("file", {0, UTIME_OMIT}, {0, UTIME_NOW});
  HOLDS(Newer(Stat("file").st_mtim, before.st_mtim));
  HOLDS(SameTime(Stat("file").st_atim, before.st_atim));
}

POSIX_CASE(times, now_and_a_given_one) {
  Make("file");
  const struct stat before = MakeOld("file");
  SetTimes("file", {123, 456}, {0, UTIME_NOW});
  EQUAL(Stat("file").st_atim.tv_sec, 123);
  EQUAL(Stat("file").st_atim.tv_nsec, 456);
  HOLDS(Newer(Stat("file").st_mtim, before.st_mtim));
}

POSIX_CASE(times, null_is_now) {
  Make("file");
  const struct stat before = MakeOld("file");
  OK(utimensat(AT_FDCWD, "file", nullptr, 0));
  HOLDS(Newer(Stat("file").st_mtim, before.st_mtim));
  HOLDS(Newer(Stat("file").st_atim, before.st_atim));
}

POSIX_CASE(times, bad_nanoseconds_are_einval) {
  Make("file");
  const timespec bad[2] = {{1, kSecondOfNanoseconds}, {1, 0}};
  FAILS(EINVAL, utimensat(AT_FDCWD, "file", bad, 0));
}

POSIX_CASE(times, of_a_link_itself) {
  Make("file");
  OK(symlink("file", "link"));
  SetTimes("file", {1, 1}, {2, 2});
  SetTimes("link", {100, 1}, {200, 2}, AT_SYMLINK_NOFOLLOW);
  EQUAL(Lstat("link").st_mtim.tv_sec, 200);
  EQUAL(Stat("file").st_mtim.tv_sec, 2);
}

POSIX_CASE(times, through_a_link) {
  Make("file");
  OK(symlink("file", "link"));
  SetTimes("link", {100, 1}, {200, 2});
  EQUAL(Stat("file").st_mtim.tv_sec, 200);
}

POSIX_CASE(times, of_a_directory) {
  MakeDirectory("directory");
  SetTimes("directory", {100, 1}, {200, 2});
  EQUAL(Stat("directory").st_mtim.tv_sec, 200);
  EQUAL(Stat("directory").st_mtim.tv_nsec, 2);
}

POSIX_CASE(times, of_an_open_file) {
  Make("file");
  const int fd = OK(open("file", O_RDONLY));
  const timespec times[2] = {{100, 1}, {200, 2}};
  OK(futimens(fd, times));
  EQUAL(Fstat(fd).st_mtim.tv_sec, 200);
  EQUAL(Stat("file").st_atim.tv_nsec, 1);
}

POSIX_CASE(times, set_after_writing_stay_set) {
  const int fd = OK(open("file", O_CREAT | O_RDWR, 0644));
  WriteAll(fd, "content");
  const timespec times[2] = {{100, 1}, {200, 2}};
  OK(futimens(fd, times));
  EQUAL(Fstat(fd).st_mtim.tv_sec, 200);
  OK(close(fd));
  EQUAL(Stat("file").st_mtim.tv_sec, 200);
  EQUAL(Stat("file").st_mtim.tv_nsec, 2);
}

POSIX_CASE(times, setting_needs_ownership) {
  Make("file", "", 0666);
  As(kUser, kGroup, [] {
    const timespec times[2] = {{1, 1}, {2, 2}};
    FAILS(EPERM, utimensat(AT_FDCWD, "file", times, 0));
  });
}

POSIX_CASE(times, setting_to_now_needs_write_access) {
  Make("file", "", 0666);
  Make("readonly", "", 0644);
  As(kUser, kGroup, [] {
    OK(utimensat(AT_FDCWD, "file", nullptr, 0));
    FAILS(EACCES, utimensat(AT_FDCWD, "readonly", nullptr, 0));
  });
}

POSIX_CASE(times, missing_name_is_enoent) {
  FAILS(ENOENT, utimensat(AT_FDCWD, "none", nullptr, 0));
}

POSIX_CASE(stamps, new_file) {
  Make("old");
  Tick();
  OK(close(OK(open("file", O_CREAT | O_WRONLY, 0644))));
  HOLDS(Newer(Stat("file").st_atim, Stat("old").st_mtim));
  HOLDS(Newer(Stat("file").st_mtim, Stat("old").st_mtim));
  HOLDS(Newer(Stat("file").st_ctim, Stat("old").st_ctim));
}

POSIX_CASE(stamps, change_time_of_a_lost_name) {
  Make("file");
  OK(link("file", "name"));
  const struct stat before = MakeOld("file");
  OK(unlink("name"));
  HOLDS(Newer(Stat("file").st_ctim, before.st_ctim));
  HOLDS(SameTime(Stat("file").st_mtim, before.st_mtim));
}

POSIX_CASE(stamps, change_time_of_a_replaced_file) {
  Make("file");
  Make("other");
  OK(link("file", "name"));
  const struct stat before = MakeOld("file");
  OK(rename("other", "name"));
  HOLDS(Newer(Stat("file").st_ctim, before.st_ctim));
}

}  // namespace
}  // namespace posix
