// Pipes, sockets and devices as files, and what the file system reports about itself.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

// --- pipes ---

POSIX_CASE(fifo, carries_bytes) {
  OK(mkfifo("fifo", 0644));
  const int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK));
  const int writer = OK(open("fifo", O_WRONLY));
  WriteAll(writer, "through");
  char buffer[10];
  EQUAL(read(reader, buffer, sizeof(buffer)), 7);
  SAME_TEXT(std::string(buffer, 7), "through");
}

POSIX_CASE(fifo, between_processes) {
  OK(mkfifo("fifo", 0644));
  const pid_t child = OK(fork());
  if (child == 0) {
    WriteAll(OK(open("fifo", O_WRONLY)), "through");
    _exit(0);
  }
  SAME_TEXT(Content("fifo"), "through");
}

POSIX_CASE(fifo, by_two_names) {
  OK(mkfifo("fifo", 0644));
  OK(link("fifo", "second"));
  const int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK));
  WriteAll(OK(open("second", O_WRONLY | O_NONBLOCK)), "x");
  char byte = 0;
  EQUAL(read(reader, &byte, 1), 1);
}

POSIX_CASE(fifo, seek_is_espipe) {
  OK(mkfifo("fifo", 0644));
  FAILS(ESPIPE, lseek(OK(open("fifo", O_RDWR)), 0, SEEK_CUR));
}

POSIX_CASE(fifo, existing_name_is_eexist) {
  Make("file");
  FAILS(EEXIST, mkfifo("file", 0644));
}

// --- sockets ---

sockaddr_un Address(const char* path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  return address;
}

int Bind(int socket, const char* path) {
  const sockaddr_un address = Address(path);
  return bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

int Connect(int socket, const char* path) {
  const sockaddr_un address = Address(path);
  return connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

POSIX_CASE(socket, bound_and_connected) {
  const int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(Bind(listener, "socket"));
  HOLDS(S_ISSOCK(Stat("socket").st_mode));
  OK(listen(listener, 1));
  const int client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(Connect(client, "socket"));
  WriteAll(client, "hello");
  char buffer[10];
  EQUAL(read(OK(accept(listener, nullptr, nullptr)), buffer, sizeof(buffer)), 5);
}

POSIX_CASE(socket, bound_twice_is_eaddrinuse) {
  OK(Bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), "socket"));
  FAILS(EADDRINUSE, Bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), "socket"));
}

POSIX_CASE(socket, connect_without_listener_is_econnrefused) {
  OK(mknod("socket", S_IFSOCK | 0644, 0));
  FAILS(ECONNREFUSED, Connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), "socket"));
}

// --- devices ---

POSIX_CASE(device, null_is_opened) {
  OK(mknod("null", S_IFCHR | 0666, makedev(1, 3)));
  const struct stat state = Stat("null");
  HOLDS(S_ISCHR(state.st_mode));
  EQUAL(major(state.st_rdev), 1);
  EQUAL(minor(state.st_rdev), 3);
}

POSIX_CASE(device, numbers_are_kept) {
  OK(mknod("character", S_IFCHR | 0600, makedev(400, 70000)));
  OK(mknod("block", S_IFBLK | 0600, makedev(7, 300)));
  EQUAL(major(Stat("character").st_rdev), 400);
  EQUAL(minor(Stat("character").st_rdev), 70000);
  HOLDS(S_ISBLK(Stat("block").st_mode));
  EQUAL(minor(Stat("block").st_rdev), 300);
}

POSIX_CASE(device, is_for_root) {
  MakeDirectory("open-to-all", 0777);
  As(kUser, kGroup, [] {
    FAILS(EPERM, mknod("open-to-all/null", S_IFCHR | 0666, makedev(1, 3)));
    OK(mknod("open-to-all/file", S_IFREG | 0644, 0));
  });
}

POSIX_CASE(device, mknod_of_a_directory_is_eperm) {
  FAILS(EPERM, mknod("directory", S_IFDIR | 0755, 0));
}

POSIX_CASE(device, mknod_errors) {
  Make("file");
  FAILS(EEXIST, mknod("file", S_IFREG | 0644, 0));
  FAILS(ENOENT, mknod("none/file", S_IFREG | 0644, 0));
  FAILS(ENOTDIR, mknod("file/below", S_IFREG | 0644, 0));
}

// --- the file system ---

POSIX_CASE(statfs, reports_sizes) {
  struct statvfs state = {};
  OK(statvfs(".", &state));
  HOLDS(state.f_bsize >= 512);
  HOLDS(state.f_blocks > 0);
  HOLDS(state.f_bfree <= state.f_blocks);
  HOLDS(state.f_bavail <= state.f_bfree);
  EQUAL(state.f_namemax, 255);
}

POSIX_CASE(statfs, by_descriptor_and_by_name) {
  Make("file");
  struct statvfs by_name = {}, by_descriptor = {};
  OK(statvfs("file", &by_name));
  OK(fstatvfs(OK(open("file", O_RDONLY)), &by_descriptor));
  EQUAL(by_name.f_blocks, by_descriptor.f_blocks);
  EQUAL(by_name.f_bsize, by_descriptor.f_bsize);
}

POSIX_CASE(statfs, missing_name_is_enoent) {
  struct statvfs state = {};
  FAILS(ENOENT, statvfs("none", &state));
}

POSIX_CASE(stat, all_on_one_device) {
  Make("file");
  MakeDirectory("directory");
  EQUAL(Stat("file").st_dev, Stat("directory").st_dev);
  EQUAL(Stat("file").st_dev, Stat(".").st_dev);
}

POSIX_CASE(stat, inodes_differ_and_stay) {
  Make("a");
  Make("b");
  const ino_t inode = Stat("a").st_ino;
  HOLDS(inode != Stat("b").st_ino);
  OK(rename("a", "c"));
  EQUAL(Stat("c").st_ino, inode);
}

POSIX_CASE(stat, of_each_type) {
  Make("file", "content");
  OK(symlink("four", "link"));
  const struct stat file = Lstat("file");
  EQUAL(file.st_mode, S_IFREG | 0644);
  EQUAL(file.st_nlink, 1);
  EQUAL(file.st_size, 7);
  EQUAL(file.st_uid, 0);
  const struct stat link = Lstat("link");
  HOLDS(S_ISLNK(link.st_mode));
  EQUAL(link.st_size, 4);
}

POSIX_CASE(stat, by_descriptor_is_the_same) {
  Make("file", "content");
  const struct stat by_name = Stat("file");
  const struct stat by_descriptor = Fstat(OK(open("file", O_RDONLY)));
  EQUAL(by_name.st_ino, by_descriptor.st_ino);
  EQUAL(by_name.st_size, by_descriptor.st_size);
  HOLDS(SameTime(by_name.st_mtim, by_descriptor.st_mtim));
  HOLDS(SameTime(by_name.st_ctim, by_descriptor.st_ctim));
}

POSIX_CASE(stat, size_grows_with_each_write) {
  const int fd = OK(open("file", O_CREAT | O_WRONLY, 0644));
  for (int i = 1; i <= 20; ++i) {
    WriteAll(fd, "12345");
    EQUAL(Stat("file").st_size, 5 * i);
    EQUAL(Fstat(fd).st_size, 5 * i);
  }
}

POSIX_CASE(stat, blocks_of_written_data) {
  Make("file", std::string(1 << 20, 'x'));
  const int fd = OK(open("file", O_RDWR));
  OK(fsync(fd));
  HOLDS(Fstat(fd).st_blocks * 512 >= 1 << 20);
}

POSIX_CASE(stat, cross_device_is_exdev) {
  Make("file");
  FAILS(EXDEV, link("file", "/dev/none"));
  FAILS(EXDEV, rename("file", "/dev/none"));
}

}  // namespace
}  // namespace posix
