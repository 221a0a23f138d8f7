// The common configuration structure: the driver's side of device life. [VIRTIO 1.2 §4.1.4.3]
#ifndef VIRTIO_TRANSPORT_COMMON_CONFIG_H_
#define VIRTIO_TRANSPORT_COMMON_CONFIG_H_

#include <cstdint>
#include <span>
#include <vector>

#include "virtio/queue/split_queue.h"
#include "virtio/transport/interrupts.h"

namespace virtio {

// Everything the driver can set but interrupt vectors, which Interrupts keeps.
struct TransportState {
  struct Queue {
    QueueAddresses addresses;
    bool enabled = false;
    bool resetting = false;
    friend bool operator==(const Queue& a, const Queue& b) {
      return a.addresses.size == b.addresses.size &&
             a.addresses.descriptor_table == b.addresses.descriptor_table &&
             a.addresses.driver_area == b.addresses.driver_area &&
             a.addresses.device_area == b.addresses.device_area && a.enabled == b.enabled &&
             a.resetting == b.resetting;
    }
  };

  uint8_t device_status = 0;
  bool resetting = false;  // 0 was written to device_status and the device has not quiesced yet
  uint8_t config_generation = 0;
  uint32_t device_feature_select = 0;
  uint32_t driver_feature_select = 0;
  uint64_t driver_features = 0;
  uint16_t queue_select = 0;
  std::vector<Queue> queues;
};

// What the registers ask of the rest. Called from within CommonConfig::Write.
class CommonConfigEvents {
 public:
  // 0 was written to device_status; the state is unchanged. The receiver calls CommonConfig::Reset
  // at once, or sets `resetting` and does so later.
  virtual void OnReset() = 0;
  // DRIVER_OK has been set.
  virtual void OnDriverOk() = 0;
  // A queue has been enabled after DRIVER_OK.
  virtual void OnQueueEnabled(uint16_t queue) = 0;
  // `resetting` of the queue has been set. The receiver calls CommonConfig::ResetQueue now or
  // later.
  virtual void OnQueueReset(uint16_t queue) = 0;

 protected:
  ~CommonConfigEvents() = default;
};

// Not locked: the transport's lock covers it.
class CommonConfig {
 public:
  static constexpr uint32_t kBytes = 64;

  // `features`: all that is offered. `queue_sizes`: the maximum of each.
  CommonConfig(uint64_t features, std::span<const uint16_t> queue_sizes, Interrupts& interrupts,
               CommonConfigEvents& events);

  // Any offset and size; beyond the end reads are 0 and writes are dropped.
  void Read(uint64_t offset, std::span<uint8_t> data) const;
  // Registers that `data` covers wholly are written in ascending order, the others are left alone.
  // (A driver has to use each register's own width; wider accesses do no harm.)
  void Write(uint64_t offset, std::span<const uint8_t> data);

  // Back to power-on, but for config_generation: it must not repeat itself to a driver that reads
  // it across a reset.
  void Reset();
  void ResetQueue(uint16_t queue);

  TransportState& state() { return state_; }
  const TransportState& state() const { return state_; }
  uint64_t features() const { return features_; }
  bool driver_ok() const;

 private:
  using Queue = TransportState::Queue;

  void WriteRegister(uint32_t offset, uint32_t value);
  void WriteStatus(uint8_t value);
  void WriteDriverFeature(uint32_t value);
  void WriteQueueRegister(uint32_t offset, uint32_t value);
  void EnableQueue(Queue& queue);
  void StartQueueReset(Queue& queue);
  // The selected queue, or nullptr.
  const Queue* Selected() const;

  const uint64_t features_;
  const std::vector<uint16_t> max_sizes_;
  Interrupts& interrupts_;
  CommonConfigEvents& events_;
  TransportState state_;
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_COMMON_CONFIG_H_
