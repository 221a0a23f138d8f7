#include "virtio/net/net_queue.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "base/limited_log.h"
#include "virtio/queue/iovecs.h"

namespace virtio {
namespace {

// How much a frame costs in steps of the loop's budget: a system call of some microseconds.
constexpr uint32_t kStepsPerFrame = 16;
// An Ethernet header with a VLAN tag.
constexpr uint32_t kMaxEthernetHeader = 18;
// The pause after an error of the host. A tap that is gone fails at once, for ever.
constexpr std::chrono::milliseconds kErrorPause{100};
// How long a frame waits for buffers. A driver may keep its ring half empty until a frame arrives.
constexpr std::chrono::milliseconds kBufferPatience{100};
constexpr size_t kEnoughBytes = sizeof(NetHeader) + net::kMaxFrameBytes;

}  // namespace

// --- Receive -------------------------------------------------------------------------------------

NetReceiveQueue::NetReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                                 NetPair& pair)
    : DeviceQueue(loop, memory, index),
      pair_(pair),
      wait_(*this),
      reservation_(pair.shared.receive_limiter) {}

bool NetReceiveQueue::mergeable() const {
  return (pair_.shared.features & FeatureBit(VIRTIO_NET_F_MRG_RXBUF)) != 0;
}

bool NetReceiveQueue::WantsChains() const {
  return count_ < kMaxBuffers && bytes_ < kEnoughBytes && end_ - begin_ <= kMaxIovecs;
}

Chain* NetReceiveQueue::AcquireChain() {
  if (end_ + kMaxChainSegments > 1 + kIovecs) {
    std::copy(iovecs_.begin() + begin_, iovecs_.begin() + end_, iovecs_.begin() + 1);
    const uint32_t moved_by = begin_ - 1;
    for (uint32_t i = 0; i < count_; ++i) at(i).end -= moved_by;
    begin_ -= moved_by;
    end_ -= moved_by;
  }
  Buffer& buffer = at(count_);
  buffer.SetStorage(std::span(iovecs_).subspan(end_, kMaxChainSegments));
  return &buffer;
}

void NetReceiveQueue::Start(Chain& chain) {
  // The header lies in one buffer, and no byte is readable. [VIRTIO 1.2 §5.1.6.3.1]
  if (chain.readable_bytes() != 0 || chain.writable_bytes() < sizeof(NetHeader)) {
    counters_.dropped_malformed.Increment();
    return Complete(chain, 0);
  }
  bytes_ += chain.writable_bytes();
  end_ += static_cast<uint32_t>(chain.writable().size());
  static_cast<Buffer&>(chain).end = end_;
  ++count_;
  if (ready_ && !ending_turn()) ServeAtTurnEnd();
}

void NetReceiveQueue::OnServed() {
  base::MutexLock lock(pair_.shared.mutex);
  base::TurnBudget& budget = loop().turn_budget();
  while (ready_ && active_ && count_ > 0 && MayServe()) {
    if (excess_bytes_ > 0) {
      if (!DeliverWithExcess()) {  // the next buffer leads here again
        if (!wait_.pending()) loop().Timeout(wait_, kBufferPatience);
        return;
      }
      if (wait_.pending()) return loop().Cancel(wait_);  // OnWaited leads here again
    } else {
      if (wait_.pending()) return;
      if (!MayReceive()) return;
      ReceiveFrame();
    }
    if (WantsChains()) Serve();
    if (budget.Spent()) return ServeAtTurnEnd();
  }
}

bool NetReceiveQueue::MayReceive() {
  // One byte at first: every frame has more, and takes the rest when it has been received.
  const std::chrono::nanoseconds wait = reservation_.Take(1, loop());
  if (wait == wait.zero()) return true;
  counters_.throttled.Increment();
  ready_ = false;
  loop().Timeout(wait_, wait);
  return false;
}

void NetReceiveQueue::TakeStart() {
  if (start_pieces_ > 0) return;
  std::span<iovec> left = std::span(iovecs_).subspan(begin_, at(0).end - begin_);
  start_bytes_ = 0;
  ConsumeFront(left, sizeof(start_), [this](const iovec& piece) {
    start_target_[start_pieces_++] = piece;
    start_bytes_ += static_cast<uint32_t>(piece.iov_len);
  });
  begin_ = at(0).end - static_cast<uint32_t>(left.size());
}

void NetReceiveQueue::ReceiveFrame() {
  loop().turn_budget().Spend(kStepsPerFrame);
  TakeStart();
  // Without mergeable buffers a frame has one buffer. The iovec behind it may be the next buffer's.
  const uint32_t end = std::min(mergeable() ? end_ : at(0).end, begin_ + kMaxIovecs);
  const iovec behind = iovecs_[end];
  iovecs_[begin_ - 1] = {&start_, start_bytes_};
  iovecs_[end] = {excess_.data(), excess_.size()};
  const int32_t result =
      pair_.port.Receive(std::span(iovecs_).subspan(begin_ - 1, end - begin_ + 2));
  iovecs_[end] = behind;
  if (result == -EAGAIN) {
    ready_ = false;
    loop().Poll(wait_, pair_.file, POLLIN);
  } else if (result < 0) {
    LOG_LIMITED(Warning, 10, pair_.shared.id)
        << pair_.shared.id << ": cannot receive: " << strerrordesc_np(-result);
    counters_.dropped_host.Increment();
    ready_ = false;
    loop().Timeout(wait_, kErrorPause);
  } else {
    const auto bytes = static_cast<uint32_t>(result);
    reservation_.Use(bytes - std::min(bytes, uint32_t{sizeof(NetHeader)}));
    if (IsWanted(bytes)) DeliverOrWait(bytes, end);
  }
}

void NetReceiveQueue::DeliverOrWait(uint32_t bytes, uint32_t end) {
  uint64_t room = start_bytes_;
  for (uint32_t i = begin_; i < end && room < bytes; ++i) room += iovecs_[i].iov_len;
  if (bytes <= room) return Deliver(bytes);
  if (!mergeable() || bytes > kEnoughBytes) return counters_.dropped_no_room.Increment();
  frame_bytes_ = bytes;
  excess_bytes_ = bytes - static_cast<uint32_t>(room);
  excess_offset_ = end - begin_;
  DeliverWithExcess();
}

bool NetReceiveQueue::DeliverWithExcess() {
  if (frame_bytes_ > bytes_) {
    if (WantsChains() && !HoldsWholeRing()) return false;
    counters_.dropped_no_room.Increment();
    excess_bytes_ = 0;
    return true;
  }
  std::span<const uint8_t> left = std::span(excess_).first(std::exchange(excess_bytes_, 0));
  for (uint32_t i = begin_ + excess_offset_; !left.empty(); ++i) {
    const size_t length = std::min(iovecs_[i].iov_len, left.size());
    base::CopyToGuest(iovecs_[i].iov_base, left.data(), length);
    left = left.subspan(length);
  }
  Deliver(frame_bytes_);
  return true;
}

bool NetReceiveQueue::IsWanted(uint32_t bytes) {
  if (!pair_.shared.is_link_up()) {
    counters_.dropped_link_down.Increment();
    return false;
  }
  const NetShared& shared = pair_.shared;
  if (bytes < sizeof(NetHeader) || !PrepareNetHeader(start_.header, shared.features)) {
    counters_.dropped_malformed.Increment();
    return false;
  }
  // [VIRTIO 1.2 §5.1.4.1]
  if ((shared.features & FeatureBit(VIRTIO_NET_F_MTU)) != 0 &&
      start_.header.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
      bytes > sizeof(NetHeader) + kMaxEthernetHeader + shared.mtu) {
    counters_.dropped_too_long.Increment();
    return false;
  }
  const uint32_t known = std::min(bytes, start_bytes_) - uint32_t{sizeof(NetHeader)};
  if (!pair_.shared.filter.Accepts(std::span(start_.frame).first(known))) {
    counters_.dropped_filter.Increment();
    return false;
  }
  return true;
}

void NetReceiveQueue::Deliver(uint32_t bytes) {
  counters_.frames.Increment();
  counters_.bytes.Add(bytes - sizeof(NetHeader));
  uint32_t used = 0;
  for (uint32_t left = bytes; left > 0; ++used) {
    left -= std::min(left, at(used).original_writable_bytes());
  }
  start_.header.num_buffers = static_cast<uint16_t>(used);
  std::span<const uint8_t> start = base::BytesOf(start_).first(std::min(start_bytes_, bytes));
  for (const iovec& piece : std::span(start_target_).first(start_pieces_)) {
    const size_t length = std::min(piece.iov_len, start.size());
    base::CopyToGuest(piece.iov_base, start.data(), length);
    memory().MarkWritten({piece.iov_base, length});
    start = start.subspan(length);
  }
  for (uint32_t i = begin_; i < at(used - 1).end; ++i) memory().MarkWritten(iovecs_[i]);
  for (uint32_t i = 0; i < used; ++i) {
    const uint32_t written = std::min(bytes, at(i).original_writable_bytes());
    bytes_ -= at(i).original_writable_bytes();
    bytes -= written;
    Complete(at(i), written);
  }
  Drop(used);
}

void NetReceiveQueue::Drop(uint32_t count) {
  start_pieces_ = 0;
  begin_ = at(count - 1).end;
  first_ = (first_ + count) % kMaxBuffers;
  count_ -= count;
  if (count_ == 0) begin_ = end_ = 1;
}

void NetReceiveQueue::OnWaited(int32_t result) {
  if (result != -ECANCELED && std::exchange(excess_bytes_, 0) > 0) {
    counters_.dropped_no_room.Increment();
  }
  if (result >= 0) counters_.wakeups.Increment();
  ready_ = true;
  ServeAtTurnEnd();
}

void NetReceiveQueue::GiveBuffersBack() {
  if (std::exchange(excess_bytes_, 0) > 0) counters_.dropped_no_room.Increment();
  while (count_ > 0) GiveBack(at(--count_));
  start_pieces_ = 0;
  bytes_ = 0;
  begin_ = end_ = 1;
}

void NetReceiveQueue::CancelRequests() {
  GiveBuffersBack();
  reservation_.Cancel();
  loop().Cancel(wait_);
}

void NetReceiveQueue::PauseRequests() { GiveBuffersBack(); }

void NetReceiveQueue::SetActive(bool active) {
  active_ = active;
  if (started()) ServeAtTurnEnd();
}

void NetReceiveQueue::OnRateLimitChanged() {
  reservation_.Cancel();
  loop().Cancel(wait_);  // OnWaited tries again
}

// --- Transmit ------------------------------------------------------------------------------------

NetTransmitQueue::NetTransmitQueue(base::EventLoop& loop, base::GuestMemory& memory, uint16_t index,
                                   NetPair& pair)
    : DeviceQueue(loop, memory, index),
      pair_(pair),
      wait_(*this),
      reservation_(pair.shared.transmit_limiter) {
  chain_.SetStorage(std::span(iovecs_).subspan(1));
}

Chain* NetTransmitQueue::AcquireChain() {
  // A wait of a frame that was given back may not have ended yet. OnWaited serves the queue again.
  if (in_use_ || wait_.pending()) return nullptr;
  in_use_ = true;
  return &chain_;
}

void NetTransmitQueue::Start(Chain& chain) {
  loop().turn_budget().Spend(kStepsPerFrame);
  if (!chain.Pop(header_) || chain.readable().size() >= IOV_MAX ||
      CheckNetHeader(header_, chain.readable_bytes(), pair_.shared.features) !=
          NetHeaderError::kNone) {
    counters_.dropped_malformed.Increment();
    return Complete(chain, 0);
  }
  BeginSend();
}

void NetTransmitQueue::BeginSend() {
  if (!pair_.shared.is_link_up()) {
    reservation_.Cancel();
    counters_.dropped_link_down.Increment();
    return Complete(chain_, 0);
  }
  const std::chrono::nanoseconds wait = reservation_.Take(chain_.readable_bytes(), loop());
  if (wait == wait.zero()) return Send();
  counters_.throttled.Increment();
  loop().Timeout(wait_, wait);
}

void NetTransmitQueue::Send() {
  const std::span<iovec> frame(chain_.readable().data() - 1, chain_.readable().size() + 1);
  frame[0] = {&header_, sizeof(header_)};
  const int32_t result = pair_.port.Send(frame);
  if (result == -EAGAIN) return loop().Poll(wait_, pair_.send_file, pair_.send_events);
  if (result < 0) {
    // A guest can send frames that may not leave as often as it likes. The host is not at fault.
    if (result != -EPERM) {
      LOG_LIMITED(Warning, 10, pair_.shared.id)
          << pair_.shared.id << ": cannot send: " << strerrordesc_np(-result);
    }
    counters_.dropped_host.Increment();
  } else {
    counters_.frames.Increment();
    counters_.bytes.Add(chain_.readable_bytes());
  }
  reservation_.Use(0);
  Complete(chain_, 0);
}

void NetTransmitQueue::OnWaited(int32_t result) {
  if (result >= 0) counters_.wakeups.Increment();
  if (in_use_) BeginSend();
  ServeAtTurnEnd();
}

void NetTransmitQueue::GiveFrameBack() {
  reservation_.Cancel();
  if (in_use_) GiveBack(chain_);
  loop().Cancel(wait_);
}

void NetTransmitQueue::OnRateLimitChanged() {
  reservation_.Cancel();
  loop().Cancel(wait_);  // OnWaited tries again
}

void NetTransmitQueue::CancelRequests() { GiveFrameBack(); }

void NetTransmitQueue::PauseRequests() { GiveFrameBack(); }

}  // namespace virtio
