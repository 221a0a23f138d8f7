// Compares what a guest finds on the bus with tests/golden/pci_config.txt. UPDATE_GOLDEN=1 in the
// environment rewrites the file; look at the difference before committing it.
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/endian.h"
#include "devices/pci/host_bridge.h"
#include "devices/pci/pvpanic.h"
#include "tests/fakes/fake_event_loop.h"
#include "tests/fakes/fake_interrupts.h"
#include "virtio/transport/pci_transport.h"
#include "virtio/transport/testing/device_fixtures.h"

namespace virtio {
namespace {

class Dump {
 public:
  Dump(devices::PciRoot& root, unsigned slot) : root_(root), slot_(slot) {}

  std::string Text() {
    absl::StrAppendFormat(&text_, "00:%02x.0 %04x:%04x class %06x rev %02x subsystem %04x:%04x\n",
                          slot_, Read16(PCI_VENDOR_ID), Read16(PCI_DEVICE_ID),
                          Read32(PCI_CLASS_REVISION) >> 8, Read32(PCI_CLASS_REVISION) & 0xff,
                          Read16(PCI_SUBSYSTEM_VENDOR_ID), Read16(PCI_SUBSYSTEM_ID));
    absl::StrAppendFormat(&text_, "  command %04x status %04x header %02x interrupt pin %d\n",
                          Read16(PCI_COMMAND), Read16(PCI_STATUS), Read8(PCI_HEADER_TYPE),
                          Read8(PCI_INTERRUPT_PIN));
    Bars();
    if ((Read16(PCI_STATUS) & PCI_STATUS_CAP_LIST) != 0) Capabilities();
    Hex();
    return text_;
  }

 private:
  template <typename T>
  T Read(uint32_t offset) {
    std::array<uint8_t, sizeof(T)> bytes;
    root_.Read(slot_ * devices::PciRoot::kSlotBytes + offset, bytes);
    return std::bit_cast<T>(bytes);
  }
  uint8_t Read8(uint32_t offset) { return Read<uint8_t>(offset); }
  uint16_t Read16(uint32_t offset) { return Read<uint16_t>(offset); }
  uint32_t Read32(uint32_t offset) { return Read<uint32_t>(offset); }

  void Bars() {
    for (uint32_t i = 0; i < 6; ++i) {
      const uint64_t value = Read32(PCI_BASE_ADDRESS_0 + i * 4);
      if (value == 0) continue;
      const bool wide = (value & PCI_BASE_ADDRESS_MEM_TYPE_64) != 0;
      const uint64_t high = wide ? Read32(PCI_BASE_ADDRESS_0 + i * 4 + 4) : 0;
      absl::StrAppendFormat(&text_, "  BAR %d: %d-bit%s memory at %#x\n", i, wide ? 64 : 32,
                            (value & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0 ? " prefetchable" : "",
                            (value & ~uint64_t{0xf}) | high << 32);
      if (wide) ++i;
    }
  }

  void Capabilities() {
    for (uint32_t at = Read8(PCI_CAPABILITY_LIST); at != 0; at = Read8(at + PCI_CAP_LIST_NEXT)) {
      absl::StrAppendFormat(&text_, "  capability %02x: ", at);
      if (Read8(at) == PCI_CAP_ID_MSIX) {
        absl::StrAppendFormat(
            &text_, "MSI-X, %d vectors, table at BAR %d + %#x, pending bits at BAR %d + %#x\n",
            (Read16(at + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1,
            Read32(at + PCI_MSIX_TABLE) & 7, Read32(at + PCI_MSIX_TABLE) & ~7u,
            Read32(at + PCI_MSIX_PBA) & 7, Read32(at + PCI_MSIX_PBA) & ~7u);
        continue;
      }
      const uint8_t type = Read8(at + VIRTIO_PCI_CAP_CFG_TYPE);
      absl::StrAppendFormat(&text_, "virtio %s, BAR %d + %#x, length %#x", Name(type),
                            Read8(at + VIRTIO_PCI_CAP_BAR), Read32(at + VIRTIO_PCI_CAP_OFFSET),
                            Read32(at + VIRTIO_PCI_CAP_LENGTH));
      if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
        absl::StrAppendFormat(&text_, ", multiplier %d", Read32(at + VIRTIO_PCI_NOTIFY_CAP_MULT));
      }
      if (type == VIRTIO_PCI_CAP_SHARED_MEMORY_CFG) {
        absl::StrAppendFormat(&text_, ", id %d, high halves %#x %#x", Read8(at + 5),
                              Read32(at + 16), Read32(at + 20));
      }
      text_ += "\n";
    }
  }

  static std::string Name(uint8_t type) {
    switch (type) {
      case VIRTIO_PCI_CAP_COMMON_CFG:
        return "common configuration";
      case VIRTIO_PCI_CAP_NOTIFY_CFG:
        return "notifications";
      case VIRTIO_PCI_CAP_ISR_CFG:
        return "ISR status";
      case VIRTIO_PCI_CAP_DEVICE_CFG:
        return "device configuration";
      case VIRTIO_PCI_CAP_PCI_CFG:
        return "configuration access";
      case VIRTIO_PCI_CAP_SHARED_MEMORY_CFG:
        return "shared memory";
      default:
        return absl::StrFormat("type %d", type);
    }
  }

  void Hex() {
    for (uint32_t at = 0; at < 256; at += 16) {
      std::string line = absl::StrFormat("  %02x:", at);
      bool empty = true;
      for (uint32_t i = 0; i < 16; ++i) {
        empty = empty && Read8(at + i) == 0;
        absl::StrAppendFormat(&line, " %02x", Read8(at + i));
      }
      if (!empty) text_ += line + "\n";
    }
    text_ += "\n";
  }

  devices::PciRoot& root_;
  const unsigned slot_;
  std::string text_;
};

TEST(PciGolden, ConfigurationSpace) {
  base::FakeEventLoop loop;
  devices::Bus mmio;
  devices::FakeMsiController msi;
  devices::FakeDoorbellMapper doorbells;
  const auto memory = *base::GuestMemory::Create({.thp = false}, {{0, 1 << 20, nullptr}});
  const auto root =
      *devices::PciRoot::Create(mmio, {.window_32bit = {0xc000'0000, 0x2000'0000},
                                       .window_64bit = {uint64_t{1} << 38, uint64_t{1} << 38}});
  FakeDevice block(loop, {.type = VIRTIO_ID_BLOCK, .queue_sizes = {128}, .config_bytes = 96});
  FakeDevice console(loop, {.type = VIRTIO_ID_CONSOLE, .config_bytes = 12});
  FakeDevice entropy(loop, {.type = VIRTIO_ID_RNG, .queue_sizes = {64}, .config_bytes = 0});
  FakeDevice share(loop, {.type = VIRTIO_ID_FS,
                          .config_bytes = 44,
                          .shared_memory = {{.id = 0, .offset = 0, .length = uint64_t{8} << 30}}});

  devices::HostBridge bridge;
  ASSERT_TRUE(bridge.AddTo(*root).ok());
  std::vector<std::unique_ptr<DeviceDoorbells>> device_doorbells;
  const auto make = [&](FakeDevice& device, unsigned slot, PciTransport::Options options) {
    device_doorbells.push_back(*DeviceDoorbells::Create(device));
    return *PciTransport::Create(device, *device_doorbells.back(), *memory, *root, slot, msi,
                                 doorbells, std::move(options));
  };
  const auto block_transport = make(block, 1, {});
  const auto console_transport = make(console, 2, {});
  const auto entropy_transport = make(entropy, 3, {});
  const auto share_transport = make(share, 4, {});
  const auto pvpanic = *devices::Pvpanic::Create(*root, 5, [](uint8_t) {});

  std::string text;
  for (unsigned slot = 0; slot < 6; ++slot) text += Dump(*root, slot).Text();

  const std::string path = VMM_SOURCE_DIR "/tests/golden/pci_config.txt";
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, golden) << "UPDATE_GOLDEN=1 rewrites " << path;
}

}  // namespace
}  // namespace virtio
