// truncate(2), holes, lseek(2) for holes and data, fallocate(2).

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr off_t kFiveGiB = 5LL << 30;
constexpr size_t kBlock = 65536;  // a multiple of the block size of every tested file system

std::string Zeros(size_t size) { return std::string(size, '\0'); }

int NewFile(const std::string& content) {
  Make("file", content);
  return OK(open("file", O_RDWR));
}

// --- truncate ---

POSIX_CASE(truncate, shorter) {
  Make("file", "content");
  OK(truncate("file", 3));
  SAME_TEXT(Content("file"), "con");
}

POSIX_CASE(truncate, longer_is_filled_with_zeros) {
  Make("file", "content");
  OK(truncate("file", 10));
  SAME_TEXT(Content("file"), std::string("content\0\0\0", 10));
}

POSIX_CASE(truncate, shorter_then_longer_shows_zeros) {
  Make("file", "content");
  OK(truncate("file", 3));
  OK(truncate("file", 7));
  SAME_TEXT(Content("file"), std::string("con\0\0\0\0", 7));
}

POSIX_CASE(truncate, within_a_page_that_was_read) {
  const int fd = NewFile(std::string(5000, 'x'));
  SAME_TEXT(ReadAt(fd, 5000, 0), std::string(5000, 'x'));
  OK(ftruncate(fd, 100));
  OK(ftruncate(fd, 5000));
  SAME_TEXT(ReadAt(fd, 5000, 0), std::string(100, 'x') + Zeros(4900));
}

POSIX_CASE(truncate, to_nothing_and_written_again) {
  const int fd = NewFile("content");
  OK(ftruncate(fd, 0));
  EQUAL(Fstat(fd).st_size, 0);
  EQUAL(Fstat(fd).st_blocks, 0);
  WriteAt(fd, "new", 0);
  SAME_TEXT(Content("file"), "new");
}

POSIX_CASE(truncate, position_stays) {
  const int fd = NewFile("content");
  EQUAL(lseek(fd, 0, SEEK_END), 7);
  OK(ftruncate(fd, 0));
  WriteAll(fd, "end");
  SAME_TEXT(Content("file"), std::string("\0\0\0\0\0\0\0end", 10));
}

POSIX_CASE(truncate, five_gib_sparse) {
  const int fd = NewFile("");
  OK(ftruncate(fd, kFiveGiB));
  EQUAL(Fstat(fd).st_size, kFiveGiB);
  HOLDS(Fstat(fd).st_blocks < 1024);
  SAME_TEXT(ReadAt(fd, 10, kFiveGiB - 4), Zeros(4));
}

POSIX_CASE(truncate, readonly_descriptor_is_einval) {
  Make("file", "content");
  FAILS(EINVAL, ftruncate(OK(open("file", O_RDONLY)), 1));
}

POSIX_CASE(truncate, negative_size_is_einval) {
  Make("file");
  FAILS(EINVAL, truncate("file", -1));
}

POSIX_CASE(truncate, directory_is_eisdir) {
  MakeDirectory("directory");
  FAILS(EISDIR, truncate("directory", 0));
}

POSIX_CASE(truncate, missing_name_is_enoent) { FAILS(ENOENT, truncate("none", 0)); }

POSIX_CASE(truncate, without_permission_is_eacces) {
  Make("file", "content", 0644);
  As(kUser, kGroup, [] { FAILS(EACCES, truncate("file", 0)); });
}

POSIX_CASE(truncate, open_descriptor_needs_no_permission) {
  const int fd = NewFile("content");
  OK(fchmod(fd, 0));
  As(kUser, kGroup, [fd] { OK(ftruncate(fd, 2)); });
  EQUAL(Fstat(fd).st_size, 2);
}

POSIX_CASE(truncate, seen_by_another_descriptor) {
  const int fd = NewFile("content");
  const int other = OK(open("file", O_RDONLY));
  SAME_TEXT(ReadAt(other, 100, 0), "content");
  OK(ftruncate(fd, 3));
  SAME_TEXT(ReadAt(other, 100, 0), "con");
}

POSIX_CASE(truncate, above_the_size_limit_is_efbig) {
  Make("file");
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit = {1000, 1000};
  OK(setrlimit(RLIMIT_FSIZE, &limit));
  FAILS(EFBIG, truncate("file", 1001));
  OK(truncate("file", 1000));
}

// --- holes ---

POSIX_CASE(sparse, write_behind_the_end_leaves_zeros) {
  const int fd = NewFile("");
  WriteAt(fd, "far", 100000);
  EQUAL(Fstat(fd).st_size, 100003);
  SAME_TEXT(ReadAt(fd, 4096, 50000), Zeros(4096));
  SAME_TEXT(ReadAt(fd, 100, 100000), "far");
}

POSIX_CASE(sparse, write_at_five_gib) {
  const int fd = NewFile("begin");
  WriteAt(fd, "end", kFiveGiB);
  EQUAL(Fstat(fd).st_size, kFiveGiB + 3);
  SAME_TEXT(ReadAt(fd, 3, kFiveGiB), "end");
  SAME_TEXT(ReadAt(fd, 5, 0), "begin");
  SAME_TEXT(ReadAt(fd, 16, kFiveGiB / 2), Zeros(16));
}

POSIX_CASE(sparse, holes_take_no_blocks) {
  const int fd = NewFile("");
  WriteAt(fd, "x", 64 << 20);
  OK(fsync(fd));
  HOLDS(Fstat(fd).st_blocks < 2048);
}

POSIX_CASE(sparse, offsets_across_4_gib) {
  const int fd = NewFile("");
  const off_t boundary = 1LL << 32;
  WriteAt(fd, "across", boundary - 3);
  SAME_TEXT(ReadAt(fd, 6, boundary - 3), "across");
  SAME_TEXT(ReadAt(fd, 3, boundary), "oss");
}

POSIX_CASE(seek, set_current_and_end) {
  const int fd = NewFile("content");
  EQUAL(lseek(fd, 2, SEEK_SET), 2);
  EQUAL(lseek(fd, 3, SEEK_CUR), 5);
  EQUAL(lseek(fd, -1, SEEK_END), 6);
  EQUAL(lseek(fd, 100, SEEK_END), 107);
}

POSIX_CASE(seek, before_the_beginning_is_einval) {
  const int fd = NewFile("content");
  FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
  FAILS(EINVAL, lseek(fd, -8, SEEK_END));
}

POSIX_CASE(seek, end_after_another_descriptor_wrote) {
  const int fd = NewFile("");
  const int other = OK(open("file", O_WRONLY));
  WriteAll(other, "content");
  EQUAL(lseek(fd, 0, SEEK_END), 7);
}

POSIX_CASE(seek, unknown_whence_is_einval) { FAILS(EINVAL, lseek(NewFile(""), 0, 77)); }

// A file with data in blocks 0 and 4 of kBlock bytes, and a hole up to the end of block 8.
int NewSparseFile() {
  const int fd = NewFile(std::string(kBlock, 'a'));
  WriteAt(fd, std::string(kBlock, 'b'), 4 * kBlock);
  OK(ftruncate(fd, 8 * kBlock));
  OK(fsync(fd));
  return fd;
}

POSIX_CASE(seek_hole, finds_the_hole_between) {
  EQUAL(lseek(NewSparseFile(), 0, SEEK_HOLE), kBlock);
}

POSIX_CASE(seek_hole, finds_the_data_behind) {
  EQUAL(lseek(NewSparseFile(), kBlock, SEEK_DATA), 4 * kBlock);
}

POSIX_CASE(seek_hole, hole_at_the_end) {
  const int fd = NewSparseFile();
  EQUAL(lseek(fd, 4 * kBlock, SEEK_HOLE), 5 * kBlock);
  FAILS(ENXIO, lseek(fd, 5 * kBlock, SEEK_DATA));
}

POSIX_CASE(seek_hole, within_data_is_where_it_is) {
  EQUAL(lseek(NewSparseFile(), 100, SEEK_DATA), 100);
}

POSIX_CASE(seek_hole, end_of_file_is_a_hole) {
  EQUAL(lseek(NewFile(std::string(100, 'x')), 0, SEEK_HOLE), 100);
}

POSIX_CASE(seek_hole, behind_the_end_is_enxio) {
  const int fd = NewFile("content");
  FAILS(ENXIO, lseek(fd, 7, SEEK_DATA));
  FAILS(ENXIO, lseek(fd, 8, SEEK_HOLE));
}

// --- fallocate ---

POSIX_CASE(fallocate, extends_with_zeros) {
  const int fd = NewFile("content");
  OK(fallocate(fd, 0, 0, 100));
  EQUAL(Fstat(fd).st_size, 100);
  SAME_TEXT(ReadAt(fd, 100, 0), "content" + Zeros(93));
}

POSIX_CASE(fallocate, takes_blocks) {
  const int fd = NewFile("");
  OK(fallocate(fd, 0, 0, 1 << 20));
  HOLDS(Fstat(fd).st_blocks >= (1 << 20) / 512);
}

POSIX_CASE(fallocate, keep_size) {
  const int fd = NewFile("content");
  OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
  EQUAL(Fstat(fd).st_size, 7);
  HOLDS(Fstat(fd).st_blocks >= (1 << 20) / 512);
}

POSIX_CASE(fallocate, leaves_data_alone) {
  const int fd = NewFile(std::string(10000, 'x'));
  OK(fallocate(fd, 0, 0, 10000));
  SAME_TEXT(Content("file"), std::string(10000, 'x'));
}

POSIX_CASE(fallocate, punch_hole) {
  const int fd = NewFile(std::string(4 * kBlock, 'x'));
  SAME_TEXT(ReadAt(fd, 4, kBlock), "xxxx");  // is in the cache now
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kBlock, kBlock));
  EQUAL(Fstat(fd).st_size, 4 * kBlock);
  SAME_TEXT(ReadAt(fd, kBlock, kBlock), Zeros(kBlock));
  SAME_TEXT(ReadAt(fd, 4, kBlock - 4), "xxxx");
  SAME_TEXT(ReadAt(fd, 4, 2 * kBlock), "xxxx");
}

POSIX_CASE(fallocate, punch_hole_within_a_page) {
  const int fd = NewFile(std::string(1000, 'x'));
  OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 50));
  SAME_TEXT(Content("file"), std::string(100, 'x') + Zeros(50) + std::string(850, 'x'));
}

POSIX_CASE(fallocate, punch_hole_without_keep_size_fails) {
  const int fd = NewFile("content");
  FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4));
}

POSIX_CASE(fallocate, zero_range) {
  const int fd = NewFile(std::string(2 * kBlock, 'x'));
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 100, kBlock));
  SAME_TEXT(Content("file"),
            std::string(100, 'x') + Zeros(kBlock) + std::string(kBlock - 100, 'x'));
}

POSIX_CASE(fallocate, zero_range_extends) {
  const int fd = NewFile("content");
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3, 100));
  SAME_TEXT(Content("file"), "con" + Zeros(100));
}

POSIX_CASE(fallocate, zero_range_keep_size) {
  const int fd = NewFile("content");
  OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 3, 100));
  SAME_TEXT(Content("file"), "con" + Zeros(4));
}

POSIX_CASE(fallocate, collapse_range) {
  const int fd = NewFile(std::string(kBlock, 'a') + std::string(kBlock, 'b') + "end");
  OK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, kBlock));
  SAME_TEXT(Content("file"), std::string(kBlock, 'b') + "end");
}

POSIX_CASE(fallocate, readonly_descriptor_is_ebadf) {
  Make("file", "content");
  FAILS(EBADF, fallocate(OK(open("file", O_RDONLY)), 0, 0, 10));
}

POSIX_CASE(fallocate, nonsense_range_is_einval) {
  const int fd = NewFile("");
  FAILS(EINVAL, fallocate(fd, 0, 0, 0));
  FAILS(EINVAL, fallocate(fd, 0, -1, 10));
}

POSIX_CASE(fallocate, posix_fallocate_works_everywhere) {
  const int fd = NewFile("content");
  EQUAL(posix_fallocate(fd, 0, 10000), 0);
  EQUAL(Fstat(fd).st_size, 10000);
  SAME_TEXT(ReadAt(fd, 7, 0), "content");
}

}  // namespace
}  // namespace posix
