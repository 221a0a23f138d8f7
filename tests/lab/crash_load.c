// Makes random writes and flushes whose loss can be proved from outside.
//
//   crash-load DEVICE BLOCKS SEED [BATCHES]
//
// Batch s (from 1) writes runs of 4 KiB blocks among the first BLOCKS, asynchronously and all at
// once. Every sector is filled with the stamp {magic, s, sector}. The places that a batch writes
// follow from SEED alone (xorshift), so that the program that checks the disk knows what must be on
// it. After some batches a flush is sent, one at a time; the next batch is written while the flush
// is in flight. Prints
//   WROTE s     batch s has completed
//   FLUSHED s   a flush has completed that was sent after the batches up to s had completed
//   CRASH-ERROR text
// Without BATCHES the program runs until the power is cut.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kBlockBytes = 4096, kSectorBytes = 512, kMaxWrites = 8, kMaxRun = 4 };
static const uint32_t kMagic = 0x48535243;  // "CRSH"

struct stamp {
  uint32_t magic;
  uint32_t batch;
  uint64_t sector;
};

static uint64_t random_state;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static _Noreturn void fail(const char* what) {
  printf("CRASH-ERROR %s: %s\n", what, strerror(errno));
  exit(1);
}

static void fill(char* buffer, uint64_t first_sector, uint64_t count, uint32_t batch) {
  for (uint64_t i = 0; i < count; ++i) {
    const struct stamp stamp = {kMagic, batch, first_sector + i};
    for (int at = 0; at < kSectorBytes; at += (int)sizeof(stamp)) {
      memcpy(buffer + i * kSectorBytes + at, &stamp, sizeof(stamp));
    }
  }
}

static void submit(aio_context_t context, struct iocb* block) {
  if (syscall(SYS_io_submit, context, 1, &block) != 1) fail("io_submit");
}

static struct io_event next_event(aio_context_t context) {
  struct io_event event;
  long got;
  do {
    got = syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
  } while (got < 0 && errno == EINTR);
  if (got != 1) fail("io_getevents");
  if (event.res < 0) errno = (int)-event.res, fail(event.data != 0 ? "flush" : "write");
  return event;
}

// Waits for one completion. Returns whether the completion was the flush, whose data is its batch.
static int reap(aio_context_t context, int* writes, uint32_t* flushing) {
  const struct io_event event = next_event(context);
  if (event.data == 0) {
    --*writes;
    return 0;
  }
  printf("FLUSHED %u\n", *flushing);
  *flushing = 0;
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const uint64_t blocks = strtoull(argv[2], NULL, 0);
  const uint32_t batches = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 0) : UINT32_MAX;
  random_state = strtoull(argv[3], NULL, 0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  const int fd = open(argv[1], O_RDWR | O_DIRECT);
  if (fd < 0) fail(argv[1]);
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, kMaxWrites + 1, &context) != 0) fail("io_setup");
  char* buffers = mmap(NULL, kMaxWrites * kMaxRun * kBlockBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffers == MAP_FAILED) fail("mmap");

  uint32_t flushing = 0;  // the batch of the flush in flight
  for (uint32_t batch = 1; batch <= batches; ++batch) {
    const uint64_t dice = next_random();
    int writes = 1 + (int)(dice % kMaxWrites);
    for (int i = 0; i < writes; ++i) {
      const uint64_t where = next_random();
      const uint64_t run = 1 + (where >> 32) % kMaxRun;
      const uint64_t first = (where & 0xffffffff) % (blocks - run + 1);
      char* buffer = buffers + (size_t)i * kMaxRun * kBlockBytes;
      fill(buffer, first * (kBlockBytes / kSectorBytes), run * (kBlockBytes / kSectorBytes), batch);
      struct iocb write = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_fildes = (uint32_t)fd,
                           .aio_buf = (uint64_t)(uintptr_t)buffer,
                           .aio_nbytes = run * kBlockBytes,
                           .aio_offset = (int64_t)(first * kBlockBytes)};
      submit(context, &write);
    }
    while (writes > 0) reap(context, &writes, &flushing);
    printf("WROTE %u\n", batch);
    if ((dice >> 32) % 4 != 0 && batch != batches) continue;
    while (flushing != 0) reap(context, &writes, &flushing);
    flushing = batch;
    struct iocb flush = {
        .aio_data = 1, .aio_lio_opcode = IOCB_CMD_FDSYNC, .aio_fildes = (uint32_t)fd};
    submit(context, &flush);
  }
  for (int none = 0; flushing != 0;) reap(context, &none, &flushing);
  printf("CRASH-DONE\n");
  return 0;
}
