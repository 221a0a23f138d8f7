// open(2): each flag with each type of file, access, modes of new files.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

// --- flags and types of files ---

constexpr int kOpens = 0;

struct OpenRow {
  const char* name;
  const char* path;
  int flags;
  int error;  // kOpens if the call succeeds
};

constexpr OpenRow kOpenRows[] = {
    {"missing_rdonly", "none", O_RDONLY, ENOENT},
    {"missing_wronly", "none", O_WRONLY, ENOENT},
    {"missing_truncate", "none", O_RDWR | O_TRUNC, ENOENT},
    {"missing_create", "none", O_RDWR | O_CREAT, kOpens},
    {"missing_create_readonly", "none", O_RDONLY | O_CREAT, kOpens},
    {"missing_create_exclusive", "none", O_RDWR | O_CREAT | O_EXCL, kOpens},
    {"missing_parent_create", "none/below", O_RDWR | O_CREAT, ENOENT},
    {"missing_nofollow", "none", O_RDONLY | O_NOFOLLOW, ENOENT},
    {"missing_directory", "none", O_RDONLY | O_DIRECTORY, ENOENT},
    {"missing_path", "none", O_PATH, ENOENT},
    {"missing_with_slash_create", "none/", O_RDWR | O_CREAT, EISDIR},
    {"file_rdonly", "file", O_RDONLY, kOpens},
    {"file_wronly", "file", O_WRONLY, kOpens},
    {"file_rdwr", "file", O_RDWR, kOpens},
    {"file_append", "file", O_WRONLY | O_APPEND, kOpens},
    {"file_create", "file", O_RDWR | O_CREAT, kOpens},
    {"file_create_exclusive", "file", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"file_directory", "file", O_RDONLY | O_DIRECTORY, ENOTDIR},
    {"file_nofollow", "file", O_RDONLY | O_NOFOLLOW, kOpens},
    {"file_sync", "file", O_WRONLY | O_SYNC, kOpens},
    {"file_dsync", "file", O_WRONLY | O_DSYNC, kOpens},
    {"file_noatime", "file", O_RDONLY | O_NOATIME, kOpens},
    {"file_path", "file", O_PATH, kOpens},
    {"file_as_directory", "file/below", O_RDONLY, ENOTDIR},
    {"file_as_directory_create", "file/below", O_RDWR | O_CREAT, ENOTDIR},
    {"file_with_slash", "file/", O_RDONLY, ENOTDIR},
    {"directory_rdonly", "directory", O_RDONLY, kOpens},
    {"directory_directory", "directory", O_RDONLY | O_DIRECTORY, kOpens},
    {"directory_with_slash", "directory/", O_RDONLY, kOpens},
    {"directory_wronly", "directory", O_WRONLY, EISDIR},
    {"directory_rdwr", "directory", O_RDWR, EISDIR},
    {"directory_create", "directory", O_RDONLY | O_CREAT, EISDIR},
    {"directory_create_exclusive", "directory", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"directory_truncate", "directory", O_RDONLY | O_TRUNC, EISDIR},
    {"dot_wronly", ".", O_WRONLY, EISDIR},
    {"dotdot_rdonly", "..", O_RDONLY, kOpens},
    {"link_rdonly", "link", O_RDONLY, kOpens},
    {"link_nofollow", "link", O_RDONLY | O_NOFOLLOW, ELOOP},
    {"link_nofollow_path", "link", O_PATH | O_NOFOLLOW, kOpens},
    {"link_nofollow_directory", "link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, ENOTDIR},
    {"link_create", "link", O_RDWR | O_CREAT, kOpens},
    {"link_create_exclusive", "link", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"link_directory", "link", O_RDONLY | O_DIRECTORY, ENOTDIR},
    {"directory_link_directory", "directory-link", O_RDONLY | O_DIRECTORY, kOpens},
    {"directory_link_below", "directory-link/inner", O_RDONLY, kOpens},
    {"dangling_rdonly", "dangling", O_RDONLY, ENOENT},
    {"dangling_create", "dangling", O_RDWR | O_CREAT, kOpens},
    {"dangling_create_exclusive", "dangling", O_RDWR | O_CREAT | O_EXCL, EEXIST},
    {"loop_rdonly", "loop-a", O_RDONLY, ELOOP},
    {"loop_create", "loop-a", O_RDWR | O_CREAT, ELOOP},
    {"loop_below", "loop-a/below", O_RDONLY, ELOOP},
    {"self_loop", "loop-self", O_RDONLY, ELOOP},
    {"empty_name", "", O_RDONLY, ENOENT},
    {"fifo_write_nonblock_without_reader", "fifo", O_WRONLY | O_NONBLOCK, ENXIO},
    {"fifo_read_nonblock", "fifo", O_RDONLY | O_NONBLOCK, kOpens},
    {"socket", "socket", O_RDONLY, ENXIO},
};

void MakeOneOfEach() {
  Make("file", "content");
  MakeDirectory("directory");
  Make("directory/inner", "inner");
  OK(symlink("file", "link"));
  OK(symlink("directory", "directory-link"));
  OK(symlink("target", "dangling"));
  OK(symlink("loop-b", "loop-a"));
  OK(symlink("loop-a", "loop-b"));
  OK(symlink("loop-self", "loop-self"));
  OK(mkfifo("fifo", 0644));
  OK(mknod("socket", S_IFSOCK | 0644, 0));
}

void RunOpenRow(const OpenRow& row) {
  MakeOneOfEach();
  if (row.error == kOpens) {
    OK(close(OK(open(row.path, row.flags, 0644))));
  } else {
    FAILS(row.error, open(row.path, row.flags, 0644));
  }
  SAME_TEXT(Content("file"), "content");
}

// --- who may open a file ---

struct AccessRow {
  const char* name;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  bool reads, writes;
};

// The file belongs to kUser and kGroup.
constexpr AccessRow kAccessRows[] = {
    {"owner_of_0600", 0600, kUser, kGroup, true, true},
    {"owner_of_0400", 0400, kUser, kGroup, true, false},
    {"owner_of_0200", 0200, kUser, kGroup, false, true},
    {"owner_of_0077", 0077, kUser, kGroup, false, false},
    {"group_of_0060", 0060, kOtherUser, kGroup, true, true},
    {"group_of_0040", 0040, kOtherUser, kGroup, true, false},
    {"group_of_0606", 0606, kOtherUser, kGroup, false, false},
    {"other_of_0006", 0006, kOtherUser, kOtherGroup, true, true},
    {"other_of_0004", 0004, kOtherUser, kOtherGroup, true, false},
    {"other_of_0660", 0660, kOtherUser, kOtherGroup, false, false},
    {"root_of_0000", 0000, 0, 0, true, true},
};

void TryOpen(const char* path, int flags, bool opens) {
  if (opens) {
    OK(close(OK(open(path, flags))));
  } else {
    FAILS(EACCES, open(path, flags));
  }
}

void RunAccessRow(const AccessRow& row) {
  Make("file", "content", row.mode);
  Give("file", kUser, kGroup);
  const auto try_all = [&row] {
    TryOpen("file", O_RDONLY, row.reads);
    TryOpen("file", O_WRONLY, row.writes);
    TryOpen("file", O_RDWR, row.reads && row.writes);
  };
  row.uid == 0 ? InChild(try_all) : As(row.uid, row.gid, try_all);
}

// --- modes of new files ---

constexpr mode_t kModes[] = {0, 0400, 0600, 0644, 0666, 0755, 0777, 01777, 02755, 04755};
constexpr mode_t kUmasks[] = {0, 022, 077, 0777};

std::string Octal(mode_t mode) {
  char text[8];
  snprintf(text, sizeof(text), "%04o", mode);
  return text;
}

void CheckNewModes(mode_t mode, mode_t mask) {
  umask(mask);
  const mode_t wanted = mode & ~mask;
  OK(close(OK(open("file", O_CREAT | O_WRONLY, mode))));
  EQUAL(Permissions("file"), wanted);
  OK(mkfifo("fifo", mode));
  EQUAL(Permissions("fifo"), wanted & 07777);
  OK(mknod("node", S_IFREG | mode, 0));
  EQUAL(Permissions("node"), wanted);
  // mkdir uses the permissions and the sticky bit, but no set-id bits [mkdir(2)].
  OK(mkdir("directory", mode));
  EQUAL(Permissions("directory"), wanted & 01777);
}

bool Register() {
  for (const OpenRow& row : kOpenRows) {
    Registered(std::string("open.") + row.name, [&row] { RunOpenRow(row); });
  }
  for (const AccessRow& row : kAccessRows) {
    Registered(std::string("open.access_") + row.name, [&row] { RunAccessRow(row); });
  }
  for (const mode_t mode : kModes) {
    for (const mode_t mask : kUmasks) {
      Registered("create.mode_" + Octal(mode) + "_umask_" + Octal(mask),
                 [mode, mask] { CheckNewModes(mode, mask); });
    }
  }
  return true;
}

const bool kRegistered = Register();

POSIX_CASE(open, truncate_empties_the_file) {
  Make("file", "content");
  OK(close(OK(open("file", O_WRONLY | O_TRUNC))));
  EQUAL(Stat("file").st_size, 0);
}

POSIX_CASE(open, truncate_readonly_empties_too) {
  Make("file", "content");
  OK(close(OK(open("file", O_RDONLY | O_TRUNC))));
  EQUAL(Stat("file").st_size, 0);
}

POSIX_CASE(open, truncate_without_write_permission_leaves_the_file) {
  Make("file", "content", 0444);
  As(kUser, kGroup, [] { FAILS(EACCES, open("file", O_RDONLY | O_TRUNC)); });
  SAME_TEXT(Content("file"), "content");
}

POSIX_CASE(open, create_through_dangling_link_makes_its_target) {
  OK(symlink("target", "link"));
  Make("link", "through");
  SAME_TEXT(Content("target"), "through");
  HOLDS(S_ISLNK(Lstat("link").st_mode));
}

POSIX_CASE(open, mode_of_a_new_file_does_not_bind_its_maker) {
  const int fd = OK(open("file", O_CREAT | O_RDWR, 0));
  WriteAll(fd, "written");
  SAME_TEXT(ReadAt(fd, 100, 0), "written");
}

POSIX_CASE(open, unprivileged_maker_of_mode_0_can_write_too) {
  MakeDirectory("open-to-all", 0777);
  As(kUser, kGroup, [] {
    const int fd = OK(open("open-to-all/file", O_CREAT | O_RDWR, 0));
    WriteAll(fd, "written");
    SAME_TEXT(ReadAt(fd, 100, 0), "written");
    FAILS(EACCES, open("open-to-all/file", O_RDONLY));
  });
}

POSIX_CASE(open, new_file_belongs_to_its_maker) {
  MakeDirectory("open-to-all", 0777);
  As(kUser, kGroup, [] { Make("open-to-all/file"); });
  EQUAL(Stat("open-to-all/file").st_uid, kUser);
  EQUAL(Stat("open-to-all/file").st_gid, kGroup);
}

POSIX_CASE(open, create_needs_write_permission_on_the_directory) {
  MakeDirectory("closed", 0755);
  As(kUser, kGroup, [] { FAILS(EACCES, open("closed/file", O_CREAT | O_RDWR, 0644)); });
}

POSIX_CASE(open, lookup_needs_search_permission_on_the_directory) {
  MakeDirectory("closed", 0766);
  Make("closed/file");
  As(kUser, kGroup, [] {
    FAILS(EACCES, open("closed/file", O_RDONLY));
    FAILS(EACCES, open("closed/none", O_RDONLY));
  });
}

POSIX_CASE(open, search_without_read_permission_is_enough) {
  MakeDirectory("search", 0711);
  Make("search/file");
  As(kUser, kGroup, [] {
    OK(open("search/file", O_RDONLY));
    FAILS(EACCES, open("search", O_RDONLY));
  });
}

POSIX_CASE(open, noatime_is_for_the_owner) {
  Make("file");
  As(kUser, kGroup, [] { FAILS(EPERM, open("file", O_RDONLY | O_NOATIME)); });
}

POSIX_CASE(open, wronly_does_not_read_and_rdonly_not_write) {
  Make("file", "content");
  char byte = 'x';
  FAILS(EBADF, read(OK(open("file", O_WRONLY)), &byte, 1));
  FAILS(EBADF, write(OK(open("file", O_RDONLY)), &byte, 1));
}

POSIX_CASE(open, path_descriptor_reads_nothing_but_stats) {
  Make("file", "content");
  const int fd = OK(open("file", O_PATH));
  char byte = 0;
  FAILS(EBADF, read(fd, &byte, 1));
  EQUAL(Fstat(fd).st_size, 7);
}

POSIX_CASE(open, openat_resolves_below_the_descriptor) {
  MakeDirectory("directory");
  const int directory = OK(open("directory", O_RDONLY | O_DIRECTORY));
  OK(close(OK(openat(directory, "file", O_CREAT | O_WRONLY, 0644))));
  HOLDS(Exists("directory/file"));
}

POSIX_CASE(open, openat_of_a_file_descriptor_is_enotdir) {
  Make("file");
  const int fd = OK(open("file", O_RDONLY));
  FAILS(ENOTDIR, openat(fd, "below", O_RDONLY));
}

POSIX_CASE(open, two_descriptors_have_positions_of_their_own) {
  Make("file", "abcdef");
  const int first = OK(open("file", O_RDONLY));
  const int second = OK(open("file", O_RDONLY));
  char byte = 0;
  EQUAL(read(first, &byte, 1), 1);
  EQUAL(lseek(first, 0, SEEK_CUR), 1);
  EQUAL(lseek(second, 0, SEEK_CUR), 0);
}

POSIX_CASE(open, many_descriptors_of_one_file) {
  Make("file", "content");
  int fds[200];
  for (int& fd : fds) fd = OK(open("file", O_RDWR));
  WriteAt(fds[0], "CONTENT", 0);
  for (const int fd : fds) SAME_TEXT(ReadAt(fd, 7, 0), "CONTENT");
}

POSIX_CASE(open, exclusive_create_has_one_winner) {
  constexpr int kRacers = 4;
  for (int round = 0; round < 8; ++round) {
    const std::string name = "file" + std::to_string(round);
    for (int i = 0; i < kRacers; ++i) {
      const pid_t child = OK(fork());
      if (child == 0) {
        const bool won = open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0644) >= 0;
        if (won) OK(mkdir((name + "-won").c_str(), 0755));  // fails if there is a second winner
        _exit(won || errno == EEXIST ? 0 : 1);
      }
    }
    for (int i = 0; i < kRacers; ++i) {
      int status = 0;
      OK(wait(&status));
      EQUAL(status, 0);
    }
    HOLDS(Exists(name + "-won"));
  }
}

// --- O_TMPFILE ---

POSIX_CASE(tmpfile, has_no_name_and_is_written) {
  const int fd = OK(open(".", O_TMPFILE | O_RDWR, 0640));
  WriteAll(fd, "nameless");
  SAME_TEXT(ReadAt(fd, 100, 0), "nameless");
  EQUAL(Fstat(fd).st_nlink, 0);
  HOLDS(Names(".").empty());
}

POSIX_CASE(tmpfile, is_linked_by_descriptor) {
  const int fd = OK(open(".", O_TMPFILE | O_RDWR, 0640));
  WriteAll(fd, "nameless");
  OK(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
  SAME_TEXT(Content("named"), "nameless");
  EQUAL(Permissions("named"), 0640);
  EQUAL(Fstat(fd).st_nlink, 1);
}

POSIX_CASE(tmpfile, exclusive_is_never_linked) {
  const int fd = OK(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0640));
  FAILS(ENOENT, linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
}

POSIX_CASE(tmpfile, needs_a_directory_and_write_access) {
  Make("file");
  FAILS(ENOTDIR, open("file", O_TMPFILE | O_RDWR, 0640));
  FAILS(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0640));
}

}  // namespace
}  // namespace posix
