#define _GNU_SOURCE
#include "tests/bench/guest_loads.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int wait_open(const char* path, int flags) {
  for (int i = 0; i < 2000; ++i) {
    const int fd = open(path, flags);
    if (fd >= 0) return fd;
    usleep(1000);
  }
  printf("BENCH-ERROR no %s\n", path);
  return -1;
}

// Submits each request again when it completes.
void run_load(int fd, uint64_t size, const struct load* load, int seconds) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, load->depth, &context) != 0) {
    printf("BENCH-ERROR io_setup\n");
    return;
  }
  char* buffers = mmap(NULL, load->bytes * load->depth, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  struct iocb blocks[64];
  struct io_event events[64];
  uint64_t random = 88172645463325252ULL, position = 0, ops = 0;
  int in_flight = 0, errors = 0;
  printf("BENCH-BEGIN %s\n", load->name);
  const int64_t start = now_us(), end = start + seconds * 1000000LL;
  for (int i = 0; i < load->depth; ++i) events[i].data = i;
  long ready = load->depth;
  while (1) {
    struct iocb* submit[64];
    int count = 0;
    for (long i = 0; i < ready && now_us() < end; ++i) {
      const uint64_t slot = events[i].data;
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      const uint64_t offset =
          (load->sequential ? position++ : random) % (size / load->bytes) * load->bytes;
      struct iocb* block = &blocks[slot];
      memset(block, 0, sizeof(*block));
      block->aio_data = slot;
      block->aio_lio_opcode = load->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      block->aio_fildes = fd;
      block->aio_buf = (uint64_t)(buffers + slot * load->bytes);
      block->aio_nbytes = load->bytes;
      block->aio_offset = (int64_t)offset;
      submit[count++] = block;
    }
    for (int done = 0; done < count;) {
      const long n = syscall(SYS_io_submit, context, count - done, submit + done);
      if (n <= 0) break;
      done += (int)n;
      in_flight += (int)n;
    }
    if (in_flight == 0) break;
    ready = syscall(SYS_io_getevents, context, 1, 64, events, NULL);
    for (long i = 0; i < ready; ++i) {
      --in_flight;
      if (events[i].res == (int64_t)load->bytes) {
        ++ops;
      } else {
        ++errors;
      }
    }
  }
  const int64_t elapsed = now_us() - start;
  printf("BENCH-BLOCK %s %llu %llu %lld errors=%d\n", load->name, (unsigned long long)ops,
         (unsigned long long)(ops * load->bytes), (long long)elapsed, errors);
  syscall(SYS_io_destroy, context);
  munmap(buffers, load->bytes * load->depth);
}
