#include "virtio/transport/common_config.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/endian.h"

namespace virtio {
namespace {

constexpr uint8_t kDriverStatusBits = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                                      VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
                                      VIRTIO_CONFIG_S_FAILED;
constexpr uint64_t kVersion1 = uint64_t{1} << VIRTIO_F_VERSION_1;
constexpr uint64_t kRingReset = uint64_t{1} << VIRTIO_F_RING_RESET;

// The structure with the two fields that Linux 6.1's header lacks. [VIRTIO 1.2 §4.1.4.3]
struct Layout {
  base::Le32 device_feature_select;
  base::Le32 device_feature;
  base::Le32 driver_feature_select;
  base::Le32 driver_feature;
  base::Le16 config_msix_vector;
  base::Le16 num_queues;
  uint8_t device_status;
  uint8_t config_generation;
  base::Le16 queue_select;
  base::Le16 queue_size;
  base::Le16 queue_msix_vector;
  base::Le16 queue_enable;
  base::Le16 queue_notify_off;
  base::Le64 queue_desc;
  base::Le64 queue_driver;
  base::Le64 queue_device;
  base::Le16 queue_notify_data;
  base::Le16 queue_reset;
  base::Le32 padding;
};
static_assert(sizeof(Layout) == CommonConfig::kBytes && base::WireType<Layout>);
static_assert(offsetof(Layout, device_status) == VIRTIO_PCI_COMMON_STATUS);
static_assert(offsetof(Layout, queue_select) == VIRTIO_PCI_COMMON_Q_SELECT);
static_assert(offsetof(Layout, queue_desc) == VIRTIO_PCI_COMMON_Q_DESCLO);
static_assert(offsetof(Layout, queue_reset) == VIRTIO_PCI_COMMON_Q_RESET);

struct Register {
  uint32_t offset;
  uint32_t size;
};
// The registers that a driver can write. A 64-bit address is two registers. [VIRTIO 1.2 §4.1.3.1]
constexpr std::array kWritable = {
    Register{VIRTIO_PCI_COMMON_DFSELECT, 4},  Register{VIRTIO_PCI_COMMON_GFSELECT, 4},
    Register{VIRTIO_PCI_COMMON_GF, 4},        Register{VIRTIO_PCI_COMMON_MSIX, 2},
    Register{VIRTIO_PCI_COMMON_STATUS, 1},    Register{VIRTIO_PCI_COMMON_Q_SELECT, 2},
    Register{VIRTIO_PCI_COMMON_Q_SIZE, 2},    Register{VIRTIO_PCI_COMMON_Q_MSIX, 2},
    Register{VIRTIO_PCI_COMMON_Q_ENABLE, 2},  Register{VIRTIO_PCI_COMMON_Q_DESCLO, 4},
    Register{VIRTIO_PCI_COMMON_Q_DESCHI, 4},  Register{VIRTIO_PCI_COMMON_Q_AVAILLO, 4},
    Register{VIRTIO_PCI_COMMON_Q_AVAILHI, 4}, Register{VIRTIO_PCI_COMMON_Q_USEDLO, 4},
    Register{VIRTIO_PCI_COMMON_Q_USEDHI, 4},  Register{VIRTIO_PCI_COMMON_Q_RESET, 2},
};

// Returns word `select` of `bits` (32 bits), or 0 if there is no such word.
uint32_t FeatureWord(uint64_t bits, uint32_t select) {
  return select < 2 ? static_cast<uint32_t>(bits >> (32 * select)) : 0;
}

void SetLow(uint64_t& value, uint32_t low) { value = (value & ~uint64_t{0xffffffff}) | low; }
void SetHigh(uint64_t& value, uint32_t high) {
  value = (value & 0xffffffff) | (uint64_t{high} << 32);
}

}  // namespace

CommonConfig::CommonConfig(uint64_t features, std::span<const uint16_t> queue_sizes,
                           Interrupts& interrupts, CommonConfigEvents& events)
    : features_(features),
      max_sizes_(queue_sizes.begin(), queue_sizes.end()),
      interrupts_(interrupts),
      events_(events) {
  state_.queues.resize(max_sizes_.size());
  Reset();
}

bool CommonConfig::driver_ok() const {
  return (state_.device_status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;
}

const TransportState::Queue* CommonConfig::Selected() const {
  return state_.queue_select < state_.queues.size() ? &state_.queues[state_.queue_select] : nullptr;
}

void CommonConfig::Read(uint64_t offset, std::span<uint8_t> data) const {
  Layout image = {};
  image.device_feature_select = state_.device_feature_select;
  image.device_feature = FeatureWord(features_, state_.device_feature_select);
  image.driver_feature_select = state_.driver_feature_select;
  image.driver_feature = FeatureWord(state_.driver_features, state_.driver_feature_select);
  image.config_msix_vector = interrupts_.config_vector();
  image.num_queues = static_cast<uint16_t>(state_.queues.size());
  image.device_status = state_.device_status;
  image.config_generation = state_.config_generation;
  image.queue_select = state_.queue_select;
  image.queue_msix_vector = uint16_t{VIRTIO_MSI_NO_VECTOR};
  if (const Queue* queue = Selected()) {
    image.queue_size = queue->addresses.size;
    image.queue_msix_vector = interrupts_.queue_vector(state_.queue_select);
    image.queue_enable = uint16_t{queue->enabled};
    image.queue_notify_off = state_.queue_select;
    image.queue_desc = queue->addresses.descriptor_table;
    image.queue_driver = queue->addresses.driver_area;
    image.queue_device = queue->addresses.device_area;
    image.queue_reset = uint16_t{queue->resetting};
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(&image);
  for (uint8_t& byte : data) {
    byte = offset < kBytes ? bytes[offset] : uint8_t{0};
    ++offset;
  }
}

void CommonConfig::Write(uint64_t offset, std::span<const uint8_t> data) {
  for (const Register& reg : kWritable) {
    if (reg.offset < offset || reg.offset + reg.size > offset + data.size()) continue;
    uint32_t value = 0;
    memcpy(&value, data.data() + (reg.offset - offset), reg.size);
    WriteRegister(reg.offset, value);
  }
}

void CommonConfig::WriteRegister(uint32_t offset, uint32_t value) {
  if (offset == VIRTIO_PCI_COMMON_STATUS) return WriteStatus(static_cast<uint8_t>(value));
  // The driver has to wait for device_status to read 0. [VIRTIO 1.2 §4.1.4.3.2]
  if (state_.resetting) return;
  switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
      state_.device_feature_select = value;
      break;
    case VIRTIO_PCI_COMMON_GFSELECT:
      state_.driver_feature_select = value;
      break;
    case VIRTIO_PCI_COMMON_GF:
      WriteDriverFeature(value);
      break;
    case VIRTIO_PCI_COMMON_MSIX:
      interrupts_.SetConfigVector(static_cast<uint16_t>(value));
      break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
      state_.queue_select = static_cast<uint16_t>(value);
      break;
    default:
      WriteQueueRegister(offset, value);
  }
}

void CommonConfig::WriteStatus(uint8_t value) {
  if (value == 0) return events_.OnReset();
  if (state_.resetting) return;
  // A driver must not clear bits, so bits are only added. [VIRTIO 1.2 §2.1.1]
  uint8_t added = static_cast<uint8_t>(value & kDriverStatusBits & ~state_.device_status);
  if ((added & VIRTIO_CONFIG_S_FEATURES_OK) != 0) {
    const bool acceptable =
        (state_.driver_features & ~features_) == 0 && (state_.driver_features & kVersion1) != 0;
    if (!acceptable) added &= static_cast<uint8_t>(~VIRTIO_CONFIG_S_FEATURES_OK);
  }
  if (((state_.device_status | added) & VIRTIO_CONFIG_S_FEATURES_OK) == 0) {
    added &= static_cast<uint8_t>(~VIRTIO_CONFIG_S_DRIVER_OK);
  }
  state_.device_status |= added;
  if ((added & VIRTIO_CONFIG_S_DRIVER_OK) != 0) events_.OnDriverOk();
}

void CommonConfig::WriteDriverFeature(uint32_t value) {
  if ((state_.device_status & VIRTIO_CONFIG_S_FEATURES_OK) != 0) return;
  if (state_.driver_feature_select == 0) SetLow(state_.driver_features, value);
  if (state_.driver_feature_select == 1) SetHigh(state_.driver_features, value);
}

void CommonConfig::WriteQueueRegister(uint32_t offset, uint32_t value) {
  if (Selected() == nullptr) return;
  const uint16_t index = state_.queue_select;
  Queue& queue = state_.queues[index];
  switch (offset) {
    case VIRTIO_PCI_COMMON_Q_MSIX:
      return interrupts_.SetQueueVector(index, static_cast<uint16_t>(value));
    case VIRTIO_PCI_COMMON_Q_ENABLE:
      if (value == 1) EnableQueue(queue);  // a driver cannot disable a queue this way
      return;
    case VIRTIO_PCI_COMMON_Q_RESET:
      if (value == 1) StartQueueReset(queue);
      return;
    default:
      break;
  }
  if (queue.enabled || queue.resetting) return;  // the queue's configuration is in use
  switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
      if (std::has_single_bit(value) && value <= max_sizes_[index]) {
        queue.addresses.size = static_cast<uint16_t>(value);
      }
      break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
      SetLow(queue.addresses.descriptor_table, value);
      break;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
      SetHigh(queue.addresses.descriptor_table, value);
      break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
      SetLow(queue.addresses.driver_area, value);
      break;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
      SetHigh(queue.addresses.driver_area, value);
      break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
      SetLow(queue.addresses.device_area, value);
      break;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
      SetHigh(queue.addresses.device_area, value);
      break;
    default:
      break;
  }
}

void CommonConfig::EnableQueue(Queue& queue) {
  if (queue.enabled || queue.resetting || queue.addresses.size == 0) return;
  queue.enabled = true;
  if (driver_ok()) events_.OnQueueEnabled(state_.queue_select);
}

void CommonConfig::StartQueueReset(Queue& queue) {
  const bool negotiated = (state_.device_status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 &&
                          (state_.driver_features & kRingReset) != 0;
  if (!negotiated || queue.resetting) return;
  queue.resetting = true;
  events_.OnQueueReset(state_.queue_select);
}

void CommonConfig::ResetQueue(uint16_t index) {
  state_.queues[index] = {};
  state_.queues[index].addresses.size = max_sizes_[index];
  interrupts_.SetQueueVector(index, VIRTIO_MSI_NO_VECTOR);
}

void CommonConfig::Reset() {
  const uint8_t generation = state_.config_generation;
  state_ = {.config_generation = generation, .queues = std::move(state_.queues)};
  for (uint16_t i = 0; i < state_.queues.size(); ++i) ResetQueue(i);
  interrupts_.Reset();
}

}  // namespace virtio
