#include "virtio/net/vhost_queue.h"

#include <string.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace virtio {

VhostQueue::VhostQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                       net::VhostNet& vhost, net::VhostNet::RingIndex ring_index, int tap_fd)
    : ServedQueue(loop, index),
      memory_(memory),
      vhost_(vhost),
      ring_index_(ring_index),
      tap_fd_(tap_fd) {}

VhostQueue::~VhostQueue() { CHECK(!started()); }

void VhostQueue::StartServing(EnabledQueue start, DriverNotifier& notifier) {
  CHECK(!started() && start.ring != nullptr);
  start_ = std::move(start);
  notifier_ = &notifier;
  position_ = start_.ring->positions().next_avail;
  Update();
}

void VhostQueue::Stop(Done done) {
  if (running_) Halt();
  start_ = {};
  notifier_ = nullptr;
  done();
}

void VhostQueue::Pause(Done done) {
  paused_ = true;
  Update();
  done();
}

void VhostQueue::Resume() {
  paused_ = false;
  Update();
}

void VhostQueue::SetEnabled(bool enabled) {
  enabled_ = enabled;
  Update();
}

void VhostQueue::Update() {
  const bool wanted = started() && !paused_ && enabled_;
  if (wanted == running_) return;
  const int32_t result = wanted ? Run() : Halt();
  if (result >= 0) return;
  notifier_->NeedsReset(absl::StrCat("queue ", index(), ": vhost-net: ", strerrordesc_np(-result)));
}

int32_t VhostQueue::Run() {
  const QueueAddresses& addresses = start_.ring->addresses();
  net::VhostNet::Ring ring;
  ring.size = addresses.size;
  ring.position = position_;
  ring.descriptors = HostAddress(addresses.descriptor_table);
  ring.available = HostAddress(addresses.driver_area);
  ring.used = HostAddress(addresses.device_area);
  ring.kick_fd = start_.doorbell_fd;
  const absl::StatusOr<int> interrupt = notifier_->QueueInterruptFd(index());
  // InvalidArgument: the driver wants no interrupts.
  if (!interrupt.ok() && !absl::IsInvalidArgument(interrupt.status())) return -EMFILE;
  ring.interrupt_fd = interrupt.value_or(-1);
  const int32_t result = vhost_.Start(ring_index_, ring, tap_fd_);
  running_ = result == 0;
  return result;
}

int32_t VhostQueue::Halt() {
  running_ = false;
  const int32_t result = vhost_.Stop(ring_index_);
  if (result < 0) return result;
  position_ = static_cast<uint16_t>(result);
  return 0;
}

void* VhostQueue::HostAddress(uint64_t guest_address) const {
  // SplitQueue::Create has checked that the rings lie in RAM.
  return memory_.IoVec(*base::GuestRange::Create(guest_address, 1))->iov_base;
}

}  // namespace virtio
