// Connects the kernel's own FUSE client to a virtio file system device without a guest. The bridge
// puts the client's requests into the device's queues as a guest's driver does, and sends the
// answers back to the client. Programs of this machine then use the share at native speed.
#ifndef TESTS_FUSE_FUSE_BRIDGE_H_
#define TESTS_FUSE_FUSE_BRIDGE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "tests/fakes/fake_driver.h"
#include "virtio/device.h"
#include "virtio/fs/fs_device.h"

namespace virtio {

// Call all functions on one thread, which must not be the loop's. The loop must run.
class FuseBridge final : public DriverNotifier {
 public:
  // The size of the guest RAM for queues and requests.
  static constexpr uint64_t kRamBytes = 160 << 20;

  // Starts the device. `device` and `memory` must outlive the bridge. Errors: Internal if a queue
  // cannot be made.
  static absl::StatusOr<std::unique_ptr<FuseBridge>> Start(FsDevice& device,
                                                           base::GuestMemory& memory);
  // Stops the device.
  ~FuseBridge() override;
  FuseBridge(const FuseBridge&) = delete;
  FuseBridge& operator=(const FuseBridge&) = delete;

  // Serves `fuse`, a mounted, non-blocking /dev/fuse, until it is unmounted. For every byte that
  // arrives on the socket `control`, sends the line of Counters() there. Errors: Internal with
  // errno, or with the reason why the device asked for a reset.
  absl::Status Serve(int fuse, int control);

  // Returns one line of JSON with the device's counters and `cpu_ns`, the CPU time that the loop's
  // thread has used.
  std::string Counters();

 private:
  // The two queues that Linux uses. [VIRTIO 1.2 §5.11.2]
  static constexpr uint16_t kHighPriority = 0;
  static constexpr uint16_t kRequests = 1;
  static constexpr uint16_t kQueues = 2;

  // One queue and its driver's side.
  struct Queue {
    std::unique_ptr<FakeDriver> driver;
    base::UniqueFd doorbell;
    std::unordered_map<uint16_t, uint32_t> slots;  // by the head of the chain that uses the slot
  };

  FuseBridge(FsDevice& device, base::GuestMemory& memory);
  absl::Status StartQueues();
  // Runs `function` on the loop's thread and waits until it has returned.
  void RunOnLoop(absl::FunctionRef<void()> function);

  // DriverNotifier. On the loop's thread.
  void NotifyQueue(uint16_t index) override;
  absl::StatusOr<int> QueueInterruptFd(uint16_t /*index*/) override {
    return absl::UnimplementedError("a test");
  }
  void NeedsReset(absl::string_view why) override;

  // Takes requests from the client until none is waiting or all slots are in use. Returns false
  // when the mount has ended.
  absl::StatusOr<bool> TakeRequests(int fuse);
  void Offer(size_t request_bytes);
  absl::Status SendAnswers(int fuse);
  absl::Status SendAnswer(int fuse, uint32_t slot, uint32_t bytes);
  absl::Status AnswerControl(int control);

  FsDevice& device_;
  base::GuestMemory& memory_;
  const base::UniqueFd interrupt_;  // eventfd: there is an answer, or the device needs a reset
  std::array<Queue, kQueues> queues_;
  std::vector<uint32_t>
      free_slots_;               // the slot used last is used next, since its pages are resident
  std::vector<uint8_t> buffer_;  // one request or answer
  std::atomic<bool> needs_reset_{false};
};

}  // namespace virtio

#endif  // TESTS_FUSE_FUSE_BRIDGE_H_
