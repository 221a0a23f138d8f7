// A 16550A serial port with working FIFOs. [TL16C550C data sheet, "Principles of operation"]
//
// Transmission takes no time: a byte that is written goes to the backend at once, the transmitter
// is always empty, and its interrupt follows each write immediately. Reception is limited by the
// FIFO: bytes that do not fit stay with the backend until the guest has read.
//
// The guest accesses registers on vCPU threads, and input arrives on the backend's loop; one lock
// guards everything. Lock order: this lock, then the locks of the backend and of the interrupt
// controller.
#ifndef DEVICES_SERIAL_H_
#define DEVICES_SERIAL_H_

#include <array>
#include <cstdint>
#include <span>

#include "base/mutex.h"
#include "devices/byte_device.h"
#include "devices/character/character_backend.h"
#include "devices/interrupt.h"

namespace devices {

class Serial : public ByteDevice, public CharacterClient {
 public:
  static constexpr uint64_t kCom1Port = 0x3f8;
  static constexpr uint64_t kPortCount = 8;
  static constexpr size_t kFifoBytes = 16;

  // Becomes the client of `backend`. The backend and the line must outlive this object. Make and
  // destroy this object on the backend's loop, or while that loop does not run.
  Serial(CharacterBackend& backend, InterruptLine& line);
  ~Serial() override;

  absl::string_view name() const override { return "serial"; }
  size_t OnInput(std::span<const uint8_t> bytes) override;
  // Resets all registers to their state after master reset, and releases the line. Any thread.
  void Reset();

 protected:
  uint8_t ReadByte(uint64_t offset) override;
  void WriteByte(uint64_t offset, uint8_t value) override;

 private:
  struct State {
    uint8_t interrupt_enable = 0;
    uint8_t fifo_control = 0;  // only the bits that are kept: enable and receive trigger level
    uint8_t line_control = 0;
    uint8_t modem_control = 0;
    uint8_t line_errors = 0;   // error bits of the line status register
    uint8_t modem_deltas = 0;  // low half of the modem status register
    uint8_t scratch = 0;
    uint16_t divisor = 1;  // 115200 baud
    bool transmitter_interrupt = false;
    std::array<uint8_t, kFifoBytes> received = {};
    uint8_t received_head = 0;
    uint8_t received_count = 0;
  };

  bool Latched() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Loopback() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t ReceiveRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t InterruptId() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ModemInputs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PushReceived(uint8_t byte) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ClearReceived() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadRegister(uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteRegister(uint64_t offset, uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Transmit(uint8_t byte) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteInterruptEnable(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteFifoControl(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteModemControl(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UpdateLine() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TakeResume() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CharacterBackend& backend_;
  InterruptLine& line_;
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_);
  bool line_asserted_ ABSL_GUARDED_BY(mutex_) = false;
  bool input_refused_ ABSL_GUARDED_BY(mutex_) = false;  // the backend waits for ResumeInput
};

}  // namespace devices

#endif  // DEVICES_SERIAL_H_
