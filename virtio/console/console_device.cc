#include "virtio/console/console_device.h"

#include <linux/virtio_ids.h>

#include <cstddef>
#include <span>
#include <utility>

#include "virtio/console/console_wire.h"

namespace virtio {
namespace {

constexpr uint64_t kFeatureSize = FeatureBit(VIRTIO_CONSOLE_F_SIZE);
constexpr uint64_t kFeatureEmergencyWrite = FeatureBit(VIRTIO_CONSOLE_F_EMERG_WRITE);

}  // namespace

ConsoleDevice::ConsoleDevice(std::string id, base::EventLoop& loop, base::GuestMemory& memory,
                             devices::CharacterBackend& backend)
    : QueuedDevice({.id = std::move(id),
                    .type = VIRTIO_ID_CONSOLE,
                    .features = kFeatureSize | kFeatureEmergencyWrite},
                   loop),
      backend_(backend),
      receive_(loop, memory, backend),
      transmit_(loop, memory, backend) {
  AddQueue(receive_, kConsoleQueueSize);
  AddQueue(transmit_, kConsoleQueueSize);
  backend_.SetClient(this);
}

ConsoleDevice::~ConsoleDevice() { backend_.SetClient(nullptr); }

void ConsoleDevice::WriteConfig(uint32_t offset, std::span<const uint8_t> from) {
  // The lowest byte of a write to emerg_wr is output, in any state of the device. [VIRTIO 1.2
  // §5.3.5.1]
  if (offset != offsetof(ConsoleConfigSpace, emergency_write) || from.empty()) return;
  backend_.Write(from.first(1));
  emergency_bytes_.fetch_add(1, std::memory_order_relaxed);
}

void ConsoleDevice::AddCounters(Counters& counters) const {
  counters["rx_bytes"] = receive_.delivered_bytes();
  counters["rx_pending_bytes"] = receive_.pending_bytes();
  counters["tx_bytes"] =
      transmit_.written_bytes() + emergency_bytes_.load(std::memory_order_relaxed);
  counters["dropped_bytes"] = backend_.dropped_bytes();
  counters["removed_bytes"] = backend_.removed_bytes();
}

size_t ConsoleDevice::OnInput(std::span<const uint8_t> bytes) { return receive_.Input(bytes); }

void ConsoleDevice::OnResize(uint16_t columns, uint16_t rows) {
  if (config_.columns.value() == columns && config_.rows.value() == rows) return;
  ChangeConfig(kFeatureSize, [&] {
    config_.columns = columns;
    config_.rows = rows;
  });
}

}  // namespace virtio
