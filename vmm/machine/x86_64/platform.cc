#include "vmm/machine/x86_64/platform.h"

#include <utility>

#include "base/status.h"
#include "vmm/machine/run_on_loop.h"
#include "vmm/machine/x86_64/address_map.h"

namespace vmm {

namespace map = address_map;

// The firmware tables name the map's ports; the devices know their own.
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

absl::StatusOr<std::unique_ptr<Platform>> Platform::Create(devices::Bus& pio, devices::Bus& mmio,
                                                           devices::MsiController& msi,
                                                           devices::IoapicRoutes& routes,
                                                           devices::CharacterBackend* serial,
                                                           base::EventLoop& serial_loop,
                                                           Callbacks callbacks) {
  auto platform = std::unique_ptr<Platform>(new Platform(msi, routes, serial_loop));
  RETURN_IF_ERROR(mmio.Insert(map::kIoapic, devices::Ioapic::kMmioSizeBytes, platform->ioapic_));
  RETURN_IF_ERROR(pio.Insert(map::kRtcPort, devices::CmosRtc::kPortCount, platform->rtc_));
  RETURN_IF_ERROR(
      pio.Insert(map::kDebugPort, devices::DebugPort::kPortCount, platform->debug_port_));

  platform->power_ = std::make_unique<devices::AcpiPower>(
      devices::AcpiPower::Callbacks{std::move(callbacks.power_off), std::move(callbacks.reset)},
      platform->ioapic_.line(map::kGedGsi - map::kIoapicGsiBase));
  RETURN_IF_ERROR(
      pio.Insert(devices::AcpiPower::kPort, devices::AcpiPower::kPortCount, *platform->power_));
  platform->i8042_ = std::make_unique<devices::I8042>([power = platform->power_.get()] {
    const uint8_t value = devices::AcpiPower::kResetValue;
    power->Write(map::kResetPort - devices::AcpiPower::kPort, {&value, 1});
  });
  RETURN_IF_ERROR(pio.Insert(map::kI8042Port, devices::I8042::kPortCount, *platform->i8042_));

  if (serial != nullptr) {
    RunOnLoop(serial_loop, [&] {
      platform->serial_ = std::make_unique<devices::Serial>(
          *serial, platform->ioapic_.line(map::kCom1Gsi - map::kIoapicGsiBase));
    });
    RETURN_IF_ERROR(pio.Insert(map::kCom1Port, devices::Serial::kPortCount, *platform->serial_));
  }
  return platform;
}

Platform::~Platform() {
  RunOnLoop(serial_loop_, [this] { serial_.reset(); });
}

}  // namespace vmm
