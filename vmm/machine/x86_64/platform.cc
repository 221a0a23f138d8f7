#include "vmm/machine/platform.h"

#include <bitset>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "devices/serial.h"
#include "devices/x86_64/acpi_power.h"
#include "devices/x86_64/cmos_rtc.h"
#include "devices/x86_64/debug_port.h"
#include "devices/x86_64/i8042.h"
#include "devices/x86_64/ioapic.h"
#include "vmm/machine/run_on_loop.h"
#include "vmm/machine/x86_64/address_map.h"

namespace vmm {
namespace {

namespace map = address_map;

// The firmware tables take the ports from the address map, and the devices have constants of their
// own. Both must agree.
static_assert(devices::Serial::kCom1Port == map::kCom1Port);
static_assert(devices::I8042::kPort == map::kI8042Port);
static_assert(devices::CmosRtc::kPort == map::kRtcPort);
static_assert(devices::DebugPort::kPort == map::kDebugPort);
static_assert(devices::AcpiPower::kSleepControlPort == map::kSleepControlPort);
static_assert(devices::AcpiPower::kSleepStatusPort == map::kSleepStatusPort);
static_assert(devices::AcpiPower::kResetPort == map::kResetPort);
static_assert(devices::AcpiPower::kEventPort == map::kGedEventPort);
static_assert(devices::Ioapic::kMmioAddress == map::kIoapic);
static_assert(map::kIoapicPins <= devices::Ioapic::kPinCount);

// Lets KVM collect writes to registers that only select another register (KvmVm::CoalesceWrites).
absl::Status CoalesceIndexWrites(KvmVm& vm) {
  RETURN_IF_ERROR(vm.CoalesceWrites(map::kIoapic, sizeof(uint32_t), /*is_port=*/false));
  RETURN_IF_ERROR(vm.CoalesceWrites(map::kRtcPort, 1, /*is_port=*/true));
  return vm.CoalesceWrites(map::kPciConfigAddressPort, sizeof(uint32_t), /*is_port=*/true);
}

class Pc final : public Platform {
 public:
  Pc(KvmVm& vm, base::EventLoop& serial_loop)
      : serial_loop_(serial_loop), ioapic_(vm, vm, map::kIoapicPins) {}
  ~Pc() override {
    RunOnLoop(serial_loop_, [this] { serial_.reset(); });
  }

  absl::Status AddTo(devices::Bus& pio, devices::Bus& mmio, devices::CharacterBackend* serial,
                     Callbacks callbacks);

  void EndOfInterrupt(uint8_t vector) override { ioapic_.EndOfInterrupt(vector); }
  void PressPowerButton() override { power_->PressPowerButton(); }
  std::vector<std::pair<std::string, uint64_t>> BootTimes() override;

 private:
  base::EventLoop& serial_loop_;
  devices::Ioapic ioapic_;
  devices::CmosRtc rtc_;
  devices::DebugPort debug_port_;
  std::unique_ptr<devices::I8042> i8042_;
  std::unique_ptr<devices::AcpiPower> power_;
  std::unique_ptr<devices::Serial> serial_;
};

absl::Status Pc::AddTo(devices::Bus& pio, devices::Bus& mmio, devices::CharacterBackend* serial,
                       Callbacks callbacks) {
  RETURN_IF_ERROR(mmio.Insert(map::kIoapic, devices::Ioapic::kMmioSizeBytes, ioapic_));
  RETURN_IF_ERROR(pio.Insert(map::kRtcPort, devices::CmosRtc::kPortCount, rtc_));
  RETURN_IF_ERROR(pio.Insert(map::kDebugPort, devices::DebugPort::kPortCount, debug_port_));

  power_ = std::make_unique<devices::AcpiPower>(
      devices::AcpiPower::Callbacks{std::move(callbacks.power_off), std::move(callbacks.reset)},
      ioapic_.line(map::kGedGsi - map::kIoapicGsiBase));
  RETURN_IF_ERROR(pio.Insert(devices::AcpiPower::kPort, devices::AcpiPower::kPortCount, *power_));
  i8042_ = std::make_unique<devices::I8042>([power = power_.get()] {
    const uint8_t value = devices::AcpiPower::kResetValue;
    power->Write(map::kResetPort - devices::AcpiPower::kPort, {&value, 1});
  });
  RETURN_IF_ERROR(pio.Insert(map::kI8042Port, devices::I8042::kPortCount, *i8042_));

  if (serial == nullptr) return absl::OkStatus();
  RunOnLoop(serial_loop_, [&] {
    serial_ = std::make_unique<devices::Serial>(*serial,
                                                ioapic_.line(map::kCom1Gsi - map::kIoapicGsiBase));
  });
  return pio.Insert(map::kCom1Port, devices::Serial::kPortCount, *serial_);
}

std::vector<std::pair<std::string, uint64_t>> Pc::BootTimes() {
  std::vector<std::pair<std::string, uint64_t>> result;
  std::bitset<256> seen;  // Linux also uses the port as a delay, so codes repeat
  for (const devices::DebugPort::Record& record : debug_port_.records()) {
    if (seen.test(record.code)) continue;
    seen.set(record.code);
    const auto since_start =
        std::chrono::duration_cast<std::chrono::microseconds>(record.since_start);
    result.emplace_back(absl::StrFormat("code_0x%02x_us", record.code),
                        static_cast<uint64_t>(since_start.count()));
  }
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Platform>> Platform::Create(devices::Bus& pio, devices::Bus& mmio,
                                                           KvmVm& vm,
                                                           devices::CharacterBackend* serial,
                                                           base::EventLoop& serial_loop,
                                                           Callbacks callbacks) {
  RETURN_IF_ERROR(CoalesceIndexWrites(vm));
  RETURN_IF_ERROR(
      vm.CreateInterruptController(map::kIoapicPins, map::kKvmIdentityMap, map::kKvmTss));
  auto pc = std::make_unique<Pc>(vm, serial_loop);
  RETURN_IF_ERROR(pc->AddTo(pio, mmio, serial, std::move(callbacks)));
  return pc;
}

}  // namespace vmm
