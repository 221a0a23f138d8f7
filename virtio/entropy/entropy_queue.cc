#include "virtio/entropy/entropy_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <algorithm>

#include "base/limited_log.h"
#include "virtio/queue/iovecs.h"

namespace virtio {

EntropyQueue::EntropyQueue(base::EventLoop& loop, base::GuestMemory& memory, base::LoopFile source,
                           bool seekable)
    : DeviceQueue(loop, memory, 0), source_(source), seekable_(seekable) {
  chain_.SetStorage(segments_);
}

void EntropyQueue::StopWaiting() {
  if (read_.pending()) loop().Cancel(read_);
}

Chain* EntropyQueue::AcquireChain() {
  if (in_use_) return nullptr;
  in_use_ = true;
  return &chain_;
}

void EntropyQueue::ReleaseChain(Chain& /*chain*/) { in_use_ = false; }

void EntropyQueue::Start(Chain& chain) {
  ++requests_;
  target_ = chain.writable();
  KeepFront(target_, std::min<size_t>(chain.writable_bytes(), kEntropyMaxRequestBytes));
  if (chain.writable_bytes() == 0) return Finish(0);  // there is no place for a byte
  if (!source_.valid()) return FillFromKernel();
  loop().ReadV(read_, source_, target_, seekable_ ? source_offset_ : 0);
}

void EntropyQueue::OnSourceRead(int32_t result) {
  if (result > 0) {
    if (seekable_) source_offset_ += static_cast<uint64_t>(result);
    return Finish(static_cast<size_t>(result));
  }
  if (result != -ECANCELED) {
    ++source_errors_;
    LOG_LIMITED(Warning, 60, "rng")
        << "rng.src: " << (result == 0 ? "end of file" : strerror(-result))
        << "; the kernel's random numbers are used instead";
  }
  FillFromKernel();
}

void EntropyQueue::FillFromKernel() {
  loop().turn_budget().SpendHostCall();
  size_t written = 0;
  for (const iovec& segment : target_) {
    // getrandom never blocks here: EntropyDevice::Create waited until the kernel's generator was
    // seeded.
    const ssize_t bytes = getrandom(segment.iov_base, segment.iov_len, 0);
    if (bytes > 0) written += static_cast<size_t>(bytes);
    if (bytes < 0 || static_cast<size_t>(bytes) < segment.iov_len) break;
  }
  Finish(written);
}

void EntropyQueue::Finish(size_t written_bytes) {
  for (const iovec& segment : target_) memory().MarkWritten(segment);
  bytes_ += written_bytes;
  Complete(chain_, static_cast<uint32_t>(written_bytes));
}

}  // namespace virtio
