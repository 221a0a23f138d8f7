#include "virtio/net/net_control_queue.h"

#include <algorithm>
#include <utility>

#include "virtio/net/net_wire.h"

namespace virtio {
namespace {

// Reading a long table costs about this many steps of the loop's budget.
constexpr uint32_t kBytesPerStep = 32;

}  // namespace

NetControlQueue::NetControlQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                                 const uint64_t& features, Execute execute)
    : DeviceQueue(loop, memory, index), features_(features), execute_(std::move(execute)) {
  chain_.SetStorage(iovecs_);
}

Chain* NetControlQueue::AcquireChain() {
  if (in_use_) return nullptr;
  in_use_ = true;
  return &chain_;
}

void NetControlQueue::Start(Chain& chain) {
  base::TurnBudget& budget = loop().turn_budget();
  budget.Spend(std::min(chain.readable_bytes(), kMaxNetCommandBytes) / kBytesPerStep);
  ParseNetCommand(chain, features_, command_);
  budget.SpendHostCall();  // most commands are an ioctl
  const bool done = command_.kind != NetCommandKind::kInvalid && execute_(command_);
  if (!done) refused_.Increment();
  const uint8_t ack = done ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
  Complete(chain, static_cast<uint32_t>(chain.Push(memory(), ack)));
}

}  // namespace virtio
