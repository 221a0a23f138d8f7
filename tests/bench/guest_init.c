// The init of benchmark guests: prints marker lines and, if requested, puts load on /dev/vda.
//
// The kernel passes the NAME=VALUE words of its command line that it does not know to init, as
// environment variables:
//   BENCH=boot   prints BENCH-INIT on the console that the kernel opened
//   BENCH=hvc    loads the modules of /modules/order, prints BENCH-INIT on hvc0
//   BENCH=block  does the same, then runs loads of BENCH_SECONDS each, and prints for each load
//                "BENCH-BLOCK name ops bytes us"
//   BENCH=share  loads the same modules, then serves commands on the console (guest_shares.c)
//   BENCH=net    loads the same modules, then serves loads on eth0 (guest_net.c)
//   BENCH=hang   loads the same modules, then runs BENCH_ROUNDS times two phases of BENCH_SECONDS,
//                "calm" and "hang", and prints for each phase
//                "BENCH-HANG phase read_p50_us read_p99_us write_p50_us write_p99_us": the times of
//                reads of /dev/vdb and of writes to the console. In the second phase 32 reads of
//                /dev/vda wait, because the host hangs that disk at "BENCH-BEGIN hang"
// Afterwards it waits for ever: the benchmark ends the VM.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/guest_loads.h"

static void load_modules(void) {
  FILE* order = fopen("/modules/order", "r");
  char name[256];
  while (order != NULL && fgets(name, sizeof(name), order) != NULL) {
    name[strcspn(name, "\n")] = 0;
    char path[512];
    snprintf(path, sizeof(path), "/modules/%s.ko", name);
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
      printf("BENCH-ERROR module %s\n", path);
    if (fd >= 0) close(fd);
  }
}

static int compare_times(const void* a, const void* b) {
  const int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return x < y ? -1 : x > y;
}

struct times {
  int64_t us[20000];
  size_t count;
};

static void add_time(struct times* times, int64_t start) {
  if (times->count < sizeof(times->us) / sizeof(times->us[0])) {
    times->us[times->count++] = now_us() - start;
  }
}

// Sorts the times. Returns the time that `percent` of them do not exceed.
static long long percentile(struct times* times, size_t percent) {
  if (times->count == 0) return -1;
  qsort(times->us, times->count, sizeof(times->us[0]), compare_times);
  return times->us[times->count * percent / 100];
}

// Makes few requests, so that no request is late because of the one before.
static void measure_beside(int fd, const char* phase, int seconds) {
  static struct times reads, writes;
  static char* buffer;
  if (buffer == NULL) {
    buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  const uint64_t blocks = (uint64_t)lseek(fd, 0, SEEK_END) / 4096;
  reads.count = writes.count = 0;
  const int64_t end = now_us() + seconds * 1000000LL;
  for (uint64_t i = 0; now_us() < end; ++i) {
    int64_t start = now_us();
    if (pread(fd, buffer, 4096, (off_t)(i * 7919 % blocks * 4096)) != 4096)
      printf("BENCH-ERROR read\n");
    add_time(&reads, start);
    start = now_us();
    if (write(1, "tick\n", 5) != 5) printf("BENCH-ERROR write\n");
    add_time(&writes, start);
    usleep(10000);
  }
  printf("BENCH-HANG %s %lld %lld %lld %lld\n", phase, percentile(&reads, 50),
         percentile(&reads, 99), percentile(&writes, 50), percentile(&writes, 99));
}

// Measures one disk while another does not answer.
static void run_hang(int hanging, int other, int rounds, int seconds) {
  static const struct load load = {"beside", 0, 4096, 32, 0};
  for (int round = 0; round < rounds; ++round) {
    printf("BENCH-BEGIN calm\n");
    usleep(500000);
    measure_beside(other, "calm", seconds);
    printf("BENCH-BEGIN hang\n");
    usleep(500000);
    const pid_t child = fork();
    if (child == 0) {
      run_load(hanging, (uint64_t)lseek(hanging, 0, SEEK_END), &load, 1);
      _exit(0);
    }
    usleep(500000);
    measure_beside(other, "hang", seconds);
    waitpid(child, NULL, 0);
  }
}

int main(void) {
  const char* mode = getenv("BENCH");
  setvbuf(stdout, NULL, _IONBF, 0);
  if (mode == NULL || strcmp(mode, "boot") == 0) {
    printf("BENCH-INIT modules_us=0\n");
  } else {
    mkdir("/dev", 0755);
    mount("dev", "/dev", "devtmpfs", 0, "");
    const int64_t start = now_us();
    load_modules();
    const int64_t modules_us = now_us() - start;
    const int console = wait_open("/dev/hvc0", O_RDWR);
    if (console >= 0) dup2(console, 1);
    printf("BENCH-INIT modules_us=%lld\n", (long long)modules_us);
  }
  if (mode != NULL && strcmp(mode, "block") == 0) {
    static const struct load loads[] = {{"randread-4k-qd32", 0, 4096, 32, 0},
                                        {"randwrite-4k-qd32", 1, 4096, 32, 0},
                                        {"read-128k-qd4", 0, 131072, 4, 1},
                                        {"randread-4k-qd1", 0, 4096, 1, 0}};
    const int fd = wait_open("/dev/vda", O_RDWR | O_DIRECT);
    const char* seconds = getenv("BENCH_SECONDS");
    const off_t size = lseek(fd, 0, SEEK_END);
    for (size_t i = 0; fd >= 0 && i < sizeof(loads) / sizeof(loads[0]); ++i) {
      run_load(fd, (uint64_t)size, &loads[i], seconds != NULL ? atoi(seconds) : 3);
    }
    printf("BENCH-DONE\n");
  }
  if (mode != NULL && strcmp(mode, "share") == 0) serve_share_loads();
  if (mode != NULL && strcmp(mode, "net") == 0) serve_net_loads();
  if (mode != NULL && strcmp(mode, "hang") == 0) {
    const char* seconds = getenv("BENCH_SECONDS");
    const char* rounds = getenv("BENCH_ROUNDS");
    const int hanging = wait_open("/dev/vda", O_RDONLY | O_DIRECT);
    const int other = wait_open("/dev/vdb", O_RDONLY | O_DIRECT);
    run_hang(hanging, other, rounds != NULL ? atoi(rounds) : 1,
             seconds != NULL ? atoi(seconds) : 5);
    printf("BENCH-DONE\n");
  }
  while (1) pause();
}
