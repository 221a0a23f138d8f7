// Shared by the fuzzers of virtio devices: an input is a program for a driver that is mostly
// correct and sometimes hostile.
#ifndef TESTS_FUZZ_DEVICE_PROGRAM_H_
#define TESTS_FUZZ_DEVICE_PROGRAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/log.h"
#include "tests/fakes/device_fixtures.h"

namespace virtio {

// Reads numbers from the fuzzer's bytes; zeros once the bytes are used up.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : bytes_(data, size) {}
  bool empty() const { return bytes_.empty(); }
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  uint64_t Number(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | Byte();
    return value;
  }
  std::span<const uint8_t> Bytes(size_t max) {
    const auto taken = bytes_.first(std::min(max, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// Steps that a driver can take on any device.
class DeviceProgram {
 public:
  static constexpr uint64_t kRamBytes = 4 << 20;
  static constexpr uint16_t kQueueSize = 8;

  // The first bytes of the input choose the seed and the features.
  explicit DeviceProgram(FuzzInput& input)
      : input_(input),
        harness_({.loop = {.seed = input.Byte(),
                           .short_transfer_percent = input.Byte() % 50,
                           .short_transfer_unit_bytes = 1,
                           .error_percent = input.Byte() % 30},
                  .queue_size = kQueueSize,
                  .event_idx = input.Byte() % 2 == 0,
                  .ram_bytes = kRamBytes}) {}

  DeviceHarness& harness() { return harness_; }

  void Start(Device& device) { harness_.Start(device, input_.Byte(), ring_index_); }

  // Takes the step number `step` modulo kSteps.
  static constexpr uint8_t kSteps = 13;
  void Step(Device& device, uint8_t step) {
    const auto queues = static_cast<uint8_t>(device.queue_sizes().size());
    const uint16_t queue = input_.Byte() % queues;
    FakeDriver& driver = harness_.driver(queue);
    switch (step % kSteps) {
      case 0:
      case 1:  // twice as likely, since nothing happens without chains
        return OfferChain(driver, queue);
      case 2:
        driver.WriteDescriptor(static_cast<uint16_t>(input_.Byte() % kQueueSize),
                               {.addr = input_.Number(8),
                                .len = static_cast<uint32_t>(input_.Number(4)),
                                .flags = static_cast<uint16_t>(input_.Number(2)),
                                .next = static_cast<uint16_t>(input_.Number(2))});
        return;
      case 3:
        return driver.OfferRaw(input_.Byte());
      case 4:
        return driver.SetAvailIndex(static_cast<uint16_t>(input_.Number(2)));
      case 5:
        return harness_.Kick(queue);
      case 6:
        harness_.loop().RunTurn();
        return;
      case 7:
        CHECK(harness_.StopQueue(device, queue));  // a stop that does not end is a hang
        return harness_.StartQueue(device, queue, static_cast<uint16_t>(input_.Number(2)));
      case 8:
        CHECK(harness_.Pause(device));
        return device.Resume();
      case 9:
        return OfferIndirect(driver, queue);
      case 10:
        return Scribble(queue);
      case 11:
        driver.SetAvailFlags(input_.Byte());
        return driver.SetUsedEvent(static_cast<uint16_t>(input_.Number(2)));
      case 12: {
        // Resets the whole device with any requests in flight.
        CHECK(harness_.Stop(device));
        return harness_.Start(device, device.features() & input_.Number(5), ring_index_);
      }
    }
  }

  void Finish(Device& device) {
    harness_.loop().RunUntilIdle();
    CHECK(harness_.Stop(device));
  }

 private:
  // Offers a table of up to four descriptors, mostly correct, behind at most one direct descriptor.
  void OfferIndirect(FakeDriver& driver, uint16_t queue) {
    const uint8_t shape = input_.Byte();
    const auto count = static_cast<uint16_t>(1 + shape % 4);
    const uint64_t table = 0x80000 + uint64_t{queue} * 0x1000 + (shape & 0x30);
    for (uint16_t i = 0; i < count; ++i) {
      const uint8_t how = input_.Byte();
      uint16_t flags = i + 1 < count ? 1 : 0;                            // NEXT
      if ((how & 0x40) != 0 || (shape & 0x80) != 0) flags |= 2;          // WRITE
      if ((how & 0xB0) == 0xB0) flags = static_cast<uint16_t>(how % 8);  // anything
      driver.WriteDescriptorAt(
          table + 16 * uint64_t{i},
          {.addr = 0x100000 + uint64_t{queue} * 0x40000 + uint64_t{how} * 0x100,
           .len = static_cast<uint32_t>(input_.Number(how % 3)),
           .flags = flags,
           .next = static_cast<uint16_t>((how & 0xA0) == 0xA0 ? how % 8 : i + 1)});
    }
    const uint16_t head = next_head_;
    const auto second = static_cast<uint16_t>((head + 1) % kQueueSize);
    const auto bytes = static_cast<uint32_t>(16 * count + (shape == 0xff ? 1 : 0));
    const bool behind = (shape & 0x40) != 0;
    if (behind) {
      driver.WriteDescriptor(head, {.addr = 0x100000, .len = 16, .flags = 1, .next = second});
    }
    driver.WriteDescriptor(behind ? second : head,
                           {.addr = table, .len = bytes, .flags = 4, .next = 0});
    driver.OfferRaw(head);
    next_head_ = static_cast<uint16_t>((head + 2) % kQueueSize);
  }

  // Changes memory that the device may have read already: rings, tables, headers in buffers.
  void Scribble(uint16_t queue) {
    static constexpr uint64_t kPlaces[] = {0x10000, 0x80000, 0x100000};
    const uint8_t where = input_.Byte();
    const uint64_t step = where % 3 == 0 ? 0x10000 : where % 3 == 1 ? 0x1000 : 0x40000;
    const uint64_t addr = kPlaces[where % 3] + queue * step + input_.Number(2) % 0x1000;
    CHECK(harness_.memory().Write(addr, input_.Bytes(1 + where % 16)));
  }

  void OfferChain(FakeDriver& driver, uint16_t queue) {
    const uint8_t shape = input_.Byte();
    const auto count = static_cast<uint16_t>(1 + shape % 4);
    const uint16_t head = next_head_;
    for (uint16_t i = 0; i < count; ++i) {
      const uint8_t how = input_.Byte();
      const auto len = static_cast<uint32_t>(input_.Number(how % 3));
      uint16_t flags = i + 1 < count ? 1 : 0;                            // NEXT
      if ((how & 0x40) != 0 || (shape & 0x80) != 0) flags |= 2;          // WRITE
      if ((how & 0xA0) == 0xA0) flags = static_cast<uint16_t>(how % 8);  // anything
      driver.WriteDescriptor(static_cast<uint16_t>((head + i) % kQueueSize),
                             {.addr = 0x100000 + uint64_t{queue} * 0x40000 + uint64_t{how} * 0x100,
                              .len = len,
                              .flags = flags,
                              .next = static_cast<uint16_t>((head + i + 1) % kQueueSize)});
    }
    driver.OfferRaw(head);
    next_head_ = static_cast<uint16_t>((head + count) % kQueueSize);
  }

  FuzzInput& input_;
  DeviceHarness harness_;
  const uint16_t ring_index_ = static_cast<uint16_t>(65530 + input_.Byte() % 8);
  uint16_t next_head_ = 0;
};

}  // namespace virtio

#endif  // TESTS_FUZZ_DEVICE_PROGRAM_H_
