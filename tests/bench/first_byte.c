// Runs a program. Prints the microseconds from just before its execution to its first byte of
// output. Written in C because an interpreter takes longer to start a process than the measured
// time.
//
//   first_byte PROGRAM [ARGUMENT...]

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char** argv) {
  int out[2];
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (argc < 2 || null < 0 || pipe2(out, O_CLOEXEC) != 0) return 2;
  const double start = now_us();
  const pid_t child = vfork();
  if (child == 0) {
    dup2(null, 0);
    dup2(out[1], 1);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  close(out[1]);
  char byte;
  const ssize_t got = read(out[0], &byte, 1);
  const double end = now_us();
  char rest[4096];
  while (read(out[0], rest, sizeof(rest)) > 0) {
  }
  int status;
  if (got != 1 || waitpid(child, &status, 0) != child || status != 0) return 1;
  printf("%.1f\n", end - start);
  return 0;
}
