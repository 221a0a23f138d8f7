// The virtio socket device: streams between ports of the guest and Unix sockets of the host.
// [VIRTIO 1.2 §5.10]
#ifndef VIRTIO_VSOCK_VSOCK_DEVICE_H_
#define VIRTIO_VSOCK_VSOCK_DEVICE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/guest_memory.h"
#include "virtio/queue/queued_device.h"
#include "virtio/vsock/vsock_mux.h"
#include "virtio/vsock/vsock_queue.h"
#include "virtio/vsock/vsock_wire.h"

namespace virtio {

class VsockDevice final : public QueuedDevice {
 public:
  struct Options {
    std::string id = "_vsock";
    uint64_t guest_cid = 3;  // 3 to 2^32 - 2
    std::string path;        // of the socket for programs of the host
    size_t max_connections = VsockMux::kMaxConnections;
  };

  // Listens at the path. `loop`, which takes temporary files, and `memory` must outlive the device.
  // Call it before the loop runs. Errors: InvalidArgument
  // if the address is reserved, or those of VsockMux::Create.
  static absl::StatusOr<std::unique_ptr<VsockDevice>> Create(const Options& options,
                                                             base::EventLoop& loop,
                                                             base::GuestMemory& memory);

 private:
  static constexpr uint16_t kQueueSize = 256;

  VsockDevice(const Options& options, base::EventLoop& loop, base::GuestMemory& memory,
              std::unique_ptr<VsockMux> mux);

  std::span<const uint8_t> config_bytes() const override { return base::BytesOf(config_); }
  void OnQueueStarted() override { mux_->Open(); }
  // Ends all connections when the last queue has stopped.
  void OnQueueStopped(Done done) override;
  // connections: how many there are now. kept_bytes: data of the guest that programs of the host
  // have not taken yet. begun, refused_by_host, rejected_clients, resets: what became of
  // connections. rx_bytes, tx_bytes: data for the guest and from the guest. dropped_malformed:
  // packets and buffers that cannot be used.
  void AddCounters(Counters& counters) const override;

  VsockConfigSpace config_;
  const std::unique_ptr<VsockMux> mux_;
  VsockReceiveQueue receive_;
  VsockTransmitQueue transmit_;
  VsockEventQueue event_;
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_DEVICE_H_
