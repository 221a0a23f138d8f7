// Puts a load on the network between the host and a benchmark guest (guest_net.c).
//
// Usage: net_load tcp-in|tcp-out|udp-in|udp-out|echo SECONDS
// "in" is from the host to the guest. Prints "COUNT MICROSECONDS": bytes that arrived (tcp), packets
// that arrived (udp), or round trips of 64 bytes by UDP (echo).

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/guest_loads.h"

static int fail(const char* what) {
  perror(what);
  return 1;
}

static struct received echo(int fd, int seconds) {
  struct received trips = {0, 0};
  char packet[64] = {0};
  const int64_t start = now_us();
  struct pollfd polled = {fd, POLLIN, 0};
  while (now_us() < start + seconds * 1000000LL) {
    send(fd, packet, sizeof(packet), 0);
    if (poll(&polled, 1, 1000) == 1 && recv(fd, packet, sizeof(packet), 0) > 0) ++trips.count;
  }
  trips.us = now_us() - start;
  return trips;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const char* mode = argv[1];
  const int seconds = atoi(argv[2]);
  const int control = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(BENCH_PORT)};
  inet_pton(AF_INET, BENCH_GUEST_IP, &address.sin_addr);
  if (connect(control, (struct sockaddr*)&address, sizeof(address)) != 0) return fail("connect");
  dprintf(control, "%s %d\n", mode, seconds);

  struct received received = {0, 0};
  char line[64] = "";
  if (strcmp(mode, "tcp-out") == 0) {
    received = tcp_receive(control);
  } else if (strcmp(mode, "tcp-in") == 0) {
    tcp_send(control, seconds);
  } else {
    const int fd = udp_socket(BENCH_HOST_IP, BENCH_PORT, BENCH_GUEST_IP, BENCH_PORT);
    if (recv(control, line, sizeof("ready\n") - 1, MSG_WAITALL) <= 0) return fail("ready");
    if (strcmp(mode, "udp-out") == 0) {
      received = udp_receive(fd, control);
    } else if (strcmp(mode, "udp-in") == 0) {
      udp_send(fd, seconds);
      usleep(500000);
    } else {
      received = echo(fd, seconds);
    }
    shutdown(control, SHUT_WR);
  }
  if (strcmp(mode, "tcp-in") == 0 || strcmp(mode, "udp-in") == 0) {
    const ssize_t n = recv(control, line, sizeof(line) - 1, MSG_WAITALL);
    if (n <= 0) return fail("answer");
    line[n] = 0;
    long long count, us;
    if (sscanf(line, "%lld %lld", &count, &us) != 2) return fail("answer");
    received.count = count;
    received.us = us;
  }
  printf("%lld %lld\n", (long long)received.count, (long long)received.us);
  return 0;
}
