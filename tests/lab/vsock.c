// Runs in a test guest: connects its standard input and output to a stream over vsock.
//
//   vsock connect CID PORT
//   vsock listen PORT         one connection
//
// Ends when both directions have ended. Exits with 1 and one line on stderr if it cannot connect.

#define _GNU_SOURCE
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char* what) {
  fprintf(stderr, "vsock: %s: %s\n", what, strerror(errno));
  return -1;
}

static int connect_to(unsigned cid, unsigned port) {
  const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) return fail("socket");
  const struct sockaddr_vm address = {
      .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  return connect(fd, (const struct sockaddr*)&address, sizeof(address)) == 0 ? fd : fail("connect");
}

static int accept_at(unsigned port) {
  const int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) return fail("socket");
  const struct sockaddr_vm address = {
      .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  if (bind(fd, (const struct sockaddr*)&address, sizeof(address)) != 0) return fail("bind");
  if (listen(fd, 8) != 0) return fail("listen");
  fprintf(stderr, "LISTENING\n");
  const int client = accept(fd, NULL, NULL);
  close(fd);
  return client < 0 ? fail("accept") : client;
}

// Moves what has arrived. Returns 0 at the end, or if the receiver takes no more.
static int move(int from, int to) {
  static char buffer[64 << 10];
  const ssize_t n = read(from, buffer, sizeof(buffer));
  for (ssize_t done = 0; done < n;) {
    const ssize_t written = write(to, buffer + done, (size_t)(n - done));
    if (written <= 0) return 0;
    done += written;
  }
  return n > 0;
}

int main(int argc, char** argv) {
  int fd = -1;
  if (argc == 4 && strcmp(argv[1], "connect") == 0) {
    fd = connect_to((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
  } else if (argc == 3 && strcmp(argv[1], "listen") == 0) {
    fd = accept_at((unsigned)atoi(argv[2]));
  } else {
    fprintf(stderr, "usage: vsock connect CID PORT | vsock listen PORT\n");
    return 2;
  }
  if (fd < 0) return 1;
  struct pollfd polled[2] = {{STDIN_FILENO, POLLIN, 0}, {fd, POLLIN, 0}};
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) return 1;
    if (polled[0].fd >= 0 && polled[0].revents != 0 && !move(STDIN_FILENO, fd)) {
      shutdown(fd, SHUT_WR);
      polled[0].fd = -1;
    }
    if (polled[1].fd >= 0 && polled[1].revents != 0 && !move(fd, STDOUT_FILENO)) {
      polled[1].fd = -1;
    }
  }
  return 0;
}
