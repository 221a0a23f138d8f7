#include "tests/fakes/fake_driver.h"

#include <utility>

#include "base/log.h"

namespace virtio {
namespace {

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;
constexpr uint64_t kDescriptorBytes = 16;

}  // namespace

template <typename T>
T FakeDriver::Get(uint64_t addr) const {
  T value = 0;
  CHECK(memory_.Read(addr, std::span(reinterpret_cast<uint8_t*>(&value), sizeof(T))));
  return value;
}

template <typename T>
void FakeDriver::Put(uint64_t addr, T value) {
  CHECK(memory_.Write(addr, std::span(reinterpret_cast<const uint8_t*>(&value), sizeof(T))));
}

FakeDriver::FakeDriver(base::GuestMemory& memory, const Options& options)
    : memory_(memory), options_(options), next_data_(options.data) {
  driver_area_ = options.base + kDescriptorBytes * options.size;
  device_area_ = (driver_area_ + 6 + 2 * uint64_t{options.size} + 3) & ~uint64_t{3};
  for (uint64_t addr = options.base; addr < device_area_ + 6 + 8 * uint64_t{options.size}; ++addr) {
    Put<uint8_t>(addr, 0);
  }
  for (uint16_t i = options.size; i > 0; --i) free_.push_back(static_cast<uint16_t>(i - 1));
}

uint64_t FakeDriver::Allocate(uint64_t bytes, uint64_t align) {
  next_data_ = (next_data_ + align - 1) / align * align;
  if (next_data_ + bytes > options_.data + options_.data_bytes) next_data_ = options_.data;
  CHECK(bytes <= options_.data_bytes);
  const uint64_t addr = next_data_;
  next_data_ += bytes;
  return addr;
}

FakeDriver::Builder& FakeDriver::Builder::ReadableAt(uint64_t addr, uint32_t bytes) {
  (is_indirect_ ? indirect_ : direct_).push_back({addr, bytes, 0, 0});
  return *this;
}

FakeDriver::Builder& FakeDriver::Builder::WritableAt(uint64_t addr, uint32_t bytes) {
  (is_indirect_ ? indirect_ : direct_).push_back({addr, bytes, kWrite, 0});
  return *this;
}

FakeDriver::Builder& FakeDriver::Builder::Readable(std::span<const uint8_t> bytes) {
  const uint64_t addr = driver_.Allocate(bytes.size());
  CHECK(driver_.memory_.Write(addr, bytes));
  return ReadableAt(addr, static_cast<uint32_t>(bytes.size()));
}

FakeDriver::Builder& FakeDriver::Builder::Readable(uint32_t bytes) {
  return Readable(std::vector<uint8_t>(bytes));
}

FakeDriver::Builder& FakeDriver::Builder::Writable(uint32_t bytes) {
  const uint64_t addr = driver_.Allocate(bytes);
  CHECK(driver_.memory_.Write(addr, std::vector<uint8_t>(bytes, 0xEE)));
  return WritableAt(addr, bytes);
}

FakeDriver::Builder& FakeDriver::Builder::Indirect() {
  is_indirect_ = true;
  return *this;
}

uint16_t FakeDriver::Builder::Offer() {
  std::vector<Buffer> writable;
  for (const auto* list : {&direct_, &indirect_}) {
    for (const Descriptor& d : *list) {
      if ((d.flags & kWrite) != 0) writable.push_back({d.addr, d.len});
    }
  }
  if (is_indirect_) {
    const uint64_t table = driver_.Allocate(kDescriptorBytes * indirect_.size());
    for (size_t i = 0; i < indirect_.size(); ++i) {
      Descriptor d = indirect_[i];
      d.next = static_cast<uint16_t>(i + 1);
      if (i + 1 < indirect_.size()) d.flags |= kNext;
      driver_.WriteDescriptorAt(table + kDescriptorBytes * i, d);
    }
    direct_.push_back(
        {table, static_cast<uint32_t>(kDescriptorBytes * indirect_.size()), kIndirect, 0});
  }
  CHECK(!direct_.empty() && direct_.size() <= driver_.free_.size());
  std::vector<uint16_t> indices;
  for (size_t i = 0; i < direct_.size(); ++i) {
    indices.push_back(driver_.free_.back());
    driver_.free_.pop_back();
  }
  for (size_t i = 0; i < direct_.size(); ++i) {
    Descriptor d = direct_[i];
    if (i + 1 < direct_.size()) {
      d.flags |= kNext;
      d.next = indices[i + 1];
    }
    driver_.WriteDescriptor(indices[i], d);
  }
  const uint16_t head = indices[0];
  driver_.SetAvailEntry(driver_.avail_index_, head);
  ++driver_.avail_index_;
  driver_.offered_[head] = std::move(indices);
  driver_.writable_[head] = std::move(writable);
  return head;
}

bool FakeDriver::Publish() {
  const uint16_t before = published_index_;
  published_index_ = avail_index_;
  base::FullFence();  // the entries must be visible before the index
  SetAvailIndex(avail_index_);
  base::FullFence();  // publish the index before checking whether the device wants a kick
  if (!options_.event_idx) return (UsedFlags() & 1) == 0;
  // The device wants a kick if the index has moved past avail_event.
  for (uint16_t i = before; i != avail_index_; ++i) {
    if (i == AvailEvent()) return true;
  }
  return false;
}

std::optional<FakeDriver::Used> FakeDriver::PopUsed() {
  if (UsedIndex() == used_index_) return std::nullopt;
  base::FullFence();  // read the index before the element and the buffers
  const Used used = UsedElement(used_index_);
  ++used_index_;
  const auto chain = offered_.find(static_cast<uint16_t>(used.id));
  CHECK(used.id < options_.size && chain != offered_.end());
  free_.insert(free_.end(), chain->second.rbegin(), chain->second.rend());
  offered_.erase(chain);
  return used;
}

bool FakeDriver::EnableInterrupts() {
  if (options_.event_idx) {
    SetUsedEvent(used_index_);
  } else {
    SetAvailFlags(0);
  }
  base::FullFence();  // store the event index before checking the ring again
  return UsedIndex() == used_index_;
}

void FakeDriver::DisableInterrupts() {
  if (options_.event_idx) {
    SetUsedEvent(static_cast<uint16_t>(used_index_ - 1));
  } else {
    SetAvailFlags(1);
  }
}

std::vector<uint8_t> FakeDriver::WritableBytes(uint16_t head) const {
  std::vector<uint8_t> all;
  for (const Buffer& buffer : writable_.at(head)) {
    std::vector<uint8_t> bytes(buffer.len);
    CHECK(memory_.Read(buffer.addr, bytes));
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

void FakeDriver::WriteDescriptorAt(uint64_t addr, const Descriptor& descriptor) {
  Put(addr, descriptor.addr);
  Put(addr + 8, descriptor.len);
  Put(addr + 12, descriptor.flags);
  Put(addr + 14, descriptor.next);
}

void FakeDriver::WriteDescriptor(uint16_t index, const Descriptor& descriptor) {
  WriteDescriptorAt(options_.base + kDescriptorBytes * index, descriptor);
}

void FakeDriver::SetAvailEntry(uint16_t slot, uint16_t head) {
  Put(driver_area_ + 4 + 2 * uint64_t{static_cast<uint16_t>(slot % options_.size)}, head);
}

void FakeDriver::SetAvailIndex(uint16_t index) { Put(driver_area_ + 2, index); }
void FakeDriver::SetAvailFlags(uint16_t flags) { Put(driver_area_, flags); }
void FakeDriver::SetUsedEvent(uint16_t index) {
  Put(driver_area_ + 4 + 2 * uint64_t{options_.size}, index);
}

void FakeDriver::OfferRaw(uint16_t head) {
  SetAvailEntry(avail_index_, head);
  ++avail_index_;
  published_index_ = avail_index_;
  base::FullFence();
  SetAvailIndex(avail_index_);
}

void FakeDriver::StartAt(uint16_t index) {
  avail_index_ = published_index_ = used_index_ = index;
  SetAvailIndex(index);
  Put(device_area_ + 2, index);
}

uint16_t FakeDriver::UsedIndex() const { return Get<uint16_t>(device_area_ + 2); }
uint16_t FakeDriver::UsedFlags() const { return Get<uint16_t>(device_area_); }
uint16_t FakeDriver::AvailEvent() const {
  return Get<uint16_t>(device_area_ + 4 + 8 * uint64_t{options_.size});
}
FakeDriver::Used FakeDriver::UsedElement(uint16_t slot) const {
  const uint64_t addr =
      device_area_ + 4 + 8 * uint64_t{static_cast<uint16_t>(slot % options_.size)};
  return {Get<uint32_t>(addr), Get<uint32_t>(addr + 4)};
}

}  // namespace virtio
