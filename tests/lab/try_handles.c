// Runs in a test guest, as root: tries to open files that a share does not show, with forged file
// handles.
//
//   try-handles MOUNT FILE HIDDEN SECRET INODE
//
// FILE is in MOUNT and can be seen. HIDDEN is a name that no directory may contain, SECRET a text
// that no file may contain, and INODE the host's number of the file that contains SECRET. Prints
// what happened to FILE's own handle, FOUND for each leak, and "N handles tried, N opened, N
// found".

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kWords = 6 };  // a FUSE handle with its parent: number (high, low) and generation, twice

struct Handle {
  struct file_handle head;
  uint32_t words[kWords];
};

static int mount_fd = -1;
static const char* hidden;
static const char* secret;
static int tried = 0;
static int opened = 0;
static int found = 0;

// Opens a handle of `words` words; returns 0 or errno.
static int Try(const struct Handle* handle, int type, unsigned words) {
  struct Handle copy = *handle;
  copy.head.handle_type = type;
  copy.head.handle_bytes = words * sizeof(uint32_t);
  ++tried;
  const int fd = open_by_handle_at(mount_fd, &copy.head, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return errno;
  ++opened;
  char content[4096];
  const ssize_t size = read(fd, content, sizeof(content));
  const int inside = openat(fd, hidden, O_PATH);
  if (inside >= 0 || (size > 0 && memmem(content, (size_t)size, secret, strlen(secret)) != NULL)) {
    printf("FOUND by type %d, number %x %x\n", type, copy.words[0], copy.words[1]);
    ++found;
  }
  if (inside >= 0) close(inside);
  close(fd);
  return 0;
}

// Tries `number` as a node number or as the host's inode number, in each form that Linux has for
// it.
static void TryNumber(const struct Handle* own, uint64_t number) {
  for (uint32_t generation = 0; generation < 3; ++generation) {
    struct Handle handle = *own;
    handle.words[0] = (uint32_t)(number >> 32);  // FUSE: 0x81, or 0x82 with the parent's
    handle.words[1] = (uint32_t)number;
    if (generation > 0) handle.words[2] = generation - 1;
    memcpy(handle.words + 3, handle.words, 3 * sizeof(uint32_t));
    Try(&handle, 0x81, 3);
    Try(&handle, 0x82, 6);
    handle.words[0] = (uint32_t)number;  // others: FILEID_INO32_GEN, ..._PARENT
    handle.words[1] = generation;
    handle.words[2] = (uint32_t)number;
    Try(&handle, 1, 2);
    Try(&handle, 2, 4);
  }
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  mount_fd = open(argv[1], O_RDONLY | O_DIRECTORY);
  hidden = argv[3];
  secret = argv[4];
  const uint64_t inode = strtoull(argv[5], NULL, 10);
  struct Handle own = {.head = {.handle_bytes = sizeof(own.words)}};
  int mount_id;
  if (mount_fd < 0) return 2;
  if (name_to_handle_at(mount_fd, argv[2], &own.head, &mount_id, 0) != 0) {
    printf("own handle: none, %s\n", strerror(errno));
  } else {
    const int type = own.head.handle_type;
    const int error = Try(&own, type, own.head.handle_bytes / sizeof(uint32_t));
    printf("own handle: type %d, %s\n", type, error == 0 ? "opened" : strerror(error));
  }
  const uint64_t number = (uint64_t)own.words[0] << 32 | own.words[1];
  for (int bit = 0; bit < 64; ++bit) TryNumber(&own, number ^ (uint64_t)1 << bit);
  for (uint64_t small = 0; small < 200; ++small) TryNumber(&own, small);
  for (int i = -2; i <= 2; ++i) {
    TryNumber(&own, inode + (uint64_t)i);
    TryNumber(&own, (inode << 32) + (uint64_t)i);
    TryNumber(&own, UINT64_MAX - (uint64_t)(i + 2));
  }
  printf("%d handles tried, %d opened, %d found\n", tried, opened, found);
  return found == 0 ? 0 : 1;
}
