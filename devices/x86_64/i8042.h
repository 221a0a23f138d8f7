// The part of the PC's keyboard controller that a guest needs to reset itself, at ports 0x60 to
// 0x64. There is no keyboard and no mouse, and the FADT says so.
#ifndef DEVICES_X86_64_I8042_H_
#define DEVICES_X86_64_I8042_H_

#include "absl/functional/any_invocable.h"
#include "devices/byte_device.h"

namespace devices {

// Has no state, so there is nothing to reset or to save.
class I8042 : public ByteDevice {
 public:
  static constexpr uint64_t kPort = 0x60;
  static constexpr uint64_t kPortCount = 5;

  // `reset` is called on the vCPU that requests it, possibly on several vCPUs at once.
  explicit I8042(absl::AnyInvocable<void() const> reset);

  absl::string_view name() const override { return "i8042"; }

 protected:
  uint8_t ReadByte(uint64_t offset) override;
  void WriteByte(uint64_t offset, uint8_t value) override;

 private:
  const absl::AnyInvocable<void() const> reset_;
};

}  // namespace devices

#endif  // DEVICES_X86_64_I8042_H_
