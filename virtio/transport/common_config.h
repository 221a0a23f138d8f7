// The common configuration structure, by which the driver controls the device. [VIRTIO 1.2
// §4.1.4.3]
#ifndef VIRTIO_TRANSPORT_COMMON_CONFIG_H_
#define VIRTIO_TRANSPORT_COMMON_CONFIG_H_

#include <cstdint>
#include <span>
#include <vector>

#include "virtio/queue/split_queue.h"
#include "virtio/transport/interrupts.h"

namespace virtio {

// All values that the driver can set, except the interrupt vectors, which Interrupts keeps.
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
  bool resetting = false;  // the driver wrote 0 to device_status; the device has not quiesced yet
  uint8_t config_generation = 0;
  uint32_t device_feature_select = 0;
  uint32_t driver_feature_select = 0;
  uint64_t driver_features = 0;
  uint16_t queue_select = 0;
  std::vector<Queue> queues;
};

// What the transport must do after writes to registers. Called from within CommonConfig::Write.
class CommonConfigEvents {
 public:
  // The driver has written 0 to device_status; the state is unchanged. The transport calls
  // CommonConfig::Reset at once, or sets `resetting` and calls it later.
  virtual void OnReset() = 0;
  // The driver has set DRIVER_OK.
  virtual void OnDriverOk() = 0;
  // The driver has enabled a queue after DRIVER_OK.
  virtual void OnQueueEnabled(uint16_t queue) = 0;
  // `resetting` of the queue has been set. The transport calls CommonConfig::ResetQueue now or
  // later.
  virtual void OnQueueReset(uint16_t queue) = 0;

 protected:
  ~CommonConfigEvents() = default;
};

// Has no lock of its own: call it under the transport's lock.
class CommonConfig {
 public:
  static constexpr uint32_t kBytes = 64;

  // `features`: all features that are offered. `queue_sizes`: the maximum size of each queue.
  CommonConfig(uint64_t features, std::span<const uint16_t> queue_sizes, Interrupts& interrupts,
               CommonConfigEvents& events);

  // Reads at any offset, with any size. Bytes beyond the end read as 0.
  void Read(uint64_t offset, std::span<uint8_t> data) const;
  // Writes at any offset, with any size. Each register that `data` covers completely is written, in
  // ascending order; all other bytes are dropped. (A driver has to use each register's own width;
  // wider accesses do no harm.)
  void Write(uint64_t offset, std::span<const uint8_t> data);

  // Restores the state of power-on, except for config_generation: a driver that reads it before and
  // after a reset must not find the same value for different configurations.
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
  // Returns the selected queue, or nullptr if it does not exist.
  const Queue* Selected() const;

  const uint64_t features_;
  const std::vector<uint16_t> max_sizes_;
  Interrupts& interrupts_;
  CommonConfigEvents& events_;
  TransportState state_;
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_COMMON_CONFIG_H_
