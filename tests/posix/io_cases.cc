// Reading and writing: positions, vectors, O_APPEND, O_DIRECT, copies, fsync.

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr off_t kFiveGiB = 5LL << 30;

// Returns bytes that differ from place to place.
std::string Pattern(size_t size, unsigned seed = 1) {
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    seed = seed * 1664525 + 1013904223;
    data[i] = static_cast<char>(seed >> 24);
  }
  return data;
}

int NewFile(const std::string& content) {
  Make("file", content);
  return OK(open("file", O_RDWR));
}

// --- sizes and places: data are written and read back by a new descriptor ---

constexpr size_t kSizes[] = {1,     511,   512,    4095,   4096,      4097,
                             65536, 65537, 131072, 131073, (1 << 20), (1 << 20) + 1};

void WriteAndReadBack(size_t size) {
  const std::string data = Pattern(size);
  Make("file", data);
  EQUAL(Stat("file").st_size, size);
  const int fd = OK(open("file", O_RDONLY));
  SAME_TEXT(ReadAt(fd, size + 10, 0), data);
}

void Overwrite(size_t size) {
  // The range begins at an odd place. The bytes before and behind it must not change.
  const int fd = NewFile(std::string(size + 4098, 'x'));
  const std::string data = Pattern(size);
  WriteAt(fd, data, 4097);
  SAME_TEXT(ReadAt(OK(open("file", O_RDONLY)), size + 2, 4096), "x" + data + "x");
  EQUAL(Fstat(fd).st_size, size + 4098);
}

bool Register() {
  for (const size_t size : kSizes) {
    Registered("io.write_and_read_" + std::to_string(size), [size] { WriteAndReadBack(size); });
    Registered("io.overwrite_" + std::to_string(size), [size] { Overwrite(size); });
  }
  return true;
}

const bool kRegistered = Register();

POSIX_CASE(io, four_mib_in_pieces) {
  const std::string data = Pattern(4 << 20);
  const int fd = NewFile("");
  for (size_t at = 0; at < data.size(); at += 7777) WriteAll(fd, data.substr(at, 7777));
  SAME_TEXT(Content("file"), data);
}

POSIX_CASE(io, written_backwards) {
  const std::string data = Pattern(100000);
  const int fd = NewFile("");
  for (size_t end = data.size(); end > 0; end -= 10000) {
    WriteAt(fd, data.substr(end - 10000, 10000), static_cast<off_t>(end - 10000));
  }
  SAME_TEXT(Content("file"), data);
}

POSIX_CASE(io, read_at_the_end_is_0) {
  const int fd = NewFile("content");
  char byte = 0;
  EQUAL(pread(fd, &byte, 1, 7), 0);
  EQUAL(pread(fd, &byte, 1, kFiveGiB), 0);
}

POSIX_CASE(io, read_over_the_end_is_short) {
  const int fd = NewFile("content");
  SAME_TEXT(ReadAt(fd, 100, 4), "ent");
}

POSIX_CASE(io, write_of_0_bytes_is_0) {
  const int fd = NewFile("content");
  EQUAL(write(fd, "x", 0), 0);
  SAME_TEXT(Content("file"), "content");
}

POSIX_CASE(io, negative_offset_is_einval) {
  const int fd = NewFile("content");
  char byte = 'x';
  FAILS(EINVAL, pread(fd, &byte, 1, -1));
  FAILS(EINVAL, pwrite(fd, &byte, 1, -1));
}

POSIX_CASE(io, pwrite_leaves_the_position) {
  const int fd = NewFile("content");
  WriteAt(fd, "END", 4);
  EQUAL(lseek(fd, 0, SEEK_CUR), 0);
  SAME_TEXT(Content("file"), "contEND");
}

POSIX_CASE(io, position_moves_with_read_and_write) {
  const int fd = NewFile("content");
  char buffer[3];
  EQUAL(read(fd, buffer, 3), 3);
  WriteAll(fd, "T");
  EQUAL(lseek(fd, 0, SEEK_CUR), 4);
  SAME_TEXT(Content("file"), "conTent");
}

POSIX_CASE(io, directory_reads_are_eisdir) {
  MakeDirectory("directory");
  char byte = 0;
  FAILS(EISDIR, read(OK(open("directory", O_RDONLY)), &byte, 1));
}

POSIX_CASE(io, bad_address_is_efault) {
  const int fd = NewFile("content");
  void* bad = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FAILS(EFAULT, read(fd, bad, 4));
  FAILS(EFAULT, write(fd, bad, 4));
}

POSIX_CASE(io, written_is_seen_by_another_process) {
  const int fd = NewFile("before");
  SAME_TEXT(Content("file"), "before");
  InChild([] { WriteAt(OK(open("file", O_WRONLY)), "after!", 0); });
  SAME_TEXT(ReadAt(fd, 6, 0), "after!");
}

POSIX_CASE(io, position_is_shared_with_a_child) {
  const int fd = NewFile("abcdef");
  InChild([fd] {
    char buffer[2];
    EQUAL(read(fd, buffer, 2), 2);
  });
  EQUAL(lseek(fd, 0, SEEK_CUR), 2);
}

POSIX_CASE(io, dup_shares_the_position) {
  const int fd = NewFile("abcdef");
  const int other = OK(dup(fd));
  EQUAL(lseek(fd, 4, SEEK_SET), 4);
  EQUAL(lseek(other, 0, SEEK_CUR), 4);
}

// --- vectors ---

POSIX_CASE(vector, writev_and_readv) {
  const int fd = NewFile("");
  char a[] = "one", b[] = "", c[] = "three";
  const iovec out[] = {{a, 3}, {b, 0}, {c, 5}};
  EQUAL(writev(fd, out, 3), 8);
  char x[5], y[100];
  const iovec in[] = {{x, 5}, {y, 100}};
  EQUAL(preadv(fd, in, 2, 0), 8);
  SAME_TEXT(std::string(x, 5) + std::string(y, 3), "onethree");
}

POSIX_CASE(vector, many_small_pieces) {
  const std::string data = Pattern(1000);
  std::vector<iovec> pieces;
  std::string copy = data;
  for (size_t i = 0; i < copy.size(); i += 2) pieces.push_back({&copy[i], 2});
  const int fd = NewFile("");
  EQUAL(pwritev(fd, pieces.data(), static_cast<int>(pieces.size()), 5), 1000);
  SAME_TEXT(ReadAt(fd, 2000, 5), data);
}

POSIX_CASE(vector, too_many_pieces_is_einval) {
  const std::vector<iovec> pieces(1025);
  FAILS(EINVAL, writev(NewFile(""), pieces.data(), 1025));
}

POSIX_CASE(vector, at_five_gib) {
  const int fd = NewFile("");
  char a[] = "far", b[] = "away";
  const iovec out[] = {{a, 3}, {b, 4}};
  EQUAL(pwritev(fd, out, 2, kFiveGiB), 7);
  SAME_TEXT(ReadAt(fd, 100, kFiveGiB), "faraway");
}

// --- O_APPEND ---

POSIX_CASE(append, writes_go_to_the_end) {
  Make("file", "begin");
  const int fd = OK(open("file", O_WRONLY | O_APPEND));
  WriteAll(fd, " one");
  EQUAL(lseek(fd, 0, SEEK_SET), 0);
  WriteAll(fd, " two");
  SAME_TEXT(Content("file"), "begin one two");
}

POSIX_CASE(append, after_another_descriptor_wrote) {
  Make("file", "begin");
  const int fd = OK(open("file", O_WRONLY | O_APPEND));
  WriteAt(OK(open("file", O_WRONLY)), "longer than before", 0);
  WriteAll(fd, "!");
  SAME_TEXT(Content("file"), "longer than before!");
}

POSIX_CASE(append, after_truncation) {
  Make("file", "begin");
  const int fd = OK(open("file", O_WRONLY | O_APPEND));
  WriteAll(fd, "x");
  OK(truncate("file", 2));
  WriteAll(fd, "y");
  SAME_TEXT(Content("file"), "bey");
}

POSIX_CASE(append, two_descriptors_lose_nothing) {
  Make("file");
  const int first = OK(open("file", O_WRONLY | O_APPEND));
  const int second = OK(open("file", O_WRONLY | O_APPEND));
  for (int i = 0; i < 100; ++i) WriteAll(i % 2 == 0 ? first : second, "line\n");
  EQUAL(Stat("file").st_size, 500);
}

POSIX_CASE(append, processes_lose_nothing) {
  Make("file");
  const auto writes = [] {
    const int fd = OK(open("file", O_WRONLY | O_APPEND));
    for (int i = 0; i < 60; ++i) WriteAll(fd, "0123456789");
  };
  InChild([&writes] {
    const pid_t child = OK(fork());
    writes();
    if (child == 0) _exit(0);
    InChild(writes);
    int status = 0;
    OK(waitpid(child, &status, 0));
    EQUAL(status, 0);
  });
  std::string wanted;
  for (int i = 0; i < 180; ++i) wanted += "0123456789";
  SAME_TEXT(Content("file"), wanted);
}

POSIX_CASE(append, set_by_fcntl) {
  const int fd = NewFile("begin");
  OK(fcntl(fd, F_SETFL, O_APPEND));
  WriteAll(fd, "!");
  SAME_TEXT(Content("file"), "begin!");
}

POSIX_CASE(append, cleared_by_fcntl) {
  Make("file", "begin");
  const int fd = OK(open("file", O_RDWR | O_APPEND));
  WriteAll(fd, "!");
  OK(fcntl(fd, F_SETFL, 0));
  WriteAt(fd, "B", 0);
  SAME_TEXT(Content("file"), "Begin!");
}

// --- O_DIRECT, O_SYNC, fsync ---

constexpr size_t kAligned = 4096;

char* AlignedBuffer(size_t size) {
  void* buffer = nullptr;
  EQUAL(posix_memalign(&buffer, kAligned, size), 0);
  return static_cast<char*>(buffer);
}

POSIX_CASE(direct, written_and_read) {
  const int fd = OK(open("file", O_CREAT | O_RDWR | O_DIRECT, 0644));
  const std::string data = Pattern(16 * kAligned);
  char* buffer = AlignedBuffer(data.size());
  std::copy(data.begin(), data.end(), buffer);
  EQUAL(pwrite(fd, buffer, data.size(), 0), data.size());
  memset(buffer, 0, data.size());
  EQUAL(pread(fd, buffer, data.size(), 0), data.size());
  SAME_TEXT(std::string(buffer, data.size()), data);
}

POSIX_CASE(direct, seen_by_buffered_readers) {
  Make("file", std::string(kAligned, 'x'));
  const int buffered = OK(open("file", O_RDONLY));
  SAME_TEXT(ReadAt(buffered, 4, 0), "xxxx");
  const int fd = OK(open("file", O_WRONLY | O_DIRECT));
  char* buffer = AlignedBuffer(kAligned);
  memset(buffer, 'y', kAligned);
  EQUAL(pwrite(fd, buffer, kAligned, 0), kAligned);
  SAME_TEXT(ReadAt(buffered, 4, 0), "yyyy");
}

POSIX_CASE(direct, reads_what_was_buffered) {
  const int buffered = NewFile(std::string(kAligned, 'x'));
  const int fd = OK(open("file", O_RDONLY | O_DIRECT));
  WriteAt(buffered, "new!", 0);
  char* buffer = AlignedBuffer(kAligned);
  EQUAL(pread(fd, buffer, kAligned, 0), kAligned);
  SAME_TEXT(std::string(buffer, 4), "new!");
}

POSIX_CASE(direct, end_of_file_is_short) {
  Make("file", "content");
  const int fd = OK(open("file", O_RDONLY | O_DIRECT));
  char* buffer = AlignedBuffer(kAligned);
  EQUAL(pread(fd, buffer, kAligned, 0), 7);
  EQUAL(pread(fd, buffer, kAligned, kAligned), 0);
}

POSIX_CASE(direct, one_mib_at_once) {
  const int fd = OK(open("file", O_CREAT | O_RDWR | O_DIRECT, 0644));
  const std::string data = Pattern(1 << 20);
  char* buffer = AlignedBuffer(data.size());
  std::copy(data.begin(), data.end(), buffer);
  EQUAL(pwrite(fd, buffer, data.size(), kAligned), data.size());
  SAME_TEXT(Content("file"), std::string(kAligned, '\0') + data);
}

POSIX_CASE(sync, fsync_and_fdatasync) {
  const int fd = NewFile("content");
  WriteAt(fd, "CON", 0);
  OK(fdatasync(fd));
  OK(fsync(fd));
  SAME_TEXT(Content("file"), "CONtent");
}

POSIX_CASE(sync, fsync_of_a_directory) {
  MakeDirectory("directory");
  Make("directory/file");
  OK(fsync(OK(open("directory", O_RDONLY))));
}

POSIX_CASE(sync, fsync_of_a_readonly_descriptor) {
  Make("file", "content");
  OK(fsync(OK(open("file", O_RDONLY))));
}

POSIX_CASE(sync, o_sync_writes) {
  const int fd = OK(open("file", O_CREAT | O_RDWR | O_SYNC, 0644));
  WriteAll(fd, Pattern(10000));
  SAME_TEXT(Content("file"), Pattern(10000));
}

POSIX_CASE(sync, syncfs) { OK(syncfs(NewFile("content"))); }

POSIX_CASE(sync, sync_file_range_and_advice) {
  const int fd = NewFile(Pattern(100000));
  OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
  EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  SAME_TEXT(Content("file"), Pattern(100000));
}

// --- copies ---

POSIX_CASE(copy, copy_file_range_of_a_whole_file) {
  const std::string data = Pattern(200000);
  const int from = NewFile(data);
  const int to = OK(open("copy", O_CREAT | O_RDWR, 0644));
  size_t done = 0;
  while (done < data.size()) {
    const long step = OK(copy_file_range(from, nullptr, to, nullptr, data.size() - done, 0));
    HOLDS(step > 0);
    done += static_cast<size_t>(step);
  }
  EQUAL(copy_file_range(from, nullptr, to, nullptr, 100, 0), 0);
  SAME_TEXT(Content("copy"), data);
}

POSIX_CASE(copy, copy_file_range_at_offsets) {
  const int from = NewFile("0123456789");
  const int to = OK(open("copy", O_CREAT | O_RDWR, 0644));
  WriteAll(to, "abcdefghij");
  off_t from_at = 3, to_at = 5;
  EQUAL(copy_file_range(from, &from_at, to, &to_at, 4, 0), 4);
  EQUAL(from_at, 7);
  EQUAL(to_at, 9);
  SAME_TEXT(Content("copy"), "abcde3456j");
}

POSIX_CASE(copy, copy_file_range_what_was_just_written) {
  const int from = NewFile("");
  WriteAll(from, "just written");
  const int to = OK(open("copy", O_CREAT | O_RDWR, 0644));
  off_t at = 0;
  EQUAL(copy_file_range(from, &at, to, nullptr, 100, 0), 12);
  SAME_TEXT(Content("copy"), "just written");
}

POSIX_CASE(copy, copy_file_range_checks_descriptors) {
  const int from = NewFile("content");
  const int readonly = OK(open("file", O_RDONLY));
  const int append = OK(open("copy", O_CREAT | O_WRONLY | O_APPEND, 0644));
  MakeDirectory("directory");
  const int directory = OK(open("directory", O_RDONLY));
  FAILS(EBADF, copy_file_range(from, nullptr, readonly, nullptr, 4, 0));
  FAILS(EBADF, copy_file_range(from, nullptr, append, nullptr, 4, 0));
  FAILS(EISDIR, copy_file_range(directory, nullptr, append, nullptr, 4, 0));
  FAILS(EINVAL, copy_file_range(from, nullptr, readonly, nullptr, 4, 1));
}

POSIX_CASE(copy, copy_file_range_onto_itself) {
  const int fd = NewFile("0123456789");
  off_t from = 0, to = 5, over = 2;
  EQUAL(copy_file_range(fd, &from, fd, &to, 5, 0), 5);
  SAME_TEXT(Content("file"), "0123401234");
  from = 0;
  FAILS(EINVAL, copy_file_range(fd, &from, fd, &over, 5, 0));
}

POSIX_CASE(copy, sendfile) {
  const int from = NewFile(Pattern(50000));
  const int to = OK(open("copy", O_CREAT | O_RDWR, 0644));
  off_t at = 0;
  while (at < 50000) HOLDS(sendfile(to, from, &at, 50000) > 0);
  SAME_TEXT(Content("copy"), Pattern(50000));
}

POSIX_CASE(copy, splice_through_a_pipe) {
  const int from = NewFile(Pattern(10000));
  const int to = OK(open("copy", O_CREAT | O_RDWR, 0644));
  int ends[2];
  OK(pipe(ends));
  EQUAL(splice(from, nullptr, ends[1], nullptr, 10000, 0), 10000);
  EQUAL(splice(ends[0], nullptr, to, nullptr, 10000, 0), 10000);
  SAME_TEXT(Content("copy"), Pattern(10000));
}

POSIX_CASE(io, bytes_ready_to_read) {
  const int fd = NewFile("content");
  int ready = 0;
  OK(ioctl(fd, FIONREAD, &ready));
  EQUAL(ready, 7);
}

}  // namespace
}  // namespace posix
