// virtio-rng. [VIRTIO 1.2 §5.4]
#ifndef VIRTIO_ENTROPY_ENTROPY_DEVICE_H_
#define VIRTIO_ENTROPY_ENTROPY_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "virtio/device.h"
#include "virtio/entropy/entropy_queue.h"

namespace virtio {

class EntropyDevice final : public Device {
 public:
  struct Options {
    std::string id = "_rng";
    // /dev/urandom and /dev/random mean getrandom(2) and open nothing; anything else is read.
    std::string source = "/dev/urandom";
  };

  // Opens the source; waits until the kernel's generator is seeded (early in the host's boot only).
  // `loop` and `memory` outlive the device. Before the loop runs.
  // Errors: `rng.src: PATH: ...` with errno if it cannot be opened or is a directory.
  static absl::StatusOr<std::unique_ptr<EntropyDevice>> Create(Options options,
                                                               base::EventLoop& loop,
                                                               base::GuestMemory& memory);
  // The queue is stopped. The loop, which outlives it, may keep a reference to the source.
  ~EntropyDevice() override = default;

  absl::string_view id() const override { return options_.id; }
  uint16_t type() const override;
  uint64_t features() const override { return kRingFeatures; }
  std::span<const uint16_t> queue_sizes() const override;
  base::EventLoop& loop() override { return loop_; }

  uint32_t config_size() const override { return 0; }
  void ReadConfig(uint32_t offset, std::span<uint8_t> to) override;

  void Activate(uint64_t features, DriverNotifier& notifier) override;
  void StartQueue(QueueStart queue) override;
  void StopQueue(uint16_t index, Done done) override;
  void Deactivate() override;
  void Pause(Done done) override;
  void Resume() override;

  // requests; bytes: given to the guest; source_errors: requests the kernel's generator stood in
  // for.
  Counters counters() const override;

 private:
  EntropyDevice(Options options, base::EventLoop& loop, base::GuestMemory& memory,
                base::UniqueFd source_fd, base::LoopFile source, bool seekable);

  const Options options_;
  base::EventLoop& loop_;
  const base::UniqueFd source_fd_;
  const base::LoopFile source_;
  EntropyQueue queue_;
  DriverNotifier* notifier_ = nullptr;
};

}  // namespace virtio

#endif  // VIRTIO_ENTROPY_ENTROPY_DEVICE_H_
