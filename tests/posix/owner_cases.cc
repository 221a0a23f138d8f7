// Owners and permissions: chmod(2), chown(2), set-id bits, sticky and set-group-id directories,
// access(2).

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr uid_t kSame = static_cast<uid_t>(-1);

// --- chmod ---

constexpr mode_t kModes[] = {0, 0111, 0400, 0644, 0777, 01777, 02755, 04755, 06711, 07777};

bool RegisterModes() {
  for (const mode_t mode : kModes) {
    char name[16];
    snprintf(name, sizeof(name), "%04o", mode);
    Registered(std::string("chmod.file_") + name, [mode] {
      Make("file");
      OK(chmod("file", mode));
      EQUAL(Stat("file").st_mode, S_IFREG | mode);
    });
    Registered(std::string("chmod.directory_") + name, [mode] {
      MakeDirectory("directory");
      OK(chmod("directory", mode));
      EQUAL(Stat("directory").st_mode, S_IFDIR | mode);
    });
  }
  return true;
}

const bool kModesRegistered = RegisterModes();

POSIX_CASE(chmod, by_another_is_eperm) {
  Make("file", "", 0666);
  As(kUser, kGroup, [] { FAILS(EPERM, chmod("file", 0777)); });
}

POSIX_CASE(chmod, by_the_owner) {
  Make("file", "", 0);
  Give("file", kUser, kGroup);
  As(kUser, kGroup, [] { OK(chmod("file", 0640)); });
  EQUAL(Permissions("file"), 0640);
}

POSIX_CASE(chmod, through_a_link) {
  Make("file");
  OK(symlink("file", "link"));
  OK(chmod("link", 0600));
  EQUAL(Permissions("file"), 0600);
  EQUAL(Permissions("link"), 0777);
}

POSIX_CASE(chmod, of_an_open_file) {
  Make("file");
  const int fd = OK(open("file", O_RDONLY));
  OK(fchmod(fd, 0751));
  EQUAL(Fstat(fd).st_mode & 07777, 0751);
  EQUAL(Permissions("file"), 0751);
}

POSIX_CASE(chmod, setgid_is_dropped_for_an_owner_outside_the_group) {
  Make("file");
  Give("file", kUser, kOtherGroup);
  As(kUser, kGroup, [] { OK(chmod("file", 02755)); });
  EQUAL(Permissions("file"), 0755);
}

POSIX_CASE(chmod, setgid_is_kept_for_a_member) {
  Make("file");
  Give("file", kUser, kOtherGroup);
  As(kUser, kGroup, {kOtherGroup}, [] { OK(chmod("file", 02755)); });
  EQUAL(Permissions("file"), 02755);
}

POSIX_CASE(chmod, missing_and_looping_names) {
  OK(symlink("loop", "loop"));
  Make("file");
  FAILS(ENOENT, chmod("none", 0644));
  FAILS(ELOOP, chmod("loop", 0644));
  FAILS(ENOTDIR, chmod("file/below", 0644));
}

POSIX_CASE(chmod, removed_permission_counts_at_once) {
  Make("file", "content", 0644);
  As(kUser, kGroup, [] { SAME_TEXT(Content("file"), "content"); });
  OK(chmod("file", 0600));
  As(kUser, kGroup, [] { FAILS(EACCES, open("file", O_RDONLY)); });
}

// --- chown ---

struct ChownRow {
  const char* name;
  uid_t uid;
  gid_t gid;
};

constexpr ChownRow kChownRows[] = {
    {"both", kUser, kGroup},
    {"owner_only", kUser, kSame},
    {"group_only", kSame, kGroup},
    {"neither", kSame, kSame},
    {"to_root", 0, 0},
    {"above_16_bits", 70000, 80000},
    {"above_31_bits", 0xfffffff0u, 0xfffffff0u},
};

void RunChownRow(const ChownRow& row) {
  Make("file");
  Give("file", 12, 34);
  OK(chown("file", row.uid, row.gid));
  EQUAL(Stat("file").st_uid, row.uid == kSame ? 12 : row.uid);
  EQUAL(Stat("file").st_gid, row.gid == kSame ? 34 : row.gid);
}

bool RegisterOwners() {
  for (const ChownRow& row : kChownRows) {
    Registered(std::string("chown.") + row.name, [&row] { RunChownRow(row); });
  }
  return true;
}

const bool kOwnersRegistered = RegisterOwners();

POSIX_CASE(chown, giving_away_is_eperm) {
  Make("file");
  Give("file", kUser, kGroup);
  As(kUser, kGroup, [] {
    FAILS(EPERM, chown("file", kOtherUser, kSame));
    FAILS(EPERM, chown("file", kSame, kOtherGroup));
    OK(chown("file", kUser, kGroup));
  });
}

POSIX_CASE(chown, to_a_group_of_the_owners) {
  Make("file");
  Give("file", kUser, kGroup);
  As(kUser, kGroup, {kOtherGroup}, [] { OK(chown("file", kSame, kOtherGroup)); });
  EQUAL(Stat("file").st_gid, kOtherGroup);
}

POSIX_CASE(chown, by_another_is_eperm) {
  Make("file", "", 0666);
  As(kUser, kGroup, [] { FAILS(EPERM, chown("file", kUser, kGroup)); });
}

POSIX_CASE(chown, of_a_link_itself) {
  Make("file");
  OK(symlink("file", "link"));
  OK(lchown("link", kUser, kGroup));
  EQUAL(Lstat("link").st_uid, kUser);
  EQUAL(Stat("file").st_uid, 0);
}

POSIX_CASE(chown, through_a_link) {
  Make("file");
  OK(symlink("file", "link"));
  OK(chown("link", kUser, kGroup));
  EQUAL(Lstat("link").st_uid, 0);
  EQUAL(Stat("file").st_uid, kUser);
}

POSIX_CASE(chown, of_an_open_file) {
  Make("file");
  const int fd = OK(open("file", O_RDONLY));
  OK(fchown(fd, kUser, kGroup));
  EQUAL(Fstat(fd).st_uid, kUser);
  EQUAL(Stat("file").st_gid, kGroup);
}

POSIX_CASE(chown, of_a_directory) {
  MakeDirectory("directory");
  OK(chown("directory", kUser, kGroup));
  EQUAL(Stat("directory").st_uid, kUser);
  As(kUser, kGroup, [] { Make("directory/file"); });
}

// --- set-id bits ---

POSIX_CASE(setid, chown_by_root_clears_them_on_a_program) {
  Make("file", "", 06755);
  OK(chown("file", kUser, kGroup));
  EQUAL(Permissions("file"), 0755);
}

POSIX_CASE(setid, chown_by_the_owner_clears_them) {
  Make("file");
  Give("file", kUser, kGroup);
  OK(chmod("file", 06755));
  As(kUser, kGroup, {kOtherGroup}, [] { OK(chown("file", kSame, kOtherGroup)); });
  EQUAL(Permissions("file"), 0755);
}

POSIX_CASE(setid, chown_leaves_setgid_without_group_execution) {
  Make("file", "", 02745);
  OK(chmod("file", 02644));
  OK(chown("file", kUser, kSame));
  EQUAL(Permissions("file"), 02644);
}

POSIX_CASE(setid, chown_keeps_them_on_directories) {
  MakeDirectory("directory");
  OK(chmod("directory", 06755));
  OK(chown("directory", kUser, kGroup));
  EQUAL(Permissions("directory"), 06755);
}

POSIX_CASE(setid, write_by_another_clears_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { WriteAt(OK(open("file", O_WRONLY)), "x", 0); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, write_by_the_owner_clears_them) {
  Make("file", "content");
  Give("file", kUser, kGroup);
  OK(chmod("file", 06777));
  As(kUser, kGroup, [] { WriteAt(OK(open("file", O_WRONLY)), "x", 0); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, write_by_root_keeps_them) {
  Make("file", "content", 06777);
  WriteAt(OK(open("file", O_WRONLY)), "x", 0);
  EQUAL(Permissions("file"), 06777);
}

POSIX_CASE(setid, truncate_by_another_clears_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { OK(truncate("file", 3)); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, ftruncate_by_another_clears_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { OK(ftruncate(OK(open("file", O_RDWR)), 3)); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, open_truncate_by_another_clears_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { OK(open("file", O_WRONLY | O_TRUNC)); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, fallocate_by_another_clears_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { OK(fallocate(OK(open("file", O_RDWR)), 0, 0, 100)); });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, copy_by_another_clears_them) {
  Make("file", "content", 06777);
  Make("from", "other");
  As(kUser, kGroup, [] {
    const int from = OK(open("from", O_RDONLY));
    EQUAL(copy_file_range(from, nullptr, OK(open("file", O_WRONLY)), nullptr, 5, 0), 5);
  });
  EQUAL(Permissions("file"), 0777);
}

POSIX_CASE(setid, read_keeps_them) {
  Make("file", "content", 06777);
  As(kUser, kGroup, [] { SAME_TEXT(Content("file"), "content"); });
  EQUAL(Permissions("file"), 06777);
}

// --- sticky directories ---

void MakeStickyDirectory() {
  MakeDirectory("sticky", 01777);
  Make("sticky/roots");
  As(kOtherUser, kOtherGroup, [] {
    Make("sticky/others");
    MakeDirectory("sticky/others-directory", 0777);
  });
}

POSIX_CASE(sticky, entry_of_another_cannot_be_removed) {
  MakeStickyDirectory();
  As(kUser, kGroup, [] {
    FAILS(EPERM, unlink("sticky/roots"));
    FAILS(EPERM, unlink("sticky/others"));
    FAILS(EPERM, rmdir("sticky/others-directory"));
  });
}

POSIX_CASE(sticky, entry_of_another_cannot_be_renamed) {
  MakeStickyDirectory();
  As(kUser, kGroup, [] {
    FAILS(EPERM, rename("sticky/others", "sticky/mine"));
    Make("sticky/mine");
    FAILS(EPERM, rename("sticky/mine", "sticky/others"));
  });
}

POSIX_CASE(sticky, own_entry_can_be_removed) {
  MakeStickyDirectory();
  As(kOtherUser, kOtherGroup, [] {
    OK(rename("sticky/others", "sticky/renamed"));
    OK(unlink("sticky/renamed"));
    OK(rmdir("sticky/others-directory"));
  });
}

POSIX_CASE(sticky, owner_of_the_directory_removes_all) {
  MakeStickyDirectory();
  Give("sticky", kUser, kGroup);
  As(kUser, kGroup, [] {
    OK(unlink("sticky/roots"));
    OK(unlink("sticky/others"));
  });
}

POSIX_CASE(sticky, root_removes_all) {
  MakeStickyDirectory();
  OK(unlink("sticky/others"));
  OK(rmdir("sticky/others-directory"));
}

// --- set-group-id directories ---

void MakeGroupDirectory() {
  MakeDirectory("shared");
  Give("shared", 0, kOtherGroup);
  OK(chmod("shared", 02777));
}

POSIX_CASE(group_directory, new_file_gets_its_group) {
  MakeGroupDirectory();
  As(kUser, kGroup, [] { Make("shared/file"); });
  EQUAL(Stat("shared/file").st_uid, kUser);
  EQUAL(Stat("shared/file").st_gid, kOtherGroup);
}

POSIX_CASE(group_directory, new_directory_gets_group_and_bit) {
  MakeGroupDirectory();
  As(kUser, kGroup, [] { OK(mkdir("shared/inner", 0755)); });
  EQUAL(Stat("shared/inner").st_gid, kOtherGroup);
  EQUAL(Permissions("shared/inner"), 02755);
}

POSIX_CASE(group_directory, subdirectories_inherit_the_bit) {
  MakeGroupDirectory();
  As(kUser, kGroup, [] {
    OK(mkdir("shared/inner", 0755));
    Make("shared/inner/file");
  });
  EQUAL(Stat("shared/inner/file").st_gid, kOtherGroup);
}

POSIX_CASE(group_directory, link_fifo_and_symlink_get_its_group) {
  MakeGroupDirectory();
  As(kUser, kGroup, [] {
    OK(symlink("x", "shared/link"));
    OK(mkfifo("shared/fifo", 0644));
  });
  EQUAL(Lstat("shared/link").st_gid, kOtherGroup);
  EQUAL(Lstat("shared/fifo").st_gid, kOtherGroup);
}

POSIX_CASE(group_directory, applies_to_root) {
  MakeGroupDirectory();
  Make("shared/file");
  OK(mkdir("shared/inner", 0755));
  EQUAL(Stat("shared/file").st_gid, kOtherGroup);
  EQUAL(Permissions("shared/inner"), 02755);
}

POSIX_CASE(group_directory, setgid_of_a_new_program_is_dropped_for_strangers) {
  MakeGroupDirectory();
  As(kUser, kGroup, [] { OK(open("shared/file", O_CREAT | O_RDWR, 02775)); });
  EQUAL(Permissions("shared/file"), 0755);
}

POSIX_CASE(group_directory, without_the_bit_the_makers_group_counts) {
  MakeDirectory("shared", 0777);
  Give("shared", 0, kOtherGroup);
  As(kUser, kGroup, [] { Make("shared/file"); });
  EQUAL(Stat("shared/file").st_gid, kGroup);
}

POSIX_CASE(group_directory, supplementary_groups_write) {
  MakeDirectory("shared");
  Give("shared", 0, kOtherGroup);
  OK(chmod("shared", 0770));
  As(kUser, kGroup, {kOtherGroup}, [] {
    Make("shared/file", "content");
    SAME_TEXT(Content("shared/file"), "content");
    OK(rename("shared/file", "shared/name"));
    OK(unlink("shared/name"));
  });
}

// --- access ---

POSIX_CASE(access, of_the_owner) {
  Make("file", "", 0640);
  Give("file", kUser, kGroup);
  As(kUser, kGroup, [] {
    OK(access("file", F_OK | R_OK | W_OK));
    FAILS(EACCES, access("file", X_OK));
  });
}

POSIX_CASE(access, of_others) {
  Make("file", "", 0641);
  As(kUser, kGroup, [] {
    OK(access("file", F_OK));
    OK(access("file", X_OK));
    FAILS(EACCES, access("file", R_OK));
    FAILS(EACCES, access("file", W_OK));
  });
}

POSIX_CASE(access, of_root) {
  Make("file", "", 0);
  OK(access("file", R_OK | W_OK));
  FAILS(EACCES, access("file", X_OK));
  OK(chmod("file", 0100));
  OK(access("file", X_OK));
}

POSIX_CASE(access, missing_and_looping_names) {
  OK(symlink("loop", "loop"));
  FAILS(ENOENT, access("none", F_OK));
  FAILS(ELOOP, access("loop", F_OK));
}

POSIX_CASE(access, with_effective_ids) {
  Make("file", "", 0600);
  InChild([] {
    OK(setegid(kGroup));
    OK(seteuid(kUser));
    OK(access("file", R_OK));  // access() uses the real ids, which are root's
    FAILS(EACCES, faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
  });
}

// Copies this program, which needs no other file to run. Returns the descriptor of the copy.
int CopyProgram(const char* path, mode_t mode) {
  const std::string program = Content("/proc/self/exe");
  const int copy = OK(open(path, O_CREAT | O_WRONLY, mode));
  WriteAll(copy, program);
  return copy;
}

POSIX_CASE(access, program_runs_only_with_the_bit) {
  OK(close(CopyProgram("program", 0644)));
  FAILS(EACCES, execl("./program", "program", "--list", nullptr));
  OK(chmod("program", 0755));
  InChild([] {
    OK(dup2(OK(open("/dev/null", O_WRONLY)), STDOUT_FILENO));
    OK(execl("./program", "program", "--list", nullptr));
  });
}

POSIX_CASE(access, program_open_for_writing_does_not_run) {
  const int copy = CopyProgram("program", 0755);
  FAILS(ETXTBSY, execl("./program", "program", "--list", nullptr));
  OK(close(copy));
}

}  // namespace
}  // namespace posix
