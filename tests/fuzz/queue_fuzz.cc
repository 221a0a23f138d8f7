// Fuzzes the split queue with a driver that is mostly correct. Must hold: the chains that the queue
// returns lie in RAM, are bounded, and go back once.

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/log.h"
#include "tests/fakes/fake_driver.h"
#include "tests/fuzz/device_program.h"
#include "virtio/queue/request_slab.h"
#include "virtio/queue/split_queue.h"

namespace virtio {
namespace {

constexpr uint64_t kLowBytes = 1 << 20;
constexpr uint64_t kHigh = uint64_t{4} << 30;  // there is a hole below
constexpr uint64_t kHighBytes = 1 << 20;

struct Request : Chain {};

class QueueProgram {
 public:
  explicit QueueProgram(FuzzInput& input)
      : input_(input),
        size_(static_cast<uint16_t>(1u << (input.Byte() % 6))),
        features_{.event_idx = input.Byte() % 2 == 0, .indirect = input.Byte() % 2 == 0},
        driver_(*memory_, {.size = size_, .base = 0x1000, .event_idx = features_.event_idx}),
        slab_(*RequestSlab<Request>::Create(size_)) {}

  void Run() {
    TryAddresses();
    QueueError error;
    queue_ = SplitQueue::Create(
        *memory_, {size_, driver_.descriptor_table(), driver_.driver_area(), driver_.device_area()},
        features_, error);
    CHECK(queue_ != nullptr && error == QueueError::kNone);
    const auto start = static_cast<uint16_t>(input_.Number(2));
    driver_.StartAt(start);
    queue_->set_positions({start, start});
    for (int steps = 0; !input_.empty() && steps < 1000; ++steps) Step(input_.Byte());
    while (!held_.empty()) Use();
    queue_->Publish();
  }

 private:
  // Returns an address that is valid, near an edge, or arbitrary.
  uint64_t Address() {
    const uint8_t how = input_.Byte();
    if (how < 0xC0) return 0x40000 + uint64_t{how} * 0x100;
    const uint64_t number = input_.Number(how % 3);
    switch (how % 4) {
      case 0:
        return kLowBytes - number;
      case 1:
        return kHigh - 8 + number;
      case 2:
        return kHigh + kHighBytes - number;
      default:
        return input_.Number(8);
    }
  }
  uint32_t Length() {
    const uint8_t how = input_.Byte();
    return static_cast<uint32_t>(how < 0xF0 ? how : input_.Number(4));
  }

  // Rings at any address result in a queue or an error, never in an access outside RAM.
  void TryAddresses() {
    const QueueAddresses addresses = {static_cast<uint16_t>(input_.Number(2)), Address(), Address(),
                                      Address()};
    QueueError error = QueueError::kNone;
    auto queue = SplitQueue::Create(*memory_, addresses, features_, error);
    CHECK((queue != nullptr) == (error == QueueError::kNone));
    if (queue == nullptr) return;
    auto slab = *RequestSlab<Request>::Create(addresses.size);
    Request& request = *slab.Acquire();
    if (queue->Pop(request) == SplitQueue::PopResult::kChain) queue->PushUsed(request, 1);
    queue->Publish();
    queue->EnableKicks();
    slab.Release(request);
  }

  void Step(uint8_t step) {
    switch (step % 10) {
      case 0:
      case 1:
        return OfferChain();
      case 2:
        return driver_.WriteDescriptor(
            static_cast<uint16_t>(input_.Byte() % size_),
            {Address(), Length(), static_cast<uint16_t>(input_.Byte() % 16), input_.Byte()});
      case 3:
        return driver_.OfferRaw(input_.Byte());
      case 4:
        if (step > 0xE0) driver_.SetAvailIndex(static_cast<uint16_t>(input_.Number(2)));
        return;
      case 5:
      case 6:
        return Pop();
      case 7:
        return Use();
      case 8:
        if (step % 20 < 10) driver_.SetUsedEvent(static_cast<uint16_t>(input_.Number(2)));
        queue_->Publish();
        CHECK(driver_.UsedIndex() == queue_->positions().next_used);
        return;
      case 9:
        if (step % 20 < 10) queue_->SuppressKicks();
        if (!queue_->EnableKicks()) CHECK(!queue_->HasAvailable());
        return;
    }
  }

  void OfferChain() {
    const uint8_t shape = input_.Byte();
    const uint16_t count = static_cast<uint16_t>(1 + shape % size_);
    const bool indirect = (shape & 0x80) != 0;
    const uint16_t head = next_head_;
    for (uint16_t i = 0; i < count; ++i) {
      FakeDriver::Descriptor descriptor = {Address(), Length(), 0, 0};
      if (i + 1 < count) descriptor.flags |= 1;
      if (i >= (shape >> 4) % 4) descriptor.flags |= 2;
      descriptor.next = static_cast<uint16_t>(indirect ? i + 1 : (head + i + 1) % size_);
      if (indirect) {
        driver_.WriteDescriptorAt(0x20000 + 16 * uint64_t{i}, descriptor);
      } else {
        driver_.WriteDescriptor(static_cast<uint16_t>((head + i) % size_), descriptor);
      }
    }
    if (indirect) driver_.WriteDescriptor(head, {0x20000, 16u * count, 4, 0});
    driver_.OfferRaw(head);
    next_head_ = static_cast<uint16_t>((head + (indirect ? 1 : count)) % size_);
  }

  void Pop() {
    Request* request = slab_.Acquire();
    if (request == nullptr) return;
    const bool available = queue_->HasAvailable();
    const SplitQueue::PopResult result = queue_->Pop(*request);
    CHECK(available == (result != SplitQueue::PopResult::kEmpty));
    CHECK((result == SplitQueue::PopResult::kBroken) == (queue_->error() != QueueError::kNone));
    if (result != SplitQueue::PopResult::kChain) return slab_.Release(*request);
    CHECK(request->head() < size_);
    CHECK(request->readable().size() + request->writable().size() <= size_);
    CHECK(Sum(request->readable()) == request->readable_bytes());
    CHECK(Sum(request->writable()) == request->writable_bytes());
    held_.push_back(request);
    CHECK(queue_->in_flight() == held_.size());
  }

  uint64_t Sum(std::span<const iovec> buffers) const {
    uint64_t sum = 0;
    for (const iovec& buffer : buffers) {
      const auto addr = memory_->GuestAddressOf(buffer.iov_base);
      CHECK(addr && buffer.iov_len > 0);
      CHECK(memory_->Contains(*base::GuestRange::Create(*addr, buffer.iov_len)));
      sum += buffer.iov_len;
    }
    return sum;
  }

  // Consumes a chain in pieces and gives it back.
  void Use() {
    if (held_.empty()) return;
    Request& request = *held_.front();
    held_.pop_front();
    const uint32_t writable = request.writable_bytes();
    const bool status = input_.Byte() % 2 == 0 && request.SplitStatusByte();
    std::vector<uint8_t> bytes(input_.Byte());
    const uint32_t readable = request.readable_bytes();
    CHECK(request.PopReadable(bytes) == (bytes.size() <= readable));
    const size_t written = request.PushWritable(*memory_, bytes);
    CHECK(written == std::min<size_t>(bytes.size(), writable - (status ? 1 : 0)));
    CHECK(Sum(request.readable()) == request.readable_bytes());
    CHECK(Sum(request.writable()) == request.writable_bytes());
    request.StoreStatus(*memory_, 1);
    queue_->PushUsed(request, static_cast<uint32_t>(input_.Number(input_.Byte() % 5)));
    slab_.Release(request);
    CHECK(queue_->in_flight() == held_.size());
  }

  FuzzInput& input_;
  const uint16_t size_;
  const RingFeatures features_;
  std::unique_ptr<base::GuestMemory> memory_ = *base::GuestMemory::Create(
      {.thp = false}, {{0, kLowBytes, nullptr}, {kHigh, kHighBytes, nullptr}});
  FakeDriver driver_;
  RequestSlab<Request> slab_;
  std::unique_ptr<SplitQueue> queue_;
  std::list<Request*> held_;
  uint16_t next_head_ = 0;
};

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  virtio::FuzzInput input(data, size);
  virtio::QueueProgram(input).Run();
  return 0;
}
