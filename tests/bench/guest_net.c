// Loads on a network: the functions of both ends, and the end in the guest.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/guest_loads.h"

static char buffer[1 << 20];

int64_t tcp_send(int fd, int seconds) {
  int64_t bytes = 0;
  const int64_t end = now_us() + seconds * 1000000LL;
  while (now_us() < end) {
    const ssize_t n = send(fd, buffer, 128 << 10, MSG_NOSIGNAL);
    if (n <= 0) break;
    bytes += n;
  }
  shutdown(fd, SHUT_WR);
  return bytes;
}

struct received tcp_receive(int fd) {
  struct received received = {0, 0};
  int64_t first = 0;
  ssize_t n;
  while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    if (first == 0) first = now_us();
    received.count += n;
    received.us = now_us() - first;
  }
  return received;
}

int udp_socket(const char* local, int local_port, const char* peer, int peer_port) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(local_port)};
  inet_pton(AF_INET, local, &address.sin_addr);
  const int bytes = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
  if (bind(fd, (struct sockaddr*)&address, sizeof(address)) != 0) perror("BENCH-ERROR bind");
  address.sin_port = htons(peer_port);
  inet_pton(AF_INET, peer, &address.sin_addr);
  if (connect(fd, (struct sockaddr*)&address, sizeof(address)) != 0) perror("BENCH-ERROR connect");
  return fd;
}

int64_t udp_send(int fd, int seconds) {
  int64_t count = 0;
  const int64_t end = now_us() + seconds * 1000000LL;
  while (now_us() < end) {
    for (int i = 0; i < 16; ++i) count += send(fd, buffer, BENCH_UDP_BYTES, 0) > 0;
  }
  return count;
}

struct received udp_receive(int fd, int control) {
  struct received received = {0, 0};
  struct pollfd polled[2] = {{fd, POLLIN, 0}, {control, POLLIN, 0}};
  int64_t first = 0;
  while (poll(polled, 2, 2000) > 0 && (polled[0].revents & POLLIN) != 0) {
    while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0) {
      if (received.count++ == 0) first = now_us();
      received.us = now_us() - first;
    }
  }
  return received;
}

static void set_up_interface(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq request;
  memset(&request, 0, sizeof(request));
  strcpy(request.ifr_name, "eth0");
  struct sockaddr_in* address = (struct sockaddr_in*)&request.ifr_addr;
  address->sin_family = AF_INET;
  inet_pton(AF_INET, BENCH_GUEST_IP, &address->sin_addr);
  if (ioctl(fd, SIOCSIFADDR, &request) != 0) perror("BENCH-ERROR address");
  inet_pton(AF_INET, "255.255.255.0", &address->sin_addr);
  if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) perror("BENCH-ERROR mask");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) perror("BENCH-ERROR flags");
  close(fd);
}

// Reads one line from a connection.
static void read_line(int fd, char* line, size_t size) {
  size_t length = 0;
  while (length + 1 < size && recv(fd, line + length, 1, 0) == 1 && line[length] != '\n') ++length;
  line[length] = 0;
}

static void serve(int control) {
  char line[64];
  read_line(control, line, sizeof(line));
  const char* space = strchr(line, ' ');
  const int seconds = space != NULL ? atoi(space) : 1;
  struct received received = {0, 0};
  if (strncmp(line, "tcp-in", 6) == 0) {
    received = tcp_receive(control);
  } else if (strncmp(line, "tcp-out", 7) == 0) {
    tcp_send(control, seconds);
    return;
  } else {
    const int fd = udp_socket(BENCH_GUEST_IP, BENCH_PORT, BENCH_HOST_IP, BENCH_PORT);
    send(control, "ready\n", 6, 0);
    if (strncmp(line, "udp-in", 6) == 0) {
      received = udp_receive(fd, control);
    } else if (strncmp(line, "udp-out", 7) == 0) {
      received.count = udp_send(fd, seconds);
    } else {  // echo
      struct pollfd polled[2] = {{fd, POLLIN, 0}, {control, POLLIN, 0}};
      while (poll(polled, 2, -1) > 0 && (polled[1].revents & (POLLIN | POLLHUP)) == 0) {
        const ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n > 0) received.count += send(fd, buffer, (size_t)n, 0) == n;
      }
    }
    close(fd);
  }
  const int length =
      snprintf(line, sizeof(line), "%lld %lld\n", (long long)received.count, (long long)received.us);
  send(control, line, (size_t)length, MSG_NOSIGNAL);
}

void serve_net_loads(void) {
  set_up_interface();
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(BENCH_PORT)};
  if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(listener, 1) != 0)
    perror("BENCH-ERROR listen");
  printf("BENCH-NET\n");
  for (;;) {
    const int control = accept(listener, NULL, NULL);
    if (control < 0) continue;
    serve(control);
    close(control);
  }
}
