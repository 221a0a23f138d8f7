#include "virtio/transport/pci_transport.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/status.h"

namespace virtio {
namespace {

constexpr uint64_t kTransportFeatures =
    FeatureBit(VIRTIO_F_VERSION_1) | FeatureBit(VIRTIO_F_RING_RESET);

uint64_t OfferedFeatures(const Device& device, const PciTransport::Options& options) {
  return ((device.features() | kTransportFeatures) & options.features_mask) |
         FeatureBit(VIRTIO_F_VERSION_1);
}

// One vector for each queue and one for configuration changes.
uint16_t VectorCount(Device& device) {
  return static_cast<uint16_t>(device.queue_sizes().size() + 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PciTransport>> PciTransport::Create(
    Device& device, const DeviceDoorbells& doorbells, base::GuestMemory& memory,
    devices::PciRoot& root, unsigned slot, devices::MsiController& msi_controller,
    devices::DoorbellMapper& doorbell_mapper, Options options) {
  const size_t queues = device.queue_sizes().size();
  if (queues > kMaxQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat(device.id(), ": ", queues, " queues, at most ", kMaxQueues, " are possible"));
  }
  CHECK(doorbells.count() == queues);
  std::unique_ptr<PciTransport> transport(new PciTransport(
      device, doorbells, memory, root, slot, msi_controller, doorbell_mapper, options));
  const PciLayout layout = MakePciLayout(device, transport->msix_);
  transport->window_capability_ = layout.window_capability;
  // Before a guest can see the function: from then on the device changes its configuration under
  // the lock that the guest's reads take.
  device.Attach(*transport);
  RETURN_IF_ERROR(root.Add(slot, layout.spec, *transport));
  return transport;
}

PciTransport::PciTransport(Device& device, const DeviceDoorbells& doorbells,
                           base::GuestMemory& memory, devices::PciRoot& root, unsigned slot,
                           devices::MsiController& msi_controller,
                           devices::DoorbellMapper& doorbell_mapper, const Options& options)
    : device_(device),
      memory_(memory),
      root_(root),
      slot_(slot),
      memory_mapper_(options.memory_mapper),
      msix_(msi_controller, VectorCount(device), device.id()),
      interrupts_(msix_, static_cast<uint16_t>(device.queue_sizes().size()),
                  [this](bool asserted) { root_.SetInterruptStatus(slot_, asserted); }),
      device_doorbells_(doorbells),
      doorbells_(doorbell_mapper, device.id(), doorbells),
      runner_(device),
      config_(OfferedFeatures(device, options), device.queue_sizes(), interrupts_, *this) {}

PciTransport::~PciTransport() {
  root_.Remove(slot_, *this);
  device_.Detach(*this);
}

void PciTransport::ReadBar(unsigned bar, uint64_t offset, std::span<uint8_t> data) {
  std::fill(data.begin(), data.end(), uint8_t{0});
  if (bar != kRegisterBar) return;  // the shared memory is not mapped
  if (offset >= kMsixPbaOffset) return msix_.ReadPba(offset - kMsixPbaOffset, data);
  if (offset >= kMsixTableOffset) return msix_.ReadTable(offset - kMsixTableOffset, data);
  if (offset >= kNotifyOffset) return;
  if (offset >= kDeviceConfigOffset) return ReadDeviceConfig(offset - kDeviceConfigOffset, data);
  if (offset >= kIsrOffset) {
    if (offset == kIsrOffset) data[0] = interrupts_.ReadIsr();
    return;
  }
  ReadCommon(offset, data);
}

void PciTransport::WriteBar(unsigned bar, uint64_t offset, std::span<const uint8_t> data) {
  if (bar != kRegisterBar || offset >= kMsixPbaOffset) return;
  if (offset >= kMsixTableOffset) return msix_.WriteTable(offset - kMsixTableOffset, data);
  if (offset >= kNotifyOffset) return WriteNotify(offset - kNotifyOffset);
  if (offset >= kDeviceConfigOffset) return WriteDeviceConfig(offset - kDeviceConfigOffset, data);
  if (offset >= kIsrOffset) return;
  WriteCommon(offset, data);
}

void PciTransport::OnBarMoved(unsigned bar, std::optional<uint64_t> address) {
  if (bar == kSharedMemoryBar) return MoveSharedMemory(address);
  if (bar != kRegisterBar) return;
  doorbells_.Move(address ? std::optional(*address + kNotifyOffset) : std::nullopt);
}

void PciTransport::MoveSharedMemory(std::optional<uint64_t> address) {
  shared_memory_failed_ = false;
  for (const SharedMemoryRegion& region : device_.shared_memory()) {
    if (region.host == nullptr || memory_mapper_ == nullptr) continue;
    if (shared_memory_address_) {
      memory_.MoveWindow(region.host, std::nullopt);
      memory_mapper_->UnmapMemory(*shared_memory_address_ + region.offset);
    }
    if (!address) continue;
    const uint64_t start = *address + region.offset;
    if (const absl::Status status =
            memory_mapper_->MapReadOnly(start, {region.host, region.length});
        !status.ok()) {
      LOG_LIMITED(Warning, 10, device_.id())
          << device_.id() << ": the guest has no shared memory: " << status.message();
      shared_memory_failed_ = true;
      continue;
    }
    memory_.MoveWindow(region.host, start);
  }
  shared_memory_address_ = address;
}

void PciTransport::ReadCommon(uint64_t offset, std::span<uint8_t> data) {
  base::MutexLock lock(mutex_);
  UpdateGeneration();
  config_.Read(offset, data);
}

void PciTransport::WriteCommon(uint64_t offset, std::span<const uint8_t> data) {
  bool notify;
  {
    base::MutexLock lock(mutex_);
    config_.Write(offset, data);
    notify = std::exchange(notify_config_, false);
  }
  if (notify) interrupts_.NotifyConfig();
}

void PciTransport::ReadDeviceConfig(uint64_t offset, std::span<uint8_t> data) {
  base::MutexLock lock(mutex_);
  const uint32_t size = device_.config_size();
  if (offset < size) {
    device_.ReadConfig(static_cast<uint32_t>(offset),
                       data.first(std::min<uint64_t>(data.size(), size - offset)));
  }
  // Update after the read: a driver that has seen a new value must also see a new generation.
  UpdateGeneration();
}

void PciTransport::WriteDeviceConfig(uint64_t offset, std::span<const uint8_t> data) {
  base::MutexLock lock(mutex_);
  const uint32_t size = device_.config_size();
  if (offset > size || data.size() > size - offset) return;
  device_.WriteConfig(static_cast<uint32_t>(offset), data);
}

void PciTransport::WriteNotify(uint64_t offset) {
  // The address identifies the queue. The written value repeats the queue's index and is ignored.
  const uint64_t queue = offset / Doorbells::kMultiplier;
  base::MutexLock lock(mutex_);
  if (queue >= config_.state().queues.size()) return;
  if (active_ && config_.state().queues[queue].enabled) {
    doorbells_.Signal(static_cast<uint16_t>(queue));
  }
}

void PciTransport::UpdateGeneration() {
  if (std::exchange(config_changed_, false)) ++config_.state().config_generation;
}

void PciTransport::ChangeConfig(uint64_t features, absl::FunctionRef<void()> change) {
  base::MutexLock lock(mutex_);
  change();
  config_changed_ = true;
  if (!config_.driver_ok()) {
    // Several changes may be owed. Keep only the features common to all of them: one notification
    // too many is harmless.
    config_owed_ = config_owed_.value_or(features) & features;
  } else if (Accepted(features)) {
    interrupts_.NotifyConfig();
  }
}

void PciTransport::NeedsReset(absl::string_view why) {
  {
    base::MutexLock lock(mutex_);
    if (!active_ || config_.state().resetting)
      return;  // the device is being reset or has been reset
    SetNeedsReset(why);
    notify_config_ = false;
  }
  interrupts_.NotifyConfig();
}

void PciTransport::SetNeedsReset(absl::string_view why) {
  LOG_LIMITED(Warning, 10, device_.id())
      << device_.id() << ": needs a reset by its driver: " << why;
  config_.state().device_status |= VIRTIO_CONFIG_S_NEEDS_RESET;
  notify_config_ |= config_.driver_ok();
}

std::optional<EnabledQueue> PciTransport::MakeQueue(uint16_t queue) {
  QueueError error = QueueError::kNone;
  std::unique_ptr<SplitQueue> ring =
      SplitQueue::Create(memory_, config_.state().queues[queue].addresses,
                         RingFeatures::Of(config_.state().driver_features), error);
  if (ring == nullptr) {
    SetNeedsReset(absl::StrCat("queue ", queue, ": ", ToString(error)));
    return std::nullopt;
  }
  return EnabledQueue{queue, std::move(ring), device_doorbells_.file(queue),
                      device_doorbells_.fd(queue)};
}

void PciTransport::OnDriverOk() {
  if (config_owed_ && Accepted(*config_owed_)) notify_config_ = true;
  config_owed_.reset();
  // The driver would take the zeros that it reads for the device's shared memory.
  if (shared_memory_failed_) return SetNeedsReset("the host could not map its shared memory");
  std::vector<EnabledQueue> queues;
  const auto queue_count = static_cast<uint16_t>(config_.state().queues.size());
  for (uint16_t i = 0; i < queue_count; ++i) {
    if (!config_.state().queues[i].enabled) continue;
    std::optional<EnabledQueue> queue = MakeQueue(i);
    if (!queue) return;  // a device with a broken queue does not start at all
    queues.push_back(*std::move(queue));
  }
  for (const EnabledQueue& queue : queues) doorbells_.Enable(queue.index);
  active_ = true;
  device_.loop().Post(
      [this, features = config_.state().driver_features, started = std::move(queues)]() mutable {
        runner_.Activate(features, *this, std::move(started));
      });
}

void PciTransport::OnQueueEnabled(uint16_t index) {
  if (!active_) return;
  std::optional<EnabledQueue> queue = MakeQueue(index);
  if (!queue) return;
  doorbells_.Enable(index);
  device_.loop().Post(
      [this, started = *std::move(queue)]() mutable { runner_.StartQueue(std::move(started)); });
}

void PciTransport::OnQueueReset(uint16_t queue) {
  if (!active_) return config_.ResetQueue(queue);
  device_.loop().Post(
      [this, queue] { runner_.StopQueue(queue, [this, queue] { FinishQueueReset(queue); }); });
}

void PciTransport::FinishQueueReset(uint16_t queue) {
  base::MutexLock lock(mutex_);
  config_.ResetQueue(queue);
}

void PciTransport::OnReset() {
  if (config_.state().resetting) return;
  if (!active_) return ResetRegisters();
  config_.state().resetting = true;
  device_.loop().Post([this] { runner_.Shutdown([this] { FinishReset(); }); });
}

void PciTransport::ResetRegisters() {
  config_.Reset();
  config_owed_.reset();  // the driver starts over and reads the configuration again
}

void PciTransport::FinishReset() {
  std::vector<Done> waiters;
  {
    base::MutexLock lock(mutex_);
    ResetRegisters();
    active_ = false;
    waiters.swap(reset_done_);
  }
  for (Done& done : waiters) done();
}

void PciTransport::Reset(Done done) {
  auto finish = [this, done = std::move(done)]() mutable {
    doorbells_.DisableAll();
    msix_.Reset();
    done();
  };
  {
    base::MutexLock lock(mutex_);
    OnReset();
    if (active_) {
      reset_done_.push_back(std::move(finish));
      return;
    }
  }
  finish();
}

std::optional<PciTransport::ConfigWindow> PciTransport::Window() {
  const uint32_t bar =
      root_.LoadConfig(slot_, window_capability_ + uint32_t{VIRTIO_PCI_CAP_BAR}) & 0xff;
  const ConfigWindow window = {
      .offset = root_.LoadConfig(slot_, window_capability_ + uint32_t{VIRTIO_PCI_CAP_OFFSET}),
      .length = root_.LoadConfig(slot_, window_capability_ + uint32_t{VIRTIO_PCI_CAP_LENGTH}),
  };
  const bool valid = bar == kRegisterBar &&
                     (window.length == 1 || window.length == 2 || window.length == 4) &&
                     window.offset % window.length == 0 && window.offset < kRegisterBarBytes;
  return valid ? std::optional(window) : std::nullopt;
}

void PciTransport::BeforeConfigRead(uint32_t offset, size_t size) {
  const uint32_t data_offset = window_capability_ + uint32_t{sizeof(virtio_pci_cap)};
  if (offset >= data_offset + 4 || offset + size <= data_offset) return;
  const std::optional<ConfigWindow> window = Window();
  if (!window) return;
  const uint32_t old = root_.LoadConfig(slot_, data_offset);
  std::array<uint8_t, 4> bytes;
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<uint8_t>(old >> (8 * i));
  ReadBar(kRegisterBar, window->offset, std::span(bytes).first(window->length));
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= uint32_t{bytes[i]} << (8 * i);
  root_.StoreConfig(slot_, data_offset, value);
}

void PciTransport::AfterConfigWrite(uint32_t offset, size_t size) {
  // The guest may have switched MSI-X on or off.
  interrupts_.UpdateInterruptStatus();

  const uint32_t data_offset = window_capability_ + uint32_t{sizeof(virtio_pci_cap)};
  if (offset >= data_offset + 4 || offset + size <= window_capability_) return;
  const std::optional<ConfigWindow> window = Window();
  if (!window) return;
  // From now on every read of pci_cfg_data must cause an exit. Only firmware uses the window.
  root_.DisableFastReads();
  if (offset + size <= data_offset) return;
  const uint32_t value = root_.LoadConfig(slot_, data_offset);
  std::array<uint8_t, 4> bytes;
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  WriteBar(kRegisterBar, window->offset, std::span(bytes).first(window->length));
}

}  // namespace virtio
