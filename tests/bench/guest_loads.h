// Declarations that the loads of benchmark guests share.

#ifndef TESTS_BENCH_GUEST_LOADS_H_
#define TESTS_BENCH_GUEST_LOADS_H_

#include <stddef.h>
#include <stdint.h>

struct load {
  const char* name;
  int write;
  size_t bytes;
  int depth;
  int sequential;
};

// Returns the monotonic time in microseconds.
int64_t now_us(void);

// Opens a device node, which may appear a moment after its driver. If it does not appear, prints an
// error and returns -1.
int wait_open(const char* path, int flags);

// Puts a load on a descriptor with O_DIRECT, by Linux AIO with `depth` requests in flight (at most
// 64). Prints "BENCH-BLOCK name ops bytes us errors=n".
void run_load(int fd, uint64_t size, const struct load* load, int seconds);

// Serves the commands that arrive on the console (guest_shares.c). Never returns.
void serve_share_loads(void);

// --- Network (guest_net.c) ---

#define BENCH_HOST_IP "10.78.0.1"
#define BENCH_GUEST_IP "10.78.0.2"
#define BENCH_PORT 5000
#define BENCH_UDP_BYTES 1472

// What arrived: bytes or packets, in the time between the first and the last.
struct received {
  int64_t count;
  int64_t us;
};

// Sends for some seconds, and ends the stream. Returns the bytes.
int64_t tcp_send(int fd, int seconds);
// Receives until the stream ends.
struct received tcp_receive(int fd);
// Returns a socket whose two ends are given.
int udp_socket(const char* local, int local_port, const char* peer, int peer_port);
// Sends packets of BENCH_UDP_BYTES for some seconds. Returns their number.
int64_t udp_send(int fd, int seconds);
// Counts packets until `control` is readable, or nothing has come for 2 s.
struct received udp_receive(int fd, int control);

// Sets eth0 up, prints BENCH-NET and serves loads. Never returns.
void serve_net_loads(void);

#endif  // TESTS_BENCH_GUEST_LOADS_H_
