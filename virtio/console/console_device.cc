#include "virtio/console/console_device.h"

#include <linux/virtio_ids.h>

#include <array>
#include <cstddef>
#include <utility>

#include "virtio/console/console_wire.h"

namespace virtio {
namespace {

constexpr std::array<uint16_t, kConsoleQueueCount> kQueueSizes = {kConsoleQueueSize,
                                                                  kConsoleQueueSize};
constexpr uint64_t kFeatureSize = uint64_t{1} << VIRTIO_CONSOLE_F_SIZE;
constexpr uint64_t kFeatureEmergencyWrite = uint64_t{1} << VIRTIO_CONSOLE_F_EMERG_WRITE;

}  // namespace

ConsoleDevice::ConsoleDevice(Options options, base::EventLoop& loop, base::GuestMemory& memory,
                             devices::CharacterBackend& backend)
    : options_(std::move(options)),
      loop_(loop),
      backend_(backend),
      receive_(loop, memory, backend),
      transmit_(loop, memory, backend) {
  backend_.SetClient(this);
}

ConsoleDevice::~ConsoleDevice() { backend_.SetClient(nullptr); }

uint16_t ConsoleDevice::type() const { return VIRTIO_ID_CONSOLE; }

uint64_t ConsoleDevice::features() const {
  return (kRingFeatures | kFeatureSize | kFeatureEmergencyWrite) & options_.features_mask;
}

std::span<const uint16_t> ConsoleDevice::queue_sizes() const { return kQueueSizes; }

uint32_t ConsoleDevice::config_size() const { return sizeof(ConsoleConfig); }

void ConsoleDevice::ReadConfig(uint32_t offset, std::span<uint8_t> to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&config_);
  for (size_t i = 0; i < to.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    to[i] = at < sizeof(config_) ? bytes[at] : uint8_t{0};
  }
}

void ConsoleDevice::WriteConfig(uint32_t offset, std::span<const uint8_t> from) {
  // The lower byte of a write to emerg_wr is output, whatever state the device is in.
  // [VIRTIO 1.2 §5.3.5.1]
  if ((features() & kFeatureEmergencyWrite) == 0 || from.empty()) return;
  if (offset != offsetof(ConsoleConfig, emergency_write)) return;
  backend_.Write(from.first(1));
  emergency_bytes_.fetch_add(1, std::memory_order_relaxed);
}

void ConsoleDevice::Activate(uint64_t /*features*/, DriverNotifier& notifier) {
  notifier_ = &notifier;
}

void ConsoleDevice::StartQueue(QueueStart queue_start) {
  DeviceQueue* target = queue(queue_start.index);
  if (target == nullptr || notifier_ == nullptr) return;
  target->StartServing(std::move(queue_start), *notifier_);
}

void ConsoleDevice::StopQueue(uint16_t index, Done done) {
  DeviceQueue* target = queue(index);
  if (target == nullptr || !target->started()) return done();
  target->Stop(std::move(done));
}

void ConsoleDevice::Deactivate() { notifier_ = nullptr; }

void ConsoleDevice::Pause(Done done) {
  receive_.Pause([this, done = std::move(done)]() mutable { transmit_.Pause(std::move(done)); });
}

void ConsoleDevice::Resume() {
  transmit_.Resume();
  receive_.Resume();
}

Counters ConsoleDevice::counters() const {
  return {
      {"rx_bytes", receive_.delivered_bytes()},
      {"rx_pending_bytes", receive_.pending_bytes()},
      {"tx_bytes", transmit_.written_bytes() + emergency_bytes_.load(std::memory_order_relaxed)},
      {"dropped_bytes", backend_.dropped_bytes()},
      {"removed_bytes", backend_.removed_bytes()}};
}

size_t ConsoleDevice::OnInput(std::span<const uint8_t> bytes) { return receive_.Input(bytes); }

void ConsoleDevice::OnResize(uint16_t columns, uint16_t rows) {
  if (config_.columns.value() == columns && config_.rows.value() == rows) return;
  ChangeConfig(kFeatureSize, [&] {
    config_.columns = columns;
    config_.rows = rows;
  });
}

DeviceQueue* ConsoleDevice::queue(uint16_t index) {
  if (index == kConsoleReceiveQueue) return &receive_;
  if (index == kConsoleTransmitQueue) return &transmit_;
  return nullptr;
}

}  // namespace virtio
