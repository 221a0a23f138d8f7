// Measures 4 KiB random reads with O_DIRECT, either through the virtio block device with a driver
// in the same process, or through io_uring alone.
//
//   block_bench device|raw DISK SECONDS       queue depth 32
//   block_bench alone DISK SECONDS            queue depth 1
//   block_bench beside HUNG DISK SECONDS      like alone, while 32 reads of a disk that does not
//                                             answer wait on the same event loop
//
// Prints one line of JSON. For device and raw:
//   iops, cpu_us      requests per second; CPU time of the process per request, in microseconds
//   syscalls          io_uring_enter calls per request
//   kicks, interrupts doorbells and interrupts per request; in a real VM each is a system call too,
//                     but here only the doorbell is
// For alone and beside: count, p50_us, p99_us and max_us of the times of the requests.

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/uring_event_loop.h"
#include "tests/bench/loop_calls.h"
#include "tests/bench/raw_ring.h"
#include "tests/bench/ring_driver.h"
#include "virtio/block/block_device.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double CpuSeconds() {
  rusage usage;
  CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Stopwatch {
 public:
  explicit Stopwatch(int seconds) : end_(Clock::now() + std::chrono::seconds(seconds)) {}
  bool Running() const { return Clock::now() < end_; }

  void Print(uint64_t requests, uint64_t enters, uint64_t kicks, uint64_t interrupts) const {
    const std::chrono::duration<double> elapsed = Clock::now() - start_;
    const double cpu_seconds = CpuSeconds() - cpu_at_start_;
    const auto count = static_cast<double>(requests);
    const auto each = [count](uint64_t total) { return static_cast<double>(total) / count; };
    CHECK(requests > 0);
    absl::PrintF(
        "{\"iops\": %.0f, \"cpu_us\": %.3f, \"syscalls\": %.4f, \"kicks\": %.4f, \"interrupts\": "
        "%.4f}\n",
        count / elapsed.count(), cpu_seconds * 1e6 / count, each(enters), each(kicks),
        each(interrupts));
  }

 private:
  const Clock::time_point start_ = Clock::now();
  const Clock::time_point end_;
  const double cpu_at_start_ = CpuSeconds();
};

int Fail(const absl::Status& status) {
  absl::FPrintF(stderr, "block_bench: %s\n", status.ToString());
  return 1;
}

absl::StatusOr<virtio::BlockImage> OpenDisk(const std::string& path) {
  return virtio::BlockImage::Open({.name = "disk", .path = path, .readonly = true, .direct = true});
}

int RunRaw(const std::string& path, int seconds) {
  auto image = OpenDisk(path);
  if (!image.ok()) return Fail(image.status());
  RandomBlocks blocks(image->size_bytes());
  RawRing ring(RingDriver::kDepth, image->fd());
  std::vector<uint8_t> storage((RingDriver::kDepth + 1) * RandomBlocks::kBytes);
  const auto misalignment = reinterpret_cast<uintptr_t>(storage.data()) % RandomBlocks::kBytes;
  uint8_t* const buffers = storage.data() + RandomBlocks::kBytes - misalignment;
  const auto read = [&](uint64_t slot) {
    ring.Read(buffers + slot * RandomBlocks::kBytes, RandomBlocks::kBytes, blocks.NextOffset(),
              slot);
  };

  const Stopwatch watch(seconds);
  uint64_t requests = 0;
  uint32_t in_flight = RingDriver::kDepth;
  for (uint64_t slot = 0; slot < RingDriver::kDepth; ++slot) read(slot);
  while (in_flight > 0) {
    ring.SubmitAndWait();
    const bool go_on = watch.Running();
    for (io_uring_cqe cqe; ring.Next(cqe);) {
      CHECK(cqe.res == static_cast<int32_t>(RandomBlocks::kBytes));
      ++requests;
      if (go_on) {
        read(cqe.user_data);
      } else {
        --in_flight;
      }
    }
  }
  watch.Print(requests, ring.system_calls(), 0, 0);
  return 0;
}

// A block device on a loop, with its own guest memory and driver.
class DrivenDevice {
 public:
  DrivenDevice(base::EventLoop& loop, const std::string& path, std::function<bool()> running,
               std::function<void()> on_stopped, uint16_t depth = RingDriver::kDepth,
               std::vector<double>* latencies_us = nullptr) {
    auto image = OpenDisk(path);
    if (!image.ok()) exit(Fail(image.status()));
    const RandomBlocks blocks(image->size_bytes());
    auto memory = base::GuestMemory::Create({.thp = false}, {{0, 16 << 20, nullptr}});
    if (!memory.ok()) exit(Fail(memory.status()));
    memory_ = *std::move(memory);
    auto device = virtio::BlockDevice::Create({.id = "_disk0"}, *std::move(image), loop, *memory_);
    if (!device.ok()) exit(Fail(device.status()));
    device_ = *std::move(device);
    const auto stop = [this, &loop, on_stopped = std::move(on_stopped)] {
      // StopQueue must not run inside the device's own call.
      loop.Post([this, on_stopped] {
        device_->StopQueue(0, [this, on_stopped] {
          device_->Deactivate();
          on_stopped();
        });
      });
    };
    driver_.emplace(*memory_, blocks, std::move(running), stop, depth, latencies_us);
    virtio::QueueError error;
    auto ring = virtio::SplitQueue::Create(*memory_, driver_->addresses(),
                                           {.event_idx = true, .indirect = true}, error);
    CHECK(ring != nullptr);
    const auto doorbell = loop.AddFile(driver_->doorbell());
    if (!doorbell.ok()) exit(Fail(doorbell.status()));
    loop.Post([this, ring = std::move(ring), doorbell = *doorbell]() mutable {
      device_->Activate(device_->features(), *driver_);
      device_->StartQueue({0, std::move(ring), doorbell});
      driver_->Start();
    });
  }

  const RingDriver& driver() const { return *driver_; }

 private:
  std::unique_ptr<base::GuestMemory> memory_;
  std::unique_ptr<virtio::BlockDevice> device_;
  std::optional<RingDriver> driver_;
};

int RunDevice(const std::string& path, int seconds) {
  auto loop = base::UringEventLoop::Create({});
  if (!loop.ok()) return Fail(loop.status());
  const Stopwatch watch(seconds);
  const DrivenDevice device(
      **loop, path, [&watch] { return watch.Running(); }, [&loop] { (*loop)->Stop(); });
  (*loop)->Run();
  const RingDriver& driver = device.driver();
  watch.Print(driver.requests(), g_loop_calls, driver.kicks(), driver.interrupts());
  return 0;
}

// Measures the times of reads of `path`. If `hung` is not empty, reads of that disk wait meanwhile.
int RunBeside(const std::string& hung, const std::string& path, int seconds) {
  auto loop = base::UringEventLoop::Create({});
  if (!loop.ok()) return Fail(loop.status());
  std::optional<DrivenDevice> waiting;
  if (!hung.empty())
    waiting.emplace(
        **loop, hung, [] { return false; }, [] {});
  const Stopwatch watch(seconds);
  std::vector<double> times;
  const DrivenDevice device(
      **loop, path, [&watch] { return watch.Running(); }, [&loop] { (*loop)->Stop(); }, 1, &times);
  (*loop)->Run();
  CHECK(!times.empty());
  if (waiting && waiting->driver().requests() != 0) {
    return Fail(absl::FailedPreconditionError(hung + ": it answers"));
  }
  std::sort(times.begin(), times.end());
  absl::PrintF("{\"count\": %u, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
               times.size(), times[times.size() / 2], times[times.size() * 99 / 100], times.back());
  fflush(stdout);
  // Destructors would wait for the reads that hang.
  _exit(0);
}

int Main(int argc, char** argv) {
  const std::string mode = argc >= 4 ? argv[1] : "";
  const int seconds = argc >= 4 ? atoi(argv[argc - 1]) : 0;
  if (seconds > 0 && argc == 4 && mode == "raw") return RunRaw(argv[2], seconds);
  if (seconds > 0 && argc == 4 && mode == "device") return RunDevice(argv[2], seconds);
  if (seconds > 0 && argc == 4 && mode == "alone") return RunBeside("", argv[2], seconds);
  if (seconds > 0 && argc == 5 && mode == "beside") return RunBeside(argv[2], argv[3], seconds);
  absl::FPrintF(stderr,
                "Usage: block_bench device|raw|alone DISK SECONDS, or beside HUNG DISK SECONDS\n");
  return 2;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
