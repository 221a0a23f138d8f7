// Files mapped into memory, private and shared.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr size_t kPage = 4096;

char* Map(int fd, size_t size, int protection, int flags, off_t offset = 0) {
  void* memory = mmap(nullptr, size, protection, flags, fd, offset);
  if (memory == MAP_FAILED) OK(-1);
  return static_cast<char*>(memory);
}

int NewFile(const std::string& content) {
  Make("file", content);
  return OK(open("file", O_RDWR));
}

constexpr int kBoth = PROT_READ | PROT_WRITE;

POSIX_CASE(mmap, private_read) {
  const char* memory = Map(NewFile("content"), kPage, PROT_READ, MAP_PRIVATE);
  SAME_TEXT(std::string(memory, 7), "content");
}

POSIX_CASE(mmap, rest_of_the_last_page_is_zero) {
  const char* memory = Map(NewFile("content"), kPage, PROT_READ, MAP_PRIVATE);
  SAME_TEXT(std::string(memory + 7, kPage - 7), std::string(kPage - 7, '\0'));
}

POSIX_CASE(mmap, private_write_stays_private) {
  char* memory = Map(NewFile("content"), kPage, kBoth, MAP_PRIVATE);
  std::copy_n("CON", 3, memory);
  SAME_TEXT(std::string(memory, 7), "CONtent");
  SAME_TEXT(Content("file"), "content");
}

POSIX_CASE(mmap, shared_read) {
  Make("file", "content");
  const char* memory = Map(OK(open("file", O_RDONLY)), kPage, PROT_READ, MAP_SHARED);
  SAME_TEXT(std::string(memory, 7), "content");
}

POSIX_CASE(mmap, shared_write_reaches_the_file) {
  char* memory = Map(NewFile("content"), kPage, kBoth, MAP_SHARED);
  std::copy_n("CON", 3, memory);
  OK(msync(memory, kPage, MS_SYNC));
  SAME_TEXT(Content("file"), "CONtent");
}

POSIX_CASE(mmap, shared_write_is_read_without_msync) {
  const int fd = NewFile("content");
  char* memory = Map(fd, kPage, kBoth, MAP_SHARED);
  std::copy_n("CON", 3, memory);
  SAME_TEXT(ReadAt(fd, 100, 0), "CONtent");
}

POSIX_CASE(mmap, shared_write_outlives_close_and_munmap) {
  const int fd = NewFile(std::string(3 * kPage, 'x'));
  char* memory = Map(fd, 3 * kPage, kBoth, MAP_SHARED);
  OK(close(fd));
  memset(memory + kPage, 'y', kPage);
  OK(munmap(memory, 3 * kPage));
  SAME_TEXT(Content("file"),
            std::string(kPage, 'x') + std::string(kPage, 'y') + std::string(kPage, 'x'));
}

POSIX_CASE(mmap, write_is_seen_in_the_mapping) {
  const int fd = NewFile("content");
  const char* memory = Map(fd, kPage, PROT_READ, MAP_SHARED);
  SAME_TEXT(std::string(memory, 7), "content");
  WriteAt(fd, "CON", 0);
  SAME_TEXT(std::string(memory, 7), "CONtent");
}

POSIX_CASE(mmap, two_processes_share) {
  char* memory = Map(NewFile("content"), kPage, kBoth, MAP_SHARED);
  InChild([] { memcpy(Map(OK(open("file", O_RDWR)), kPage, kBoth, MAP_SHARED), "CON", 3); });
  SAME_TEXT(std::string(memory, 7), "CONtent");
}

POSIX_CASE(mmap, at_an_offset) {
  const int fd = NewFile(std::string(kPage, 'a') + std::string(kPage, 'b'));
  char* memory = Map(fd, kPage, kBoth, MAP_SHARED, kPage);
  EQUAL(memory[0], 'b');
  memory[0] = 'c';
  OK(msync(memory, kPage, MS_SYNC));
  SAME_TEXT(ReadAt(fd, 1, kPage), "c");
}

POSIX_CASE(mmap, beyond_4_gib) {
  const off_t far = 5LL << 30;
  const int fd = NewFile("");
  OK(ftruncate(fd, far + static_cast<off_t>(kPage)));
  char* memory = Map(fd, kPage, kBoth, MAP_SHARED, far);
  std::copy_n("far", 3, memory);
  OK(msync(memory, kPage, MS_SYNC));
  SAME_TEXT(ReadAt(fd, 3, far), "far");
}

POSIX_CASE(mmap, write_into_a_hole) {
  const int fd = NewFile("");
  OK(ftruncate(fd, 1 << 20));
  char* memory = Map(fd, 1 << 20, kBoth, MAP_SHARED);
  memory[500000] = 'x';
  OK(msync(memory, 1 << 20, MS_SYNC));
  SAME_TEXT(ReadAt(fd, 3, 499999), std::string("\0x\0", 3));
}

POSIX_CASE(mmap, of_an_unlinked_file) {
  const int fd = NewFile("content");
  OK(unlink("file"));
  char* memory = Map(fd, kPage, kBoth, MAP_SHARED);
  std::copy_n("CON", 3, memory);
  OK(msync(memory, kPage, MS_SYNC));
  SAME_TEXT(ReadAt(fd, 100, 0), "CONtent");
}

POSIX_CASE(mmap, extension_shows_in_the_mapping) {
  const int fd = NewFile("content");
  const char* memory = Map(fd, 2 * kPage, PROT_READ, MAP_SHARED);
  WriteAt(fd, "behind", kPage);
  SAME_TEXT(std::string(memory + kPage, 6), "behind");
}

POSIX_CASE(mmap, access_behind_the_end_is_sigbus) {
  const int fd = NewFile("content");
  const volatile char* memory = Map(fd, 2 * kPage, PROT_READ, MAP_SHARED);
  const pid_t child = OK(fork());
  if (child == 0) _exit(memory[kPage]);
  int status = 0;
  OK(waitpid(child, &status, 0));
  HOLDS(WIFSIGNALED(status));
  EQUAL(WTERMSIG(status), SIGBUS);
}

POSIX_CASE(mmap, truncated_pages_are_gone) {
  const int fd = NewFile(std::string(2 * kPage, 'x'));
  const volatile char* memory = Map(fd, 2 * kPage, PROT_READ, MAP_SHARED);
  EQUAL(memory[kPage], 'x');
  OK(ftruncate(fd, kPage));
  const pid_t child = OK(fork());
  if (child == 0) _exit(memory[kPage]);
  int status = 0;
  OK(waitpid(child, &status, 0));
  HOLDS(WIFSIGNALED(status));
}

POSIX_CASE(mmap, shared_write_needs_a_writable_descriptor) {
  Make("file", "content");
  const int fd = OK(open("file", O_RDONLY));
  HOLDS(mmap(nullptr, kPage, kBoth, MAP_SHARED, fd, 0) == MAP_FAILED);
  EQUAL(errno, EACCES);
  HOLDS(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, OK(open("file", O_WRONLY)), 0) == MAP_FAILED);
  EQUAL(errno, EACCES);
}

POSIX_CASE(mmap, file_of_1_mib_by_memory) {
  constexpr size_t kSize = 1 << 20;
  const int fd = NewFile("");
  OK(ftruncate(fd, kSize));
  char* memory = Map(fd, kSize, kBoth, MAP_SHARED);
  std::string wanted(kSize, '\0');
  for (size_t i = 0; i < kSize; ++i) wanted[i] = memory[i] = static_cast<char>(i * i >> 7);
  OK(munmap(memory, kSize));
  OK(close(fd));
  SAME_TEXT(Content("file"), wanted);
}

}  // namespace
}  // namespace posix
