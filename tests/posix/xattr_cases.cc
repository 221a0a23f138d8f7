// Extended attributes whose names begin with "user.".

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/posix/suite.h"

namespace posix {
namespace {

void Set(const char* path, const char* name, const std::string& value, int flags = 0) {
  OK(lsetxattr(path, name, value.data(), value.size(), flags));
}

std::string Get(const char* path, const char* name) {
  char value[65536];
  const long size = OK(lgetxattr(path, name, value, sizeof(value)));
  return {value, static_cast<size_t>(size)};
}

// Returns the names of the user.* attributes, sorted, each followed by a space.
std::string List(const char* path) {
  char list[65536];
  const long size = OK(llistxattr(path, list, sizeof(list)));
  std::vector<std::string> names;
  for (long at = 0; at < size; at += static_cast<long>(names.back().size()) + 1) {
    names.emplace_back(list + at);
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) {
    if (name.compare(0, 5, "user.") == 0) text += name + " ";
  }
  return text;
}

POSIX_CASE(xattr, set_and_get) {
  Make("file");
  Set("file", "user.name", "value");
  SAME_TEXT(Get("file", "user.name"), "value");
}

POSIX_CASE(xattr, set_again_replaces) {
  Make("file");
  Set("file", "user.name", "a longer value");
  Set("file", "user.name", "short");
  SAME_TEXT(Get("file", "user.name"), "short");
}

POSIX_CASE(xattr, missing_is_enodata) {
  Make("file");
  char value[10];
  FAILS(ENODATA, getxattr("file", "user.none", value, sizeof(value)));
  FAILS(ENODATA, removexattr("file", "user.none"));
}

POSIX_CASE(xattr, size_is_returned_without_a_buffer) {
  Make("file");
  Set("file", "user.name", "value");
  EQUAL(getxattr("file", "user.name", nullptr, 0), 5);
}

POSIX_CASE(xattr, short_buffer_is_erange) {
  Make("file");
  Set("file", "user.name", "value");
  char value[4];
  FAILS(ERANGE, getxattr("file", "user.name", value, sizeof(value)));
}

POSIX_CASE(xattr, create_of_an_existing_one_is_eexist) {
  Make("file");
  Set("file", "user.name", "value", XATTR_CREATE);
  FAILS(EEXIST, setxattr("file", "user.name", "x", 1, XATTR_CREATE));
  SAME_TEXT(Get("file", "user.name"), "value");
}

POSIX_CASE(xattr, replace_of_a_missing_one_is_enodata) {
  Make("file");
  FAILS(ENODATA, setxattr("file", "user.name", "x", 1, XATTR_REPLACE));
  Set("file", "user.name", "value");
  Set("file", "user.name", "other", XATTR_REPLACE);
  SAME_TEXT(Get("file", "user.name"), "other");
}

POSIX_CASE(xattr, removed_is_gone) {
  Make("file");
  Set("file", "user.name", "value");
  OK(removexattr("file", "user.name"));
  char value[10];
  FAILS(ENODATA, getxattr("file", "user.name", value, sizeof(value)));
  SAME_TEXT(List("file"), "");
}

POSIX_CASE(xattr, list) {
  Make("file");
  Set("file", "user.two", "2");
  Set("file", "user.one", "1");
  SAME_TEXT(List("file"), "user.one user.two ");
}

POSIX_CASE(xattr, list_returns_its_size_and_needs_room) {
  Make("file");
  Set("file", "user.name", "value");
  HOLDS(listxattr("file", nullptr, 0) >= 10);
  char list[3];
  FAILS(ERANGE, listxattr("file", list, sizeof(list)));
}

POSIX_CASE(xattr, empty_value) {
  Make("file");
  Set("file", "user.name", "");
  EQUAL(getxattr("file", "user.name", nullptr, 0), 0);
  SAME_TEXT(List("file"), "user.name ");
}

POSIX_CASE(xattr, value_of_any_bytes) {
  Make("file");
  std::string value;
  for (int byte = 0; byte < 256; ++byte) value.push_back(static_cast<char>(byte));
  Set("file", "user.name", value);
  SAME_TEXT(Get("file", "user.name"), value);
}

POSIX_CASE(xattr, value_of_3000_bytes) {
  Make("file");
  const std::string value(3000, 'v');
  Set("file", "user.name", value);
  SAME_TEXT(Get("file", "user.name"), value);
}

POSIX_CASE(xattr, name_of_255_bytes) {
  Make("file");
  const std::string name = "user." + std::string(250, 'n');
  Set("file", name.c_str(), "value");
  SAME_TEXT(Get("file", name.c_str()), "value");
}

POSIX_CASE(xattr, name_of_256_bytes_is_erange) {
  Make("file");
  FAILS(ERANGE, setxattr("file", ("user." + std::string(251, 'n')).c_str(), "x", 1, 0));
}

POSIX_CASE(xattr, of_a_directory) {
  MakeDirectory("directory");
  Set("directory", "user.name", "value");
  SAME_TEXT(Get("directory", "user.name"), "value");
}

POSIX_CASE(xattr, of_an_open_file) {
  Make("file");
  const int fd = OK(open("file", O_RDWR));
  OK(fsetxattr(fd, "user.name", "value", 5, 0));
  EQUAL(fgetxattr(fd, "user.name", nullptr, 0), 5);
  EQUAL(flistxattr(fd, nullptr, 0) >= 10, 1);
  OK(fremovexattr(fd, "user.name"));
  FAILS(ENODATA, fgetxattr(fd, "user.name", nullptr, 0));
}

POSIX_CASE(xattr, of_an_unlinked_file) {
  const int fd = OK(open("file", O_CREAT | O_RDWR, 0644));
  OK(unlink("file"));
  OK(fsetxattr(fd, "user.name", "value", 5, 0));
  EQUAL(fgetxattr(fd, "user.name", nullptr, 0), 5);
}

POSIX_CASE(xattr, of_a_symbolic_link_is_eperm) {
  OK(symlink("x", "link"));
  FAILS(EPERM, lsetxattr("link", "user.name", "x", 1, 0));
}

POSIX_CASE(xattr, of_a_fifo_is_eperm) {
  OK(mkfifo("fifo", 0644));
  FAILS(EPERM, setxattr("fifo", "user.name", "x", 1, 0));
}

POSIX_CASE(xattr, through_a_link) {
  Make("file");
  OK(symlink("file", "link"));
  OK(setxattr("link", "user.name", "value", 5, 0));
  SAME_TEXT(Get("file", "user.name"), "value");
}

POSIX_CASE(xattr, follow_the_file_under_other_names) {
  Make("file");
  Set("file", "user.name", "value");
  OK(link("file", "second"));
  OK(rename("file", "third"));
  SAME_TEXT(Get("second", "user.name"), "value");
  SAME_TEXT(Get("third", "user.name"), "value");
}

POSIX_CASE(xattr, need_permission) {
  Make("file", "", 0644);
  Set("file", "user.name", "value");
  As(kUser, kGroup, [] {
    FAILS(EACCES, setxattr("file", "user.name", "x", 1, 0));
    FAILS(EACCES, removexattr("file", "user.name"));
    SAME_TEXT(Get("file", "user.name"), "value");
  });
  OK(chmod("file", 0600));
  As(kUser, kGroup, [] { FAILS(EACCES, getxattr("file", "user.name", nullptr, 0)); });
}

POSIX_CASE(xattr, stamp_the_change_time) {
  Make("file");
  const struct stat before = MakeOld("file");
  Set("file", "user.name", "value");
  HOLDS(Newer(Stat("file").st_ctim, before.st_ctim));
  HOLDS(SameTime(Stat("file").st_mtim, before.st_mtim));
}

POSIX_CASE(xattr, unknown_namespace_is_eopnotsupp) {
  Make("file");
  FAILS(EOPNOTSUPP, setxattr("file", "nonsense.name", "x", 1, 0));
}

}  // namespace
}  // namespace posix
