// The driver's half of a split virtqueue, for tests. It is written from the specification alone: it
// shares no ring code with virtio/queue, and accesses guest memory only through Read and Write. It
// behaves well by default; the raw functions let a test do anything that a hostile driver can do.
// [VIRTIO 1.2 §2.7]
//
//   FakeDriver driver(memory, {.size = 8, .base = 0x1000});
//   const uint16_t head = driver.Chain().Readable(header).Writable(512).Writable(1).Offer();
//   driver.Publish();
//   ...
//   const auto used = driver.PopUsed();           // {head, written bytes}
//   const auto bytes = driver.WritableBytes(head);
#ifndef TESTS_FAKES_FAKE_DRIVER_H_
#define TESTS_FAKES_FAKE_DRIVER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/guest_memory.h"

namespace virtio {

class FakeDriver {
 public:
  struct Options {
    uint16_t size = 8;
    uint64_t base = 0x1000;           // the three rings are here, each at its alignment
    uint64_t data = 0x100000;         // buffers and indirect tables
    uint64_t data_bytes = 0x1000000;  // used again from the start when exhausted
    bool event_idx = false;
  };
  struct Descriptor {
    uint64_t addr = 0;
    uint32_t len = 0;
    uint16_t flags = 0;
    uint16_t next = 0;
  };
  struct Used {
    uint32_t id;
    uint32_t len;
  };
  struct Buffer {
    uint64_t addr;
    uint32_t len;
  };

  // Builds one chain; each call adds one descriptor.
  class Builder {
   public:
    Builder& Readable(std::span<const uint8_t> bytes);  // a new buffer with these bytes
    Builder& Readable(uint32_t bytes);                  // a new buffer of zeros
    Builder& Writable(uint32_t bytes);                  // a new buffer filled with 0xEE
    Builder& ReadableAt(uint64_t addr, uint32_t bytes);
    Builder& WritableAt(uint64_t addr, uint32_t bytes);
    // Puts the descriptors that follow into an indirect table.
    Builder& Indirect();
    // Writes the descriptors and the ring entry, and returns the head. The device sees them after
    // Publish().
    uint16_t Offer();

   private:
    friend class FakeDriver;
    explicit Builder(FakeDriver& driver) : driver_(driver) {}
    FakeDriver& driver_;
    std::vector<Descriptor> direct_;
    std::vector<Descriptor> indirect_;
    bool is_indirect_ = false;
  };

  FakeDriver(base::GuestMemory& memory, const Options& options);

  uint16_t size() const { return options_.size; }
  uint64_t descriptor_table() const { return options_.base; }
  uint64_t driver_area() const { return driver_area_; }
  uint64_t device_area() const { return device_area_; }

  Builder Chain() { return Builder(*this); }
  // Makes all offered chains available. Returns true if the device wants a kick. [VIRTIO 1.2
  // §2.7.13]
  bool Publish();
  // Takes the next used element and frees its descriptors. Returns nullopt if there is none. Aborts
  // if the element's id was not offered, because that is an error of the device.
  std::optional<Used> PopUsed();
  // Requests an interrupt for the next used element. Returns false if an element was used
  // meanwhile.
  bool EnableInterrupts();
  // Requests no interrupts (without EVENT_IDX), or an interrupt as late as possible.
  void DisableInterrupts();
  // Returns the contents of the writable buffers of the last chain that was offered with `head`.
  std::vector<uint8_t> WritableBytes(uint16_t head) const;
  uint16_t free_descriptors() const { return static_cast<uint16_t>(free_.size()); }
  uint16_t outstanding() const { return static_cast<uint16_t>(offered_.size()); }

  // --- For hostile drivers: these functions check nothing and remember nothing ---
  void WriteDescriptor(uint16_t index, const Descriptor& descriptor);
  void WriteDescriptorAt(uint64_t addr, const Descriptor& descriptor);
  void SetAvailEntry(uint16_t slot, uint16_t head);
  void SetAvailIndex(uint16_t index);
  void SetAvailFlags(uint16_t flags);
  void SetUsedEvent(uint16_t index);
  // Puts `head` into the next ring slot and publishes it.
  void OfferRaw(uint16_t head);
  // Starts both indices at `index`, as if many chains had been used before.
  void StartAt(uint16_t index);

  uint16_t avail_index() const { return avail_index_; }
  uint16_t UsedIndex() const;
  uint16_t UsedFlags() const;
  uint16_t AvailEvent() const;
  Used UsedElement(uint16_t slot) const;
  // Returns the address of a new buffer in the data area.
  uint64_t Allocate(uint64_t bytes, uint64_t align = 16);

 private:
  template <typename T>
  T Get(uint64_t addr) const;
  template <typename T>
  void Put(uint64_t addr, T value);

  base::GuestMemory& memory_;
  const Options options_;
  uint64_t driver_area_;
  uint64_t device_area_;
  uint64_t next_data_;
  uint16_t avail_index_ = 0;      // next slot to fill
  uint16_t published_index_ = 0;  // the index that the device can see
  uint16_t used_index_ = 0;       // next used element to take
  std::vector<uint16_t> free_;
  // the key is the head, the value the chain's descriptors
  std::map<uint16_t, std::vector<uint16_t>> offered_;
  // the key is the head, the value the chain's writable buffers
  std::map<uint16_t, std::vector<Buffer>> writable_;
};

}  // namespace virtio

#endif  // TESTS_FAKES_FAKE_DRIVER_H_
