// Measures the network device with a driver in the same process, beside plain reads and writes of
// the same TAP interface: what the device and the ring add to what the kernel costs anyway.
//
//   net_bench send|receive device|floor|ring BYTES SECONDS
//
// send: frames of BYTES bytes from the driver to the host's kernel, which drops them. receive: as
// many such frames as a second thread can send to the driver. The interface is in a network
// namespace of its own, so the program needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
//
// "ring" is the floor with io_uring instead of plain calls: a batch of reads or writes in each
// system call.
//
// Prints one line of JSON, for the thread of the device or of the plain loop:
//   frames_per_s, cpu_us  frames per second; CPU time per frame, in microseconds
//   syscalls              system calls per frame
//   kicks, interrupts     doorbells and interrupts per frame

#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/uring_event_loop.h"
#include "net/tap.h"
#include "tests/bench/loop_calls.h"
#include "tests/bench/raw_ring.h"
#include "virtio/net/net_device.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kInterface[] = "bench0";
constexpr uint16_t kProtocol = 0x88b5;  // for experiments: nobody takes such frames
constexpr uint16_t kQueueSize = 256;
constexpr uint32_t kBufferBytes = 2048;
constexpr uint64_t kRings[] = {0x10000, 0x20000};
constexpr uint64_t kData[] = {0x100000, 0x200000};

uint64_t g_port_calls = 0;  // the measured thread's calls of readv, writev and poll

double ThreadSeconds() {
  timespec time;
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

class Stopwatch {
 public:
  explicit Stopwatch(int seconds) : end_(Clock::now() + std::chrono::seconds(seconds)) {}
  bool Running() const { return Clock::now() < end_; }
  void Print(uint64_t frames, uint64_t kicks, uint64_t interrupts) const {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    const double cpu_seconds = ThreadSeconds() - cpu_at_start_;
    CHECK(frames > 0);
    const auto each = [frames](uint64_t total) {
      return static_cast<double>(total) / static_cast<double>(frames);
    };
    absl::PrintF(
        "{\"frames_per_s\": %.0f, \"cpu_us\": %.3f, \"syscalls\": %.4f, \"kicks\": %.4f, "
        "\"interrupts\": %.4f}\n",
        static_cast<double>(frames) / elapsed.count(),
        cpu_seconds * 1e6 / static_cast<double>(frames), each(g_port_calls + g_loop_calls),
        each(kicks), each(interrupts));
  }

 private:
  const Clock::time_point start_ = Clock::now();
  const Clock::time_point end_;
  const double cpu_at_start_ = ThreadSeconds();
};

std::vector<uint8_t> MakeFrame(size_t bytes) {
  std::vector<uint8_t> frame(bytes, 0x5a);
  std::fill_n(frame.begin(), 6, uint8_t{0xff});
  std::fill_n(frame.begin() + 6, 6, uint8_t{2});
  frame[12] = kProtocol >> 8;
  frame[13] = kProtocol & 0xff;
  return frame;
}

// Passes calls on to a port, and counts them.
class CountingPort final : public net::Port {
 public:
  explicit CountingPort(std::unique_ptr<net::Port> port) : port_(std::move(port)) {}
  int fd() const override { return port_->fd(); }
  int32_t Send(std::span<const iovec> frame) override {
    ++g_port_calls;
    return port_->Send(frame);
  }
  int32_t Receive(std::span<const iovec> to) override {
    ++g_port_calls;
    return port_->Receive(to);
  }
  int32_t SetOffloads(uint32_t offloads) override { return port_->SetOffloads(offloads); }
  int32_t SetActive(bool active) override { return port_->SetActive(active); }

 private:
  std::unique_ptr<net::Port> port_;
};

// Sends frames to the interface from a thread of its own.
class Source {
 public:
  explicit Source(size_t bytes) : frame_(MakeFrame(bytes)) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Source() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run() {
    const base::UniqueFd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll to = {};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(if_nametoindex(kInterface));
    CHECK(bind(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
    std::vector<iovec> iovecs(64, iovec{frame_.data(), frame_.size()});
    std::vector<mmsghdr> messages(iovecs.size());
    for (size_t i = 0; i < messages.size(); ++i) {
      messages[i].msg_hdr.msg_iov = &iovecs[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    // Errors are frames that did not fit into the interface's queue.
    while (!stop_) sendmmsg(socket.get(), messages.data(), 64, 0);
  }

  std::vector<uint8_t> frame_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// The driver's half of one queue, whose buffers are prepared once and used again and again.
class Ring {
 public:
  Ring(base::GuestMemory& memory, uint16_t index, uint32_t bytes, uint16_t flags)
      : memory_(memory),
        base_(kRings[index]),
        doorbell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        avail_(reinterpret_cast<uint16_t*>(At(base_ + 0x2000))),
        used_(reinterpret_cast<uint16_t*>(At(base_ + 0x4000))),
        avail_event_(reinterpret_cast<uint16_t*>(At(base_ + 0x4000 + 4 + 8 * kQueueSize))) {
    auto* const descriptors = reinterpret_cast<vring_desc*>(At(base_));
    for (uint16_t i = 0; i < kQueueSize; ++i) {
      descriptors[i] = {kData[index] + uint64_t{i} * kBufferBytes, bytes, flags, 0};
      std::memset(Buffer(index, i), 0, kBufferBytes);
    }
  }
  uint8_t* At(uint64_t address) {
    return static_cast<uint8_t*>(memory_.IoVec(*base::GuestRange::Create(address, 1))->iov_base);
  }
  uint8_t* Buffer(uint16_t index, uint16_t i) {
    return At(kData[index] + uint64_t{i} * kBufferBytes);
  }
  std::unique_ptr<virtio::SplitQueue> MakeDeviceSide() {
    virtio::QueueError error;
    return virtio::SplitQueue::Create(memory_, {kQueueSize, base_, base_ + 0x2000, base_ + 0x4000},
                                      {.event_idx = true, .indirect = true}, error);
  }
  int doorbell() const { return doorbell_.get(); }

  void Offer(uint16_t head) { avail_[2 + next_avail_++ % kQueueSize] = head; }
  void Publish() {
    const uint16_t before = std::exchange(published_, next_avail_);
    if (before == next_avail_) return;
    // ORDERING: the release makes the device see the entries before the index.
    std::atomic_ref(avail_[1]).store(next_avail_, std::memory_order_release);
    // ORDERING: the store of the index must come before the load of avail_event.
    base::FullFence();
    const uint16_t event = std::atomic_ref(*avail_event_).load(std::memory_order_relaxed);
    if (static_cast<uint16_t>(next_avail_ - event - 1) <
        static_cast<uint16_t>(next_avail_ - before)) {
      ++kicks;
      CHECK(eventfd_write(doorbell_.get(), 1) == 0);
    }
  }
  // Takes what the device has used, and offers it again.
  void Recycle() {
    do {
      const uint16_t end = std::atomic_ref(used_[1]).load(std::memory_order_acquire);
      const auto* const elements = reinterpret_cast<const uint32_t*>(used_ + 2);
      for (; next_used_ != end; ++next_used_, ++used) {
        Offer(static_cast<uint16_t>(elements[next_used_ % kQueueSize * 2]));
      }
      std::atomic_ref(avail_[2 + kQueueSize]).store(next_used_, std::memory_order_relaxed);
      // ORDERING: the store of used_event must come before the load of the index.
      base::FullFence();
    } while (next_used_ != std::atomic_ref(used_[1]).load(std::memory_order_relaxed));
    Publish();
  }

  uint64_t used = 0;
  uint64_t kicks = 0;

 private:
  base::GuestMemory& memory_;
  const uint64_t base_;
  base::UniqueFd doorbell_;
  uint16_t* const avail_;
  uint16_t* const used_;
  uint16_t* const avail_event_;
  uint16_t next_avail_ = 0;
  uint16_t published_ = 0;
  uint16_t next_used_ = 0;
};

class Driver final : public virtio::DriverNotifier {
 public:
  Driver(Ring& ring, std::function<bool()> running, std::function<void()> on_end)
      : ring_(ring), running_(std::move(running)), on_end_(std::move(on_end)) {}
  void NotifyQueue(uint16_t /*index*/) override {
    ++interrupts;
    if (running_()) return ring_.Recycle();
    if (!std::exchange(ended_, true)) on_end_();
  }
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view why) override { CHECK(why.empty()); }

  uint64_t interrupts = 0;

 private:
  Ring& ring_;
  const std::function<bool()> running_;
  const std::function<void()> on_end_;
  bool ended_ = false;
};

int RunDevice(bool send, std::unique_ptr<net::Port> port, size_t bytes, int seconds) {
  auto loop = base::UringEventLoop::Create({}).value();
  auto memory = base::GuestMemory::Create({.thp = false}, {{0, 16 << 20, nullptr}}).value();
  std::vector<virtio::NetDevice::Pair> pairs;
  pairs.push_back({std::make_unique<CountingPort>(std::move(port)), *loop});
  auto device = virtio::NetDevice::Create({.id = "_net0", .mac = {2, 0, 0, 0, 0, 1}},
                                          std::move(pairs), *memory)
                    .value();
  const uint16_t index = send ? 1 : 0;
  Ring ring(*memory, index,
            send ? static_cast<uint32_t>(net::kVnetHeaderBytes + bytes) : kBufferBytes,
            send ? 0 : VRING_DESC_F_WRITE);
  for (uint16_t i = 0; i < kQueueSize; ++i) {
    if (send) {
      const std::vector<uint8_t> frame = MakeFrame(bytes);
      std::ranges::copy(frame, ring.Buffer(index, i) + net::kVnetHeaderBytes);
    }
    ring.Offer(i);
  }
  const base::LoopFile doorbell = loop->AddFile(ring.doorbell()).value();
  const Stopwatch watch(seconds);
  const auto stop = [&] {
    loop->Post([&] {
      device->StopQueue(index, [&] {
        device->Deactivate();
        loop->Stop();
      });
    });
  };
  Driver driver(
      ring, [&] { return watch.Running(); }, stop);
  loop->Post([&] {
    device->Activate(device->features() & ~virtio::FeatureBit(VIRTIO_NET_F_CTRL_VQ), driver);
    device->StartQueue({index, ring.MakeDeviceSide(), doorbell});
    ring.Publish();
  });
  loop->Run();
  watch.Print(ring.used, ring.kicks, driver.interrupts);
  return 0;
}

int RunFloor(bool send, net::Port& port, size_t bytes, int seconds) {
  std::array<uint8_t, net::kVnetHeaderBytes> header = {};
  std::vector<uint8_t> frame = MakeFrame(send ? bytes : kBufferBytes);
  const std::array<iovec, 2> iovecs = {iovec{header.data(), header.size()},
                                       iovec{frame.data(), frame.size()}};
  const Stopwatch watch(seconds);
  uint64_t frames = 0;
  while (watch.Running()) {
    // Frames come in batches of the same size as the device's ring.
    for (int i = 0; i < kQueueSize; ++i) {
      ++g_port_calls;
      const int32_t result = send ? port.Send(iovecs) : port.Receive(iovecs);
      if (result >= 0) {
        ++frames;
      } else {
        CHECK(result == -EAGAIN);
        ++g_port_calls;
        pollfd ready = {.fd = port.fd(), .events = POLLIN, .revents = 0};
        poll(&ready, 1, 1000);
        break;
      }
    }
  }
  watch.Print(frames, 0, 0);
  return 0;
}

// Keeps kBatch reads or writes under way. A read waits in the kernel for its frame.
int RunRing(bool send, net::Port& port, size_t bytes, int seconds) {
  constexpr uint32_t kBatch = 32;
  RawRing ring(kBatch, port.fd());
  std::vector<uint8_t> frame = MakeFrame(send ? bytes : kBufferBytes);
  frame.insert(frame.begin(), net::kVnetHeaderBytes, 0);
  std::vector<std::vector<uint8_t>> frames(kBatch, frame);
  const auto begin = [&](uint64_t i) {
    const auto length = static_cast<uint32_t>(frames[i].size());
    send ? ring.Write(frames[i].data(), length, 0, i) : ring.Read(frames[i].data(), length, 0, i);
  };
  for (uint64_t i = 0; i < kBatch; ++i) begin(i);
  const Stopwatch watch(seconds);
  uint64_t done = 0;
  while (watch.Running()) {
    ring.SubmitAndWait();
    io_uring_cqe result;
    while (ring.Next(result)) {
      // Several reads may wake up for one frame.
      CHECK(result.res > 0 || result.res == -EAGAIN);
      done += result.res > 0;
      begin(result.user_data);
    }
  }
  g_port_calls += ring.system_calls();
  watch.Print(done, 0, 0);
  return 0;
}

int Main(int argc, char** argv) {
  const std::string direction = argc == 5 ? argv[1] : "";
  const std::string what = argc == 5 ? argv[2] : "";
  const int bytes = argc == 5 ? atoi(argv[3]) : 0;
  const int seconds = argc == 5 ? atoi(argv[4]) : 0;
  if ((direction != "send" && direction != "receive") ||
      (what != "device" && what != "floor" && what != "ring") || bytes < 14 || bytes > 1514 ||
      seconds <= 0) {
    absl::FPrintF(stderr, "Usage: net_bench send|receive device|floor|ring BYTES SECONDS\n");
    return 2;
  }
  const bool send = direction == "send";
  if (unshare(CLONE_NEWNET) != 0) {
    perror("net_bench: cannot make a network namespace");
    return 1;
  }
  auto tap = net::OpenTap({.key = "net_bench", .name = kInterface});
  if (!tap.ok()) {
    absl::FPrintF(stderr, "%s\n", tap.status().ToString());
    return 1;
  }
  std::unique_ptr<Source> source;
  if (!send) source = std::make_unique<Source>(static_cast<size_t>(bytes));
  if (what == "floor") return RunFloor(send, *tap->ports[0], static_cast<size_t>(bytes), seconds);
  if (what == "ring") return RunRing(send, *tap->ports[0], static_cast<size_t>(bytes), seconds);
  return RunDevice(send, std::move(tap->ports[0]), static_cast<size_t>(bytes), seconds);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
