#include "virtio/vsock/vsock_queue.h"

#include <algorithm>
#include <span>

#include "virtio/queue/iovecs.h"
#include "virtio/vsock/vsock_wire.h"

namespace virtio {
namespace {

// How much a packet costs in steps of the loop's budget: a system call of some microseconds.
constexpr uint32_t kStepsPerPacket = 16;

}  // namespace

// --- Receive -------------------------------------------------------------------------------------

void VsockReceiveQueue::OnOutput() {
  if (MayServe()) ServeAtTurnEnd();
}

Chain* VsockReceiveQueue::AcquireChain() {
  if (in_use_) return nullptr;
  in_use_ = true;
  chain_.SetStorage(iovecs_);
  return &chain_;
}

void VsockReceiveQueue::Start(Chain& chain) {
  // A buffer gets one packet. [VIRTIO 1.2 §5.10.6.4]
  if (chain.readable_bytes() != 0 || chain.writable_bytes() < sizeof(VsockHeader)) {
    dropped_malformed_.Increment();
    return Complete(chain, 0);
  }
  // The header comes first and is written last, when the length of the data is known.
  std::array<iovec, sizeof(VsockHeader)> pieces;
  size_t count = 0;
  std::span<iovec> room = chain.writable();
  ConsumeFront(room, sizeof(VsockHeader), [&](const iovec& piece) { pieces[count++] = piece; });
  VsockHeader header;
  // ConsumeFront and Next change the chain's list, so keep where the data go.
  const std::span<const iovec> data = room;
  bool has_packet = false;
  while (!has_packet && mux_.HasOutput() && !loop().turn_budget().Spent()) {
    loop().turn_budget().Spend(kStepsPerPacket);
    has_packet = mux_.Next(header, room);
  }
  if (!has_packet) return GiveBack(chain);
  uint32_t left = header.length.value();
  for (const iovec& piece : data) {
    if (left == 0) break;
    const auto written = static_cast<uint32_t>(std::min<size_t>(piece.iov_len, left));
    memory().MarkWritten({piece.iov_base, written});
    left -= written;
  }
  std::span<const uint8_t> bytes = base::BytesOf(header);
  for (const iovec& piece : std::span(pieces).first(count)) {
    base::CopyToGuest(piece.iov_base, bytes.data(), piece.iov_len);
    memory().MarkWritten(piece);
    bytes = bytes.subspan(piece.iov_len);
  }
  Complete(chain, static_cast<uint32_t>(sizeof(VsockHeader)) + header.length.value());
}

// --- Transmit ------------------------------------------------------------------------------------

void VsockTransmitQueue::OnRoom() {
  if (MayServe()) ServeAtTurnEnd();
}

Chain* VsockTransmitQueue::AcquireChain() {
  if (in_use_) return nullptr;
  in_use_ = true;
  return &chain_;
}

void VsockTransmitQueue::Start(Chain& chain) {
  loop().turn_budget().Spend(kStepsPerPacket);
  VsockHeader header;
  if (!chain.Pop(header) || chain.readable_bytes() < header.length.value()) {
    dropped_malformed_.Increment();
    return Complete(chain, 0);
  }
  std::span<iovec> data = chain.readable();
  KeepFront(data, header.length.value());
  mux_.OnPacket(header, data, chain.in_ram());
  Complete(chain, 0);
}

}  // namespace virtio
