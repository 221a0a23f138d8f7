// Loads on file systems, which the host requests by lines on the console:
//   mount TYPE SOURCE OPTIONS   mounts on /mnt; OPTIONS is "-" for none
//   umount
//   readahead KIB        sets how far the guest reads ahead in files of the mount
//   drop                 drops the guest's page cache, names and inodes
//   walk PATH            reads all directories below PATH, and the status of every name in them
//   read PATH            reads all directories below PATH, and every file to its end
//   seq PATH             reads one file from its start to its end, 1 MiB per call
//   random PATH SECONDS  reads 4 KiB at random places of a file, 16 in flight, O_DIRECT
// The answer to each is "BENCH-SHARE us files bytes errors".

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "tests/bench/guest_loads.h"

static struct { unsigned long long files, bytes, errors; } done;
static char buffer[1 << 20];

static void check(int succeeded, const char* what) {
  if (succeeded) return;
  ++done.errors;
  if (done.errors < 4) printf("BENCH-ERROR %s: %s\n", what, strerror(errno));
}

static void read_file(int fd) {
  ssize_t size;
  while ((size = read(fd, buffer, sizeof(buffer))) > 0) done.bytes += (unsigned long long)size;
  check(size == 0, "read");
}

// Closes `directory_fd`.
static void walk(int directory_fd, int reads) {
  DIR* directory = fdopendir(directory_fd);
  check(directory != NULL, "fdopendir");
  if (directory == NULL) return;
  const struct dirent* entry;
  while ((entry = readdir(directory)) != NULL) {
    const char* name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    struct stat status;
    if (!reads) check(fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0, name);
    if (entry->d_type == DT_DIR) {
      const int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY);
      check(fd >= 0, name);
      if (fd >= 0) walk(fd, reads);
      continue;
    }
    ++done.files;
    if (!reads) continue;
    const int fd = openat(directory_fd, name, O_RDONLY);
    check(fd >= 0, name);
    if (fd >= 0) read_file(fd);
    if (fd >= 0) close(fd);
  }
  closedir(directory);
}

static void random_reads(const char* path, int seconds) {
  static const struct load load = {"random", 0, 4096, 16, 0};
  const int fd = open(path, O_RDONLY | O_DIRECT);
  check(fd >= 0, path);
  if (fd < 0) return;
  run_load(fd, (uint64_t)lseek(fd, 0, SEEK_END), &load, seconds);
  close(fd);
}

static void set(const char* path, const char* value) {
  const int fd = open(path, O_WRONLY);
  check(fd >= 0 && write(fd, value, strlen(value)) > 0, path);
  if (fd >= 0) close(fd);
}

static void set_readahead(const char* kib) {
  struct stat status;
  check(stat("/mnt", &status) == 0, "/mnt");
  char path[100];
  snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(status.st_dev),
           minor(status.st_dev));
  set(path, kib);
}

static void serve(char* words[4]) {
  const char *what = words[0], *path = words[1];
  if (strcmp(what, "mount") == 0) {
    const char* options = strcmp(words[3], "-") == 0 ? "" : words[3];
    check(mount(words[2], "/mnt", path, MS_RDONLY, options) == 0, "mount");
  } else if (strcmp(what, "umount") == 0) {
    check(umount("/mnt") == 0, "umount");
  } else if (strcmp(what, "drop") == 0) {
    sync();
    set("/proc/sys/vm/drop_caches", "3");
  } else if (strcmp(what, "readahead") == 0) {
    set_readahead(path);
  } else if (strcmp(what, "walk") == 0 || strcmp(what, "read") == 0) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY);
    check(fd >= 0, path);
    if (fd >= 0) walk(fd, strcmp(what, "read") == 0);
  } else if (strcmp(what, "seq") == 0) {
    const int fd = open(path, O_RDONLY);
    check(fd >= 0, path);
    if (fd >= 0) read_file(fd);
    if (fd >= 0) close(fd);
  } else if (strcmp(what, "random") == 0) {
    random_reads(path, atoi(words[2]));
  } else {
    ++done.errors;
  }
}

void serve_share_loads(void) {
  struct termios terminal;
  if (tcgetattr(1, &terminal) == 0) {
    terminal.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(1, TCSANOW, &terminal);
  }
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, "");
  mkdir("/sys", 0755);
  mount("sys", "/sys", "sysfs", 0, "");
  mkdir("/mnt", 0755);
  FILE* console = fdopen(1, "r+");
  setvbuf(console, NULL, _IONBF, 0);
  printf("BENCH-SHARES\n");
  char line[512];
  while (fgets(line, sizeof(line), console) != NULL) {
    char* words[4] = {"", "", "", ""};
    char* rest = line;
    for (int i = 0; i < 4; ++i) {
      char* word = strsep(&rest, " \n");
      if (word != NULL) words[i] = word;
    }
    memset(&done, 0, sizeof(done));
    const int64_t start = now_us();
    serve(words);
    printf("BENCH-SHARE %lld %llu %llu %llu\n", (long long)(now_us() - start), done.files,
           done.bytes, done.errors);
  }
  while (1) pause();
}
