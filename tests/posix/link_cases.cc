// link(2), symlink(2), readlink(2), unlink(2), rmdir(2), mkdir(2).

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

std::string LinkText(const std::string& path) {
  char text[PATH_MAX];
  const long size = OK(readlink(path.c_str(), text, sizeof(text)));
  return {text, static_cast<size_t>(size)};
}

// --- link ---

POSIX_CASE(link, both_names_are_one_file) {
  Make("a", "content");
  OK(link("a", "b"));
  EQUAL(Stat("a").st_ino, Stat("b").st_ino);
  EQUAL(Stat("a").st_nlink, 2);
  SAME_TEXT(Content("b"), "content");
}

POSIX_CASE(link, data_written_by_one_name_are_read_by_the_other) {
  Make("a", "before");
  OK(link("a", "b"));
  const int fd = OK(open("a", O_WRONLY));
  WriteAt(fd, "after!", 0);
  SAME_TEXT(Content("b"), "after!");
}

POSIX_CASE(link, size_by_one_name_shows_by_the_other) {
  Make("a", "content");
  OK(link("a", "b"));
  EQUAL(Stat("b").st_size, 7);
  OK(truncate("a", 3));
  EQUAL(Stat("b").st_size, 3);
}

POSIX_CASE(link, mode_by_one_name_shows_by_the_other) {
  Make("a");
  OK(link("a", "b"));
  EQUAL(Permissions("b"), 0644);
  OK(chmod("a", 0600));
  EQUAL(Permissions("b"), 0600);
}

POSIX_CASE(link, second_name_stays_when_the_first_is_removed) {
  Make("a", "content");
  OK(link("a", "b"));
  OK(unlink("a"));
  EQUAL(Stat("b").st_nlink, 1);
  SAME_TEXT(Content("b"), "content");
}

POSIX_CASE(link, existing_target_is_eexist) {
  Make("a");
  Make("b", "other");
  FAILS(EEXIST, link("a", "b"));
  FAILS(EEXIST, link("a", "a"));
  SAME_TEXT(Content("b"), "other");
}

POSIX_CASE(link, existing_directory_or_link_is_eexist) {
  Make("a");
  MakeDirectory("directory");
  OK(symlink("none", "dangling"));
  FAILS(EEXIST, link("a", "directory"));
  FAILS(EEXIST, link("a", "dangling"));
}

POSIX_CASE(link, missing_source_is_enoent) { FAILS(ENOENT, link("none", "b")); }

POSIX_CASE(link, missing_target_directory_is_enoent) {
  Make("a");
  FAILS(ENOENT, link("a", "none/b"));
}

POSIX_CASE(link, file_as_directory_is_enotdir) {
  Make("a");
  FAILS(ENOTDIR, link("a", "a/b"));
  FAILS(ENOTDIR, link("a/b", "c"));
}

POSIX_CASE(link, directory_is_eperm) {
  MakeDirectory("directory");
  FAILS(EPERM, link("directory", "b"));
}

POSIX_CASE(link, symbolic_link_itself_gets_the_name) {
  OK(symlink("nowhere", "a"));
  OK(link("a", "b"));
  HOLDS(S_ISLNK(Lstat("b").st_mode));
  EQUAL(Lstat("a").st_nlink, 2);
}

POSIX_CASE(link, follow_links_the_target) {
  Make("file", "content");
  OK(symlink("file", "a"));
  OK(linkat(AT_FDCWD, "a", AT_FDCWD, "b", AT_SYMLINK_FOLLOW));
  HOLDS(S_ISREG(Lstat("b").st_mode));
  EQUAL(Stat("file").st_nlink, 2);
}

POSIX_CASE(link, fifo_can_be_linked) {
  OK(mkfifo("a", 0644));
  OK(link("a", "b"));
  EQUAL(Lstat("b").st_nlink, 2);
}

POSIX_CASE(link, needs_write_permission_on_the_directory) {
  MakeDirectory("mine", 0777);
  MakeDirectory("closed", 0755);
  Make("mine/a");
  Give("mine/a", kUser, kGroup);
  As(kUser, kGroup, [] {
    FAILS(EACCES, link("mine/a", "closed/b"));
    OK(link("mine/a", "mine/b"));
  });
}

POSIX_CASE(link, between_directories) {
  MakeDirectory("one");
  MakeDirectory("two");
  Make("one/a", "content");
  OK(link("one/a", "two/b"));
  SAME_TEXT(Content("two/b"), "content");
}

POSIX_CASE(link, hundred_names) {
  Make("a");
  for (int i = 0; i < 100; ++i) OK(link("a", ("b" + std::to_string(i)).c_str()));
  EQUAL(Stat("a").st_nlink, 101);
  EQUAL(Names(".").size(), 101);
}

// --- symlink ---

POSIX_CASE(symlink, text_is_kept) {
  OK(symlink("some/where/../else", "a"));
  SAME_TEXT(LinkText("a"), "some/where/../else");
  EQUAL(Lstat("a").st_size, 18);
  EQUAL(Lstat("a").st_mode, S_IFLNK | 0777);
}

POSIX_CASE(symlink, text_of_any_bytes) {
  std::string text;
  for (int byte = 1; byte < 256; ++byte) text.push_back(static_cast<char>(byte));
  OK(symlink(text.c_str(), "a"));
  SAME_TEXT(LinkText("a"), text);
}

POSIX_CASE(symlink, long_text) {
  const std::string text(1023, 'x');
  OK(symlink(text.c_str(), "a"));
  SAME_TEXT(LinkText("a"), text);
}

POSIX_CASE(symlink, text_of_4095_bytes) {
  const std::string text = "/" + std::string(4094, '.');
  OK(symlink(text.c_str(), "a"));
  SAME_TEXT(LinkText("a"), text);
}

POSIX_CASE(symlink, text_of_4096_bytes_is_too_long) {
  FAILS(ENAMETOOLONG, symlink(std::string(4096, 'x').c_str(), "a"));
}

POSIX_CASE(symlink, empty_text_is_enoent) { FAILS(ENOENT, symlink("", "a")); }

POSIX_CASE(symlink, existing_name_is_eexist) {
  Make("a", "content");
  FAILS(EEXIST, symlink("x", "a"));
  OK(symlink("x", "b"));
  FAILS(EEXIST, symlink("y", "b"));
  SAME_TEXT(LinkText("b"), "x");
}

POSIX_CASE(symlink, missing_directory_is_enoent) { FAILS(ENOENT, symlink("x", "none/a")); }

POSIX_CASE(symlink, short_buffer_gets_the_beginning) {
  OK(symlink("abcdef", "a"));
  char text[3];
  EQUAL(readlink("a", text, sizeof(text)), 3);
  SAME_TEXT(std::string(text, 3), "abc");
}

POSIX_CASE(symlink, readlink_of_other_types_is_einval) {
  char text[8];
  Make("file");
  MakeDirectory("directory");
  FAILS(EINVAL, readlink("file", text, sizeof(text)));
  FAILS(EINVAL, readlink("directory", text, sizeof(text)));
  FAILS(ENOENT, readlink("none", text, sizeof(text)));
}

POSIX_CASE(symlink, belongs_to_its_maker) {
  MakeDirectory("open-to-all", 0777);
  As(kUser, kGroup, [] { OK(symlink("x", "open-to-all/a")); });
  EQUAL(Lstat("open-to-all/a").st_uid, kUser);
  EQUAL(Lstat("open-to-all/a").st_gid, kGroup);
}

POSIX_CASE(symlink, chain_of_40_is_followed_but_not_of_41) {
  Make("0", "end");
  for (int i = 1; i <= 41; ++i) {
    OK(symlink(std::to_string(i - 1).c_str(), std::to_string(i).c_str()));
  }
  SAME_TEXT(Content("40"), "end");
  FAILS(ELOOP, open("41", O_RDONLY));
}

POSIX_CASE(symlink, unlink_takes_the_link_not_the_file) {
  Make("file");
  OK(symlink("file", "a"));
  OK(unlink("a"));
  HOLDS(Exists("file"));
}

POSIX_CASE(symlink, replaced_link_leads_to_the_new_place) {
  Make("one", "1");
  Make("two", "2");
  OK(symlink("one", "a"));
  SAME_TEXT(Content("a"), "1");
  OK(unlink("a"));
  OK(symlink("two", "a"));
  SAME_TEXT(LinkText("a"), "two");
  SAME_TEXT(Content("a"), "2");
}

// --- unlink ---

POSIX_CASE(unlink, name_is_gone) {
  Make("a");
  OK(unlink("a"));
  HOLDS(!Exists("a"));
  FAILS(ENOENT, unlink("a"));
}

POSIX_CASE(unlink, directory_is_eisdir) {
  MakeDirectory("directory");
  FAILS(EISDIR, unlink("directory"));
}

POSIX_CASE(unlink, with_slash_is_enotdir) {
  Make("a");
  FAILS(ENOTDIR, unlink("a/"));
}

POSIX_CASE(unlink, file_as_directory_is_enotdir) {
  Make("a");
  FAILS(ENOTDIR, unlink("a/b"));
}

POSIX_CASE(unlink, needs_write_permission_on_the_directory) {
  MakeDirectory("closed", 0755);
  Make("closed/a");
  Give("closed/a", kUser, kGroup);
  As(kUser, kGroup, [] { FAILS(EACCES, unlink("closed/a")); });
}

POSIX_CASE(unlink, readonly_file_of_another_can_be_removed) {
  MakeDirectory("open-to-all", 0777);
  Make("open-to-all/a", "", 0);
  As(kUser, kGroup, [] { OK(unlink("open-to-all/a")); });
}

POSIX_CASE(unlink, open_file_is_read_and_written) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  WriteAll(fd, "before");
  OK(unlink("a"));
  WriteAll(fd, " after");
  SAME_TEXT(ReadAt(fd, 100, 0), "before after");
}

POSIX_CASE(unlink, open_file_has_no_links) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  WriteAll(fd, "content");
  OK(unlink("a"));
  EQUAL(Fstat(fd).st_nlink, 0);
  EQUAL(Fstat(fd).st_size, 7);
}

POSIX_CASE(unlink, open_file_is_truncated) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  WriteAll(fd, "content");
  OK(unlink("a"));
  OK(ftruncate(fd, 3));
  EQUAL(Fstat(fd).st_size, 3);
  SAME_TEXT(ReadAt(fd, 100, 0), "con");
}

POSIX_CASE(unlink, open_file_changes_mode_owner_and_times) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  OK(unlink("a"));
  OK(fchmod(fd, 0600));
  OK(fchown(fd, kUser, kGroup));
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  OK(futimens(fd, times));
  const struct stat state = Fstat(fd);
  EQUAL(state.st_mode & 07777, 0600);
  EQUAL(state.st_uid, kUser);
  EQUAL(state.st_mtim.tv_sec, 2000);
}

POSIX_CASE(unlink, open_file_is_synced) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  OK(unlink("a"));
  WriteAll(fd, "content");
  OK(fsync(fd));
  OK(fdatasync(fd));
}

POSIX_CASE(unlink, open_file_and_a_new_one_of_its_name) {
  const int fd = OK(open("a", O_CREAT | O_RDWR, 0644));
  WriteAll(fd, "old");
  OK(unlink("a"));
  Make("a", "new");
  SAME_TEXT(ReadAt(fd, 100, 0), "old");
  SAME_TEXT(Content("a"), "new");
  HOLDS(Fstat(fd).st_ino != Stat("a").st_ino);
}

POSIX_CASE(unlink, one_of_two_names_of_an_open_file) {
  Make("a", "content");
  OK(link("a", "b"));
  const int fd = OK(open("a", O_RDWR));
  OK(unlink("a"));
  EQUAL(Fstat(fd).st_nlink, 1);
  WriteAt(fd, "CON", 0);
  SAME_TEXT(Content("b"), "CONtent");
}

POSIX_CASE(unlink, readonly_descriptor_of_an_unlinked_file) {
  Make("a", "content");
  const int fd = OK(open("a", O_RDONLY));
  OK(unlink("a"));
  SAME_TEXT(ReadAt(fd, 100, 0), "content");
  EQUAL(Fstat(fd).st_size, 7);
}

POSIX_CASE(unlink, fifo_socket_and_link) {
  OK(mkfifo("fifo", 0644));
  OK(mknod("socket", S_IFSOCK | 0644, 0));
  OK(symlink("fifo", "link"));
  OK(unlink("fifo"));
  OK(unlink("socket"));
  OK(unlink("link"));
  HOLDS(Names(".").empty());
}

// --- mkdir and rmdir ---

POSIX_CASE(mkdir, existing_name_is_eexist) {
  Make("file");
  MakeDirectory("directory");
  OK(symlink("none", "dangling"));
  FAILS(EEXIST, mkdir("file", 0755));
  FAILS(EEXIST, mkdir("directory", 0755));
  FAILS(EEXIST, mkdir("dangling", 0755));
  FAILS(EEXIST, mkdir(".", 0755));
}

POSIX_CASE(mkdir, missing_parent_is_enoent) { FAILS(ENOENT, mkdir("none/directory", 0755)); }

POSIX_CASE(mkdir, file_as_parent_is_enotdir) {
  Make("file");
  FAILS(ENOTDIR, mkdir("file/directory", 0755));
}

POSIX_CASE(mkdir, with_slash) {
  OK(mkdir("directory/", 0755));
  HOLDS(S_ISDIR(Stat("directory").st_mode));
}

POSIX_CASE(mkdir, needs_write_permission_on_the_parent) {
  MakeDirectory("closed", 0755);
  As(kUser, kGroup, [] { FAILS(EACCES, mkdir("closed/directory", 0755)); });
}

POSIX_CASE(mkdir, belongs_to_its_maker) {
  MakeDirectory("open-to-all", 0777);
  As(kUser, kGroup, [] { OK(mkdir("open-to-all/directory", 0755)); });
  EQUAL(Stat("open-to-all/directory").st_uid, kUser);
  EQUAL(Stat("open-to-all/directory").st_gid, kGroup);
}

POSIX_CASE(mkdir, links_of_the_parent_count_its_directories) {
  MakeDirectory("parent");
  EQUAL(Stat("parent").st_nlink, 2);
  MakeDirectory("parent/one");
  MakeDirectory("parent/two");
  EQUAL(Stat("parent").st_nlink, 4);
  OK(rmdir("parent/one"));
  EQUAL(Stat("parent").st_nlink, 3);
}

POSIX_CASE(mkdir, deep_tree) {
  for (int i = 0; i < 100; ++i) {
    OK(mkdir("deeper", 0755));
    OK(chdir("deeper"));
  }
  Make("file", "deep");
  char here[PATH_MAX];
  HOLDS(getcwd(here, sizeof(here)) != nullptr);
  SAME_TEXT(Content(std::string(here) + "/file"), "deep");
  for (int i = 0; i < 99; ++i) OK(chdir(".."));
  SAME_TEXT(Names("..").front(), "deeper");
}

POSIX_CASE(rmdir, name_is_gone) {
  MakeDirectory("directory");
  OK(rmdir("directory"));
  HOLDS(!Exists("directory"));
  FAILS(ENOENT, rmdir("directory"));
}

POSIX_CASE(rmdir, not_empty) {
  MakeDirectory("directory");
  Make("directory/file");
  FAILS(ENOTEMPTY, rmdir("directory"));
  OK(unlink("directory/file"));
  OK(rmdir("directory"));
}

POSIX_CASE(rmdir, with_a_directory_inside_is_not_empty) {
  MakeDirectory("directory");
  MakeDirectory("directory/inner");
  FAILS(ENOTEMPTY, rmdir("directory"));
}

POSIX_CASE(rmdir, file_is_enotdir) {
  Make("file");
  OK(symlink(".", "link"));
  FAILS(ENOTDIR, rmdir("file"));
  FAILS(ENOTDIR, rmdir("link"));
}

POSIX_CASE(rmdir, dot_is_einval) {
  MakeDirectory("directory");
  FAILS(EINVAL, rmdir("directory/."));
}

POSIX_CASE(rmdir, dotdot_is_not_empty) {
  MakeDirectory("directory");
  MakeDirectory("directory/inner");
  FAILS(ENOTEMPTY, rmdir("directory/inner/.."));
}

POSIX_CASE(rmdir, needs_write_permission_on_the_parent) {
  MakeDirectory("closed", 0755);
  MakeDirectory("closed/directory");
  Give("closed/directory", kUser, kGroup);
  As(kUser, kGroup, [] { FAILS(EACCES, rmdir("closed/directory")); });
}

POSIX_CASE(rmdir, removed_directory_takes_nothing_new) {
  MakeDirectory("directory");
  const int directory = OK(open("directory", O_RDONLY));
  OK(rmdir("directory"));
  FAILS(ENOENT, openat(directory, "file", O_CREAT | O_RDWR, 0644));
  FAILS(ENOENT, mkdirat(directory, "inner", 0755));
}

POSIX_CASE(rmdir, current_directory_goes) {
  MakeDirectory("directory");
  OK(chdir("directory"));
  OK(rmdir("../directory"));
  FAILS(ENOENT, open("file", O_CREAT | O_RDWR, 0644));
  char here[PATH_MAX];
  HOLDS(getcwd(here, sizeof(here)) == nullptr);
}

POSIX_CASE(rmdir, name_can_be_a_file_afterwards) {
  MakeDirectory("name");
  OK(rmdir("name"));
  Make("name", "content");
  SAME_TEXT(Content("name"), "content");
  OK(unlink("name"));
  MakeDirectory("name");
  HOLDS(S_ISDIR(Stat("name").st_mode));
}

}  // namespace
}  // namespace posix
