// rename(2) and renameat2(2).

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

int Rename2(const char* from, const char* to, unsigned flags) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

// --- replacing each type of file by each other ---

enum class Kind { kNone, kFile, kEmptyDirectory, kFullDirectory, kLink, kFifo };

struct RenameRow {
  const char* name;
  Kind from, to;
  int error;  // 0 if the call succeeds
};

constexpr RenameRow kRows[] = {
    {"none_to_none", Kind::kNone, Kind::kNone, ENOENT},
    {"none_to_file", Kind::kNone, Kind::kFile, ENOENT},
    {"file_to_none", Kind::kFile, Kind::kNone, 0},
    {"file_over_file", Kind::kFile, Kind::kFile, 0},
    {"file_over_link", Kind::kFile, Kind::kLink, 0},
    {"file_over_fifo", Kind::kFile, Kind::kFifo, 0},
    {"file_over_empty_directory", Kind::kFile, Kind::kEmptyDirectory, EISDIR},
    {"file_over_full_directory", Kind::kFile, Kind::kFullDirectory, EISDIR},
    {"link_to_none", Kind::kLink, Kind::kNone, 0},
    {"link_over_file", Kind::kLink, Kind::kFile, 0},
    {"link_over_directory", Kind::kLink, Kind::kEmptyDirectory, EISDIR},
    {"fifo_to_none", Kind::kFifo, Kind::kNone, 0},
    {"fifo_over_file", Kind::kFifo, Kind::kFile, 0},
    {"empty_directory_to_none", Kind::kEmptyDirectory, Kind::kNone, 0},
    {"full_directory_to_none", Kind::kFullDirectory, Kind::kNone, 0},
    {"directory_over_empty_directory", Kind::kFullDirectory, Kind::kEmptyDirectory, 0},
    {"empty_directory_over_empty_directory", Kind::kEmptyDirectory, Kind::kEmptyDirectory, 0},
    {"directory_over_full_directory", Kind::kEmptyDirectory, Kind::kFullDirectory, ENOTEMPTY},
    {"directory_over_file", Kind::kFullDirectory, Kind::kFile, ENOTDIR},
    {"directory_over_link", Kind::kEmptyDirectory, Kind::kLink, ENOTDIR},
};

void MakeKind(Kind kind, const std::string& path) {
  switch (kind) {
    case Kind::kNone:
      return;
    case Kind::kFile:
      return Make(path, path);
    case Kind::kEmptyDirectory:
      return MakeDirectory(path);
    case Kind::kFullDirectory:
      MakeDirectory(path);
      return Make(path + "/inner", path);
    case Kind::kLink:
      OK(symlink(path.c_str(), path.c_str()));
      return;
    case Kind::kFifo:
      OK(mkfifo(path.c_str(), 0644));
      return;
  }
}

void RunRow(const RenameRow& row, const std::string& to) {
  MakeKind(row.from, "from");
  MakeKind(row.to, to);
  if (row.error != 0) {
    FAILS(row.error, rename("from", to.c_str()));
    EQUAL(Exists("from"), row.from != Kind::kNone);
    EQUAL(Exists(to), row.to != Kind::kNone);
    return;
  }
  const ino_t inode = Lstat("from").st_ino;
  OK(rename("from", to.c_str()));
  HOLDS(!Exists("from"));
  EQUAL(Lstat(to).st_ino, inode);
  if (row.from == Kind::kFile) SAME_TEXT(Content(to), "from");
  if (row.from == Kind::kFullDirectory) SAME_TEXT(Content(to + "/inner"), "from");
}

bool Register() {
  for (const RenameRow& row : kRows) {
    Registered(std::string("rename.") + row.name, [&row] { RunRow(row, "to"); });
    Registered(std::string("rename.across_") + row.name, [&row] {
      MakeDirectory("other");
      RunRow(row, "other/to");
    });
  }
  return true;
}

const bool kRegistered = Register();

// --- names and directories ---

POSIX_CASE(rename, onto_itself_changes_nothing) {
  Make("a", "content");
  OK(rename("a", "a"));
  SAME_TEXT(Content("a"), "content");
}

POSIX_CASE(rename, of_two_names_of_one_file_changes_nothing) {
  Make("a", "content");
  OK(link("a", "b"));
  OK(rename("a", "b"));
  HOLDS(Exists("a"));
  EQUAL(Stat("b").st_nlink, 2);
}

POSIX_CASE(rename, replaced_file_has_one_link_less) {
  Make("a", "new");
  Make("b", "old");
  OK(link("b", "c"));
  OK(rename("a", "b"));
  EQUAL(Stat("c").st_nlink, 1);
  SAME_TEXT(Content("b"), "new");
  SAME_TEXT(Content("c"), "old");
}

POSIX_CASE(rename, replaced_open_file_stays_readable) {
  Make("a", "new");
  Make("b", "old");
  const int fd = OK(open("b", O_RDWR));
  OK(rename("a", "b"));
  SAME_TEXT(ReadAt(fd, 100, 0), "old");
  EQUAL(Fstat(fd).st_nlink, 0);
  OK(ftruncate(fd, 1));
  SAME_TEXT(Content("b"), "new");
}

POSIX_CASE(rename, open_file_follows_its_new_name) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  OK(rename("a", "b"));
  WriteAll(fd, "content");
  SAME_TEXT(Content("b"), "content");
  OK(fchmod(fd, 0600));
  EQUAL(Permissions("b"), 0600);
}

POSIX_CASE(rename, open_directory_follows_its_new_name) {
  MakeDirectory("a");
  const int directory = OK(open("a", O_RDONLY));
  OK(rename("a", "b"));
  OK(close(OK(openat(directory, "file", O_CREAT | O_WRONLY, 0644))));
  HOLDS(Exists("b/file"));
}

POSIX_CASE(rename, files_below_a_renamed_directory_stay_open) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  const int fd = OK(open("a/b/file", O_CREAT | O_RDWR, 0644));
  OK(rename("a", "z"));
  WriteAll(fd, "content");
  SAME_TEXT(Content("z/b/file"), "content");
  Make("z/b/other", "made later");
  SAME_TEXT(Content("z/b/other"), "made later");
}

POSIX_CASE(rename, into_its_own_subdirectory_is_einval) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  FAILS(EINVAL, rename("a", "a/b/c"));
  FAILS(EINVAL, rename("a", "a/c"));
}

POSIX_CASE(rename, over_an_ancestor_is_enotempty) {
  MakeDirectory("a");
  MakeDirectory("a/b");
  MakeDirectory("a/b/c");
  FAILS(ENOTEMPTY, rename("a/b/c", "a"));
}

POSIX_CASE(rename, dot_and_dotdot_are_ebusy) {
  MakeDirectory("a");
  FAILS(EBUSY, rename("a/.", "b"));
  FAILS(EBUSY, rename("a/..", "b"));
  FAILS(EBUSY, rename("a", "."));
}

POSIX_CASE(rename, missing_directory_is_enoent) {
  Make("a");
  FAILS(ENOENT, rename("a", "none/b"));
  FAILS(ENOENT, rename("none/a", "b"));
}

POSIX_CASE(rename, file_as_directory_is_enotdir) {
  Make("a");
  Make("b");
  FAILS(ENOTDIR, rename("a", "b/c"));
  FAILS(ENOTDIR, rename("a/c", "b"));
}

POSIX_CASE(rename, file_to_a_name_with_slash_is_enotdir) {
  Make("a");
  FAILS(ENOTDIR, rename("a", "b/"));
}

POSIX_CASE(rename, directory_to_a_name_with_slash) {
  MakeDirectory("a");
  OK(rename("a/", "b/"));
  HOLDS(S_ISDIR(Stat("b").st_mode));
}

POSIX_CASE(rename, too_long_name) {
  Make("a");
  FAILS(ENAMETOOLONG, rename("a", std::string(256, 'x').c_str()));
  FAILS(ENAMETOOLONG, rename(std::string(256, 'x').c_str(), "b"));
}

POSIX_CASE(rename, directory_moves_its_dotdot) {
  MakeDirectory("a");
  MakeDirectory("b");
  MakeDirectory("a/moved");
  OK(rename("a/moved", "b/moved"));
  EQUAL(Stat("b/moved/..").st_ino, Stat("b").st_ino);
  EQUAL(Stat("a").st_nlink, 2);
  EQUAL(Stat("b").st_nlink, 3);
}

POSIX_CASE(rename, needs_write_permission_on_both_directories) {
  MakeDirectory("mine", 0777);
  MakeDirectory("closed", 0755);
  Make("mine/a");
  Make("closed/a");
  Give("mine/a", kUser, kGroup);
  Give("closed/a", kUser, kGroup);
  As(kUser, kGroup, [] {
    FAILS(EACCES, rename("mine/a", "closed/b"));
    FAILS(EACCES, rename("closed/a", "mine/b"));
    OK(rename("mine/a", "mine/b"));
  });
}

POSIX_CASE(rename, directory_of_another_to_another_parent_needs_its_dotdot) {
  MakeDirectory("one", 0777);
  MakeDirectory("two", 0777);
  MakeDirectory("one/a", 0755);  // belongs to root: other users may not change its ".."
  As(kUser, kGroup, [] {
    FAILS(EACCES, rename("one/a", "two/a"));
    OK(rename("one/a", "one/b"));
  });
}

POSIX_CASE(rename, back_and_forth_many_times) {
  Make("a", "content");
  for (int i = 0; i < 30; ++i) {
    OK(rename("a", "b"));
    HOLDS(!Exists("a"));
    OK(rename("b", "a"));
    HOLDS(!Exists("b"));
  }
  SAME_TEXT(Content("a"), "content");
}

POSIX_CASE(rename, replaces_as_editors_do) {
  Make("file", "0");
  for (int i = 1; i <= 20; ++i) {
    Make("file.new", std::to_string(i));
    OK(rename("file.new", "file"));
    SAME_TEXT(Content("file"), std::to_string(i));
  }
  EQUAL(Names(".").size(), 1);
}

POSIX_CASE(rename, renameat_between_descriptors) {
  MakeDirectory("one");
  MakeDirectory("two");
  Make("one/a", "content");
  const int one = OK(open("one", O_RDONLY));
  const int two = OK(open("two", O_RDONLY));
  OK(renameat(one, "a", two, "b"));
  SAME_TEXT(Content("two/b"), "content");
}

// --- flags ---

POSIX_CASE(rename_noreplace, to_a_new_name) {
  Make("a", "content");
  OK(Rename2("a", "b", RENAME_NOREPLACE));
  SAME_TEXT(Content("b"), "content");
}

POSIX_CASE(rename_noreplace, existing_name_is_eexist) {
  Make("a", "content");
  Make("b", "other");
  FAILS(EEXIST, Rename2("a", "b", RENAME_NOREPLACE));
  SAME_TEXT(Content("b"), "other");
}

POSIX_CASE(rename_noreplace, of_two_names_of_one_file_is_eexist) {
  Make("a");
  OK(link("a", "b"));
  FAILS(EEXIST, Rename2("a", "b", RENAME_NOREPLACE));
}

POSIX_CASE(rename_noreplace, dangling_link_exists) {
  Make("a");
  OK(symlink("none", "b"));
  FAILS(EEXIST, Rename2("a", "b", RENAME_NOREPLACE));
}

POSIX_CASE(rename_exchange, files) {
  Make("a", "1");
  Make("b", "2");
  OK(Rename2("a", "b", RENAME_EXCHANGE));
  SAME_TEXT(Content("a"), "2");
  SAME_TEXT(Content("b"), "1");
}

POSIX_CASE(rename_exchange, file_and_full_directory) {
  Make("a", "1");
  MakeDirectory("b");
  Make("b/inner", "2");
  OK(Rename2("a", "b", RENAME_EXCHANGE));
  SAME_TEXT(Content("b"), "1");
  SAME_TEXT(Content("a/inner"), "2");
}

POSIX_CASE(rename_exchange, directories_of_two_parents) {
  MakeDirectory("one");
  MakeDirectory("two");
  MakeDirectory("one/a");
  MakeDirectory("two/b");
  Make("one/a/inner", "1");
  OK(Rename2("one/a", "two/b", RENAME_EXCHANGE));
  SAME_TEXT(Content("two/b/inner"), "1");
  HOLDS(Names("one/a").empty());
}

POSIX_CASE(rename_exchange, missing_name_is_enoent) {
  Make("a");
  FAILS(ENOENT, Rename2("a", "b", RENAME_EXCHANGE));
}

POSIX_CASE(rename_exchange, with_noreplace_is_einval) {
  Make("a");
  Make("b");
  FAILS(EINVAL, Rename2("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
}

POSIX_CASE(rename_flags, unknown_flag_is_einval) {
  Make("a");
  FAILS(EINVAL, Rename2("a", "b", 1U << 7));
}

POSIX_CASE(rename_whiteout, leaves_a_character_device) {
  Make("a", "content");
  OK(Rename2("a", "b", RENAME_WHITEOUT));
  SAME_TEXT(Content("b"), "content");
  HOLDS(S_ISCHR(Lstat("a").st_mode));
  EQUAL(Lstat("a").st_rdev, 0);
}

}  // namespace
}  // namespace posix
