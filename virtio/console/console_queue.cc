#include "virtio/console/console_queue.h"

#include <algorithm>
#include <cstring>

#include "virtio/console/console_wire.h"

namespace virtio {

ConsoleReceiveQueue::ConsoleReceiveQueue(base::EventLoop& loop, base::GuestMemory& memory,
                                         devices::CharacterBackend& backend)
    : DeviceQueue(loop, memory, kConsoleReceiveQueue), backend_(backend) {}

size_t ConsoleReceiveQueue::Input(std::span<const uint8_t> bytes) {
  backend_waits_ = false;  // the backend is calling: do not call ResumeInput meanwhile
  size_t taken = 0;
  while (const size_t fits = Keep(bytes.subspan(taken))) {
    taken += fits;
    Serve();  // does nothing without a driver, or if Start has called Input
  }
  backend_waits_ = taken < bytes.size();
  return taken;
}

size_t ConsoleReceiveQueue::Keep(std::span<const uint8_t> bytes) {
  if (pending_begin_ > 0) {
    std::memmove(pending_.data(), pending_.data() + pending_begin_, pending_bytes());
    pending_end_ -= pending_begin_;
    pending_begin_ = 0;
  }
  const size_t kept = std::min(bytes.size(), pending_.size() - pending_end_);
  std::copy_n(bytes.begin(), kept, pending_.begin() + static_cast<ptrdiff_t>(pending_end_));
  pending_end_ += kept;
  return kept;
}

void ConsoleReceiveQueue::Start(Chain& chain) {
  const size_t written =
      chain.PushWritable(memory(), std::span(pending_).subspan(pending_begin_, pending_bytes()));
  pending_begin_ += written;
  delivered_bytes_ += written;
  Complete(chain, static_cast<uint32_t>(written));
  if (written == 0 || !backend_waits_) return;  // 0: the buffer has no writable byte
  backend_waits_ = false;
  backend_.ResumeInput();  // may call Input
}

ConsoleTransmitQueue::ConsoleTransmitQueue(base::EventLoop& loop, base::GuestMemory& memory,
                                           devices::CharacterBackend& backend)
    : DeviceQueue(loop, memory, kConsoleTransmitQueue), backend_(backend) {}

void ConsoleTransmitQueue::Start(Chain& chain) {
  cancelled_ = false;
  Continue(chain);
}

void ConsoleTransmitQueue::Continue(Chain& chain) {
  std::array<uint8_t, kPieceBytes> buffer;
  size_t budget = cancelled_ ? 0 : kMaxBytesPerTurn;
  while (budget > 0) {
    const size_t bytes = std::min({buffer.size(), budget, size_t{chain.readable_bytes()}});
    const std::span piece = std::span(buffer).first(bytes);
    if (bytes == 0 || !chain.PopReadable(piece)) return Complete(chain, 0);
    backend_.Write(piece);
    written_bytes_ += bytes;
    budget -= bytes;
  }
  if (cancelled_ || chain.readable_bytes() == 0) return Complete(chain, 0);
  // LIFETIME: the chain is in flight until Complete, and a queue with chains in flight stays alive.
  loop().Post([this, &chain] { Continue(chain); });
}

}  // namespace virtio
