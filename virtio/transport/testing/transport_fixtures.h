// A transport on a PCI bus with a fake device behind it, and the accesses that a driver makes.
#ifndef VIRTIO_TRANSPORT_TESTING_TRANSPORT_FIXTURES_H_
#define VIRTIO_TRANSPORT_TESTING_TRANSPORT_FIXTURES_H_

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/guest_memory.h"
#include "base/log.h"
#include "devices/bus.h"
#include "devices/pci/pci_root.h"
#include "tests/fakes/fake_event_loop.h"
#include "tests/fakes/fake_interrupts.h"
#include "virtio/transport/pci_transport.h"
#include "virtio/transport/testing/device_fixtures.h"

namespace virtio {

inline constexpr uint64_t kFeatureVersion1 = uint64_t{1} << VIRTIO_F_VERSION_1;
inline constexpr uint64_t kFeatureRingReset = uint64_t{1} << VIRTIO_F_RING_RESET;
inline constexpr uint8_t kDriverReady = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
inline constexpr uint8_t kFeaturesOk = kDriverReady | VIRTIO_CONFIG_S_FEATURES_OK;
inline constexpr uint8_t kDriverOk = kFeaturesOk | VIRTIO_CONFIG_S_DRIVER_OK;

class TransportHarness {
 public:
  static constexpr uint64_t kRamBytes = 1 << 20;
  static constexpr uint64_t kWindow = 0xc000'0000;
  static constexpr unsigned kSlot = 3;

  explicit TransportHarness(FakeDevice::Options device_options = {},
                            PciTransport::Options options = {})
      : device(loop, std::move(device_options)) {
    auto made_memory = base::GuestMemory::Create({.thp = false}, {{0, kRamBytes, nullptr}});
    CHECK(made_memory.ok());
    memory = *std::move(made_memory);
    auto made_root =
        devices::PciRoot::Create(mmio, {.window_32bit = {kWindow, 0x1000'0000},
                                        .window_64bit = {uint64_t{1} << 36, uint64_t{1} << 36},
                                        .disable_fast_reads = [this] { ++fast_reads_disabled; }});
    CHECK(made_root.ok());
    root = *std::move(made_root);
    auto made_transport =
        PciTransport::Create(device, *doorbells, *memory, *root, kSlot, msi, mapper, options);
    CHECK(made_transport.ok());
    transport = *std::move(made_transport);
  }
  ~TransportHarness() {
    // As in the machine, the device is reset before its transport is destroyed.
    bool reset = false;
    transport->Reset([&reset] { reset = true; });
    while (!reset) {
      loop.RunUntilIdle();
      device.FinishStops();
    }
  }

  // Accesses the configuration space as exits do.
  template <typename T>
  T ReadPci(uint32_t offset) {
    std::array<uint8_t, sizeof(T)> bytes = {};
    root->Read(kSlot * devices::PciRoot::kSlotBytes + offset, bytes);
    return std::bit_cast<T>(bytes);
  }
  template <typename T>
  void WritePci(uint32_t offset, T value) {
    root->Write(kSlot * devices::PciRoot::kSlotBytes + offset,
                std::bit_cast<std::array<uint8_t, sizeof(T)>>(value));
  }
  // Returns the offset of the virtio capability of `type`, or 0 if there is none.
  uint32_t FindCapability(uint8_t type) {
    for (uint32_t at = ReadPci<uint8_t>(PCI_CAPABILITY_LIST); at != 0;
         at = ReadPci<uint8_t>(at + PCI_CAP_LIST_NEXT)) {
      if (ReadPci<uint8_t>(at) == PCI_CAP_ID_VNDR &&
          ReadPci<uint8_t>(at + VIRTIO_PCI_CAP_CFG_TYPE) == type) {
        return at;
      }
    }
    return 0;
  }
  uint32_t FindMsix() {
    uint32_t at = ReadPci<uint8_t>(PCI_CAPABILITY_LIST);
    while (at != 0 && ReadPci<uint8_t>(at) != PCI_CAP_ID_MSIX) at = ReadPci<uint8_t>(at + 1);
    return at;
  }
  uint64_t BarAddress() { return ReadPci<uint32_t>(PCI_BASE_ADDRESS_0) & ~0xfu; }
  void EnableMemory() { WritePci<uint16_t>(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER); }
  void SetMsix(uint16_t flags) { WritePci<uint16_t>(FindMsix() + PCI_MSIX_FLAGS, flags); }
  // Gives vector `index` the message (0xfee00000, `data`) and unmasks it.
  void SetVector(uint16_t index, uint32_t data) {
    const uint32_t entry = kMsixTableOffset + index * devices::MsixTable::kEntryBytes;
    WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee00000);
    WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_DATA, data);
    WriteBar<uint32_t>(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
  }

  // Accesses BAR 0 through the MMIO bus.
  template <typename T>
  T ReadBar(uint32_t offset) {
    std::array<uint8_t, sizeof(T)> bytes = {};
    mmio.Read(BarAddress() + offset, bytes);
    return std::bit_cast<T>(bytes);
  }
  template <typename T>
  void WriteBar(uint32_t offset, T value) {
    mmio.Write(BarAddress() + offset, std::bit_cast<std::array<uint8_t, sizeof(T)>>(value));
  }
  template <typename T>
  T Common(uint32_t offset) {
    return ReadBar<T>(kCommonOffset + offset);
  }
  template <typename T>
  void SetCommon(uint32_t offset, T value) {
    WriteBar<T>(kCommonOffset + offset, value);
  }
  uint8_t status() { return Common<uint8_t>(VIRTIO_PCI_COMMON_STATUS); }
  void SetStatus(uint8_t value) { SetCommon<uint8_t>(VIRTIO_PCI_COMMON_STATUS, value); }
  void SetDriverFeatures(uint64_t features) {
    for (uint32_t i = 0; i < 2; ++i) {
      SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GFSELECT, i);
      SetCommon<uint32_t>(VIRTIO_PCI_COMMON_GF, static_cast<uint32_t>(features >> (32 * i)));
    }
  }
  uint64_t DeviceFeatures() {
    uint64_t features = 0;
    for (uint32_t i = 0; i < 2; ++i) {
      SetCommon<uint32_t>(VIRTIO_PCI_COMMON_DFSELECT, i);
      features |= uint64_t{Common<uint32_t>(VIRTIO_PCI_COMMON_DF)} << (32 * i);
    }
    return features;
  }
  void SelectQueue(uint16_t queue) { SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT, queue); }
  // Returns the address of the rings of queue `queue`: a valid address in RAM.
  static uint64_t RingAddress(uint16_t queue) { return 0x10000 + uint64_t{queue} * 0x4000; }
  void SetQueueAddresses(uint16_t queue, uint64_t descriptors) {
    SelectQueue(queue);
    SetAddress(VIRTIO_PCI_COMMON_Q_DESCLO, descriptors);
    SetAddress(VIRTIO_PCI_COMMON_Q_AVAILLO, descriptors + 0x2000);
    SetAddress(VIRTIO_PCI_COMMON_Q_USEDLO, descriptors + 0x3000);
  }
  void EnableQueue(uint16_t queue) {
    SetQueueAddresses(queue, RingAddress(queue));
    SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE, 1);
  }
  // Initialises the device as a driver does, including DRIVER_OK. Does not run the loop.
  void Initialise(uint64_t features = kFeatureVersion1 | kFeatureRingReset) {
    EnableMemory();
    SetStatus(kDriverReady);
    SetDriverFeatures(features);
    SetStatus(kFeaturesOk);
    for (uint16_t i = 0; i < device.queue_sizes().size(); ++i) EnableQueue(i);
    SetStatus(kDriverOk);
  }
  // Enables MSI-X. Vector 0 (data 100) is for configuration changes, vector i + 1 (data 101 + i)
  // for queue i.
  void InitialiseMsix() {
    EnableMemory();
    SetMsix(PCI_MSIX_FLAGS_ENABLE);
    SetVector(0, 100);
    SetCommon<uint16_t>(VIRTIO_PCI_COMMON_MSIX, 0);
    for (uint16_t i = 0; i < device.queue_sizes().size(); ++i) {
      SetVector(static_cast<uint16_t>(i + 1), 101u + i);
      SelectQueue(i);
      SetCommon<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX, static_cast<uint16_t>(i + 1));
    }
  }

  base::FakeEventLoop loop{base::FakeEventLoop::Options{.max_files = 2048}};
  devices::Bus mmio;
  devices::FakeMsiController msi;
  devices::FakeDoorbellMapper mapper;
  int fast_reads_disabled = 0;
  FakeDevice device;
  std::unique_ptr<DeviceDoorbells> doorbells = *DeviceDoorbells::Create(device);
  std::unique_ptr<base::GuestMemory> memory;
  std::unique_ptr<devices::PciRoot> root;
  std::unique_ptr<PciTransport> transport;

 private:
  void SetAddress(uint32_t reg, uint64_t address) {
    SetCommon<uint32_t>(reg, static_cast<uint32_t>(address));
    SetCommon<uint32_t>(reg + 4, static_cast<uint32_t>(address >> 32));
  }
};

}  // namespace virtio

#endif  // VIRTIO_TRANSPORT_TESTING_TRANSPORT_FIXTURES_H_
