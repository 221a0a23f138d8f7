// One PCI function as its device describes it, and as the root keeps it. [PCI 3.0 §6.1, §6.2, §6.7]
#ifndef DEVICES_PCI_PCI_FUNCTION_H_
#define DEVICES_PCI_PCI_FUNCTION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/string_view.h"
#include "devices/bus.h"
#include "devices/pci/config_space.h"
#include "devices/pci/msix.h"

namespace devices {

inline constexpr unsigned kPciBars = 6;

// What stands behind a function. Called on vCPU threads, several at once, until PciRoot::Remove has
// returned.
class PciHandler {
 public:
  virtual ~PciHandler() = default;
  // Name for logs, e.g. "_disk0".
  virtual absl::string_view name() const = 0;

  // The guest accesses a BAR: sizes 1, 2, 4 or 8, within the BAR.
  virtual void ReadBar(unsigned bar, uint64_t offset, std::span<uint8_t> data) = 0;
  virtual void WriteBar(unsigned bar, uint64_t offset, std::span<const uint8_t> data) = 0;

  // The BAR now answers at `address`, or nowhere. Under the root's lock: must not call the root. On
  // a vCPU thread, or on the one that removes the function.
  virtual void OnBarMoved(unsigned /*bar*/, std::optional<uint64_t> /*address*/) {}

  // Around accesses to the configuration space, without the root's lock. BeforeConfigRead is not
  // called for reads the guest makes straight from memory.
  virtual void BeforeConfigRead(uint32_t /*offset*/, size_t /*size*/) {}
  virtual void AfterConfigWrite(uint32_t /*offset*/, size_t /*size*/) {}
};

// A function without INTx pin and I/O space, put together before it is given to the root.
struct PciFunctionSpec {
  struct Bar {
    uint64_t size = 0;  // power of two, at least 16; 0: no such BAR
    bool is_64bit = false;
    bool prefetchable = false;
    // Host memory is mapped where it decodes: it is moved away as soon as decoding is off.
    bool is_memory = false;
  };
  struct Capability {
    uint8_t offset = 0;
    std::vector<uint8_t> bytes;     // whole, from the capability's id; the link is filled in
    std::vector<uint8_t> writable;  // bits the guest may write, as long as `bytes`, or empty
  };

  uint16_t vendor_id = 0;
  uint16_t device_id = 0;
  uint16_t subsystem_vendor_id = 0;
  uint16_t subsystem_id = 0;
  uint32_t class_code = 0;  // 24 bits: class, subclass, interface
  uint8_t revision = 0;
  std::array<Bar, kPciBars> bars = {};
  std::vector<Capability> capabilities;
  MsixTable* msix = nullptr;
  uint8_t msix_offset = 0;

  // Appends a capability and returns its offset in the configuration space. All of them together
  // must fit between 0x40 and 0xff.
  uint8_t AddCapability(std::vector<uint8_t> bytes, std::vector<uint8_t> writable = {});
  // Appends the MSI-X capability for `table`, which must outlive the function. Offsets are in `bar`
  // and multiples of 8.
  void AddMsix(MsixTable& table, unsigned bar, uint32_t table_offset, uint32_t pba_offset);
};

// The root's side of a function: registers and BARs. Not locked: the root's lock covers it, but for
// the BARs' own accesses.
class PciFunction {
 public:
  // A BAR as the MMIO bus sees it. Answers only while the guest has enabled it.
  class Bar final : public BusDevice {
   public:
    absl::string_view name() const override { return handler_->name(); }
    void Read(uint64_t offset, std::span<uint8_t> data) override;
    void Write(uint64_t offset, std::span<const uint8_t> data) override;

    uint64_t size() const { return size_; }

   private:
    friend class PciFunction;
    friend class PciRoot;

    PciHandler* handler_ = nullptr;
    unsigned index_ = 0;
    uint64_t size_ = 0;
    bool is_64bit_ = false;
    bool is_memory_ = false;
    std::atomic<bool> enabled_{false};
    std::optional<uint64_t> allocated_;  // the address at power-on, which is the root's to free
    std::optional<uint64_t> mapped_;     // where the MMIO bus has it
  };

  // `handler` and `spec.msix` must outlive this. No guest sees the function before Show.
  PciFunction(const PciFunctionSpec& spec, PciHandler& handler);
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  ConfigSpace& config() { return config_; }
  PciHandler& handler() { return handler_; }
  std::array<Bar, kPciBars>& bars() { return bars_; }

  // Sets where a BAR is at power-on. Before Show.
  void SetBarAddress(Bar& bar, uint64_t address);

  // Returns the address in the BAR's register if memory decoding is on.
  std::optional<uint64_t> DecodedAddress(const Bar& bar) const;

  // Applies the guest's write. Returns true if what the BARs decode may have changed.
  bool Write(uint32_t offset, std::span<const uint8_t> data);

  // [PCI 3.0 §6.2.3], the Interrupt Status bit.
  void SetInterruptStatus(bool asserted);

  // Registers and MSI-X as at power-on.
  void Reset();

 private:
  PciHandler& handler_;
  ConfigSpace config_;
  MsixTable* const msix_;
  const uint32_t msix_control_;  // offset of message control; 0 without MSI-X
  std::array<Bar, kPciBars> bars_;
};

}  // namespace devices

#endif  // DEVICES_PCI_PCI_FUNCTION_H_
