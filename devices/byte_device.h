// A bus device whose registers are single bytes, like the devices of the former ISA bus.
#ifndef DEVICES_BYTE_DEVICE_H_
#define DEVICES_BYTE_DEVICE_H_

#include <span>

#include "devices/bus.h"

namespace devices {

// Splits wider accesses into byte accesses at ascending offsets, as an ISA bridge does.
class ByteDevice : public BusDevice {
 public:
  void Read(uint64_t offset, std::span<uint8_t> data) final {
    for (uint8_t& byte : data) byte = ReadByte(offset++);
  }
  void Write(uint64_t offset, std::span<const uint8_t> data) final {
    for (const uint8_t byte : data) WriteByte(offset++, byte);
  }

 protected:
  // Run on vCPU threads, possibly on several at once. `offset` lies within the range at which the
  // device was inserted.
  virtual uint8_t ReadByte(uint64_t offset) = 0;
  virtual void WriteByte(uint64_t offset, uint8_t value) = 0;
};

}  // namespace devices

#endif  // DEVICES_BYTE_DEVICE_H_
