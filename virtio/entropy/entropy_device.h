// virtio-rng. [VIRTIO 1.2 §5.4]
#ifndef VIRTIO_ENTROPY_ENTROPY_DEVICE_H_
#define VIRTIO_ENTROPY_ENTROPY_DEVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "base/unique_fd.h"
#include "virtio/entropy/entropy_queue.h"
#include "virtio/queue/queued_device.h"

namespace virtio {

class EntropyDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id = "_rng";
    // /dev/urandom and /dev/random stand for getrandom(2) and are not opened; any other file is
    // read.
    std::string source = "/dev/urandom";
  };

  // Opens the source and waits until the kernel's generator is seeded (it is, except early in the
  // host's boot). `loop` and `memory` must outlive the device. Call it before the loop runs.
  // Errors: `rng.src: PATH: ...` with errno if the source cannot be opened or is a directory.
  static absl::StatusOr<std::unique_ptr<EntropyDevice>> Create(Options options,
                                                               base::EventLoop& loop,
                                                               base::GuestMemory& memory);
  // The queue must be stopped. The loop, which outlives the device, may keep a reference to the
  // source.
  ~EntropyDevice() override = default;

 private:
  EntropyDevice(Options options, base::EventLoop& loop, base::GuestMemory& memory,
                base::UniqueFd source_fd, base::LoopFile source, bool seekable);

  // requests: requests served. bytes: bytes given to the guest. source_errors: requests for which
  // the kernel's generator replaced the source.
  void AddCounters(Counters& counters) const override;

  const base::UniqueFd source_fd_;
  EntropyQueue queue_;
};

}  // namespace virtio

#endif  // VIRTIO_ENTROPY_ENTROPY_DEVICE_H_
