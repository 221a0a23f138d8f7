#include "virtio/vsock/vsock_device.h"

#include <linux/virtio_ids.h>

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

// linux/virtio_vsock.h does not have this number. [VIRTIO 1.2 §5.10.3]
constexpr unsigned kFeatureStream = 0;

}  // namespace

absl::StatusOr<std::unique_ptr<VsockDevice>> VsockDevice::Create(const Options& options,
                                                                 base::EventLoop& loop,
                                                                 base::GuestMemory& memory) {
  if (options.guest_cid <= kHostCid || options.guest_cid >= kReservedCid) {
    return absl::InvalidArgumentError(absl::StrCat("cid: ", options.guest_cid, " is reserved"));
  }
  ASSIGN_OR_RETURN(auto mux, VsockMux::Create(loop, {.id = options.id,
                                                     .guest_cid = options.guest_cid,
                                                     .path = options.path,
                                                     .max_connections = options.max_connections}));
  return std::unique_ptr<VsockDevice>(new VsockDevice(options, loop, memory, std::move(mux)));
}

VsockDevice::VsockDevice(const Options& options, base::EventLoop& loop, base::GuestMemory& memory,
                         std::unique_ptr<VsockMux> mux)
    : QueuedDevice(
          {.id = options.id, .type = VIRTIO_ID_VSOCK, .features = FeatureBit(kFeatureStream)},
          loop),
      mux_(std::move(mux)),
      receive_(loop, memory, *mux_),
      transmit_(loop, memory, *mux_),
      event_(loop, memory) {
  config_.guest_cid = options.guest_cid;
  mux_->SetQueues([this] { receive_.OnOutput(); }, [this] { transmit_.OnRoom(); });
  AddQueue(receive_, kQueueSize);
  AddQueue(transmit_, kQueueSize);
  AddQueue(event_, kQueueSize);
}

void VsockDevice::OnQueueStopped(Done done) {
  if (IsServing()) return done();
  mux_->Close(std::move(done));
}

void VsockDevice::AddCounters(Counters& counters) const {
  const VsockCounters& mux = mux_->counters();
  counters["connections"] = mux.connections.load(std::memory_order_relaxed);
  counters["kept_bytes"] = mux.kept_bytes.load(std::memory_order_relaxed);
  counters["begun"] = mux.begun.value();
  counters["refused_by_host"] = mux.refused_by_host.value();
  counters["rejected_clients"] = mux.rejected_clients.value();
  counters["resets"] = mux.resets.value();
  counters["rx_bytes"] = mux.rx_bytes.value();
  counters["tx_bytes"] = mux.tx_bytes.value();
  counters["dropped_malformed"] =
      mux.dropped_malformed.value() + receive_.dropped_malformed() + transmit_.dropped_malformed();
}

}  // namespace virtio
