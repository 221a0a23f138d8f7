#include "devices/serial.h"

#include <linux/serial_reg.h>

#include <algorithm>
#include <span>
#include <utility>

namespace devices {
namespace {

constexpr uint8_t kInterruptEnableMask =
    UART_IER_MSI | UART_IER_RLSI | UART_IER_THRI | UART_IER_RDI;
constexpr uint8_t kModemControlMask = 0x1f;
constexpr uint8_t kIirTimeout = 0x0c;
constexpr uint8_t kIirFifosEnabled = 0xc0;
// The modem inputs say that the other end is always there and ready.
constexpr uint8_t kModemReady = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;

}  // namespace

Serial::Serial(CharacterBackend& backend, InterruptLine& line) : backend_(backend), line_(line) {
  backend_.SetClient(this);
}

Serial::~Serial() { backend_.SetClient(nullptr); }

size_t Serial::OnInput(std::span<const uint8_t> bytes) {
  base::MutexLock lock(mutex_);
  // Loopback mode disconnects the receiver from the outside.
  const size_t taken = Loopback() ? 0 : std::min(bytes.size(), ReceiveRoom());
  for (const uint8_t byte : bytes.first(taken)) PushReceived(byte);
  input_refused_ = taken < bytes.size();
  UpdateLine();
  return taken;
}

void Serial::Reset() {
  bool resume;
  {
    base::MutexLock lock(mutex_);
    state_ = State();
    UpdateLine();
    resume = TakeResume();
  }
  if (resume) backend_.ResumeInput();
}

uint8_t Serial::ReadByte(uint64_t offset) {
  bool resume;
  uint8_t value;
  {
    base::MutexLock lock(mutex_);
    value = ReadRegister(offset);
    UpdateLine();
    resume = TakeResume();
  }
  if (resume) backend_.ResumeInput();
  return value;
}

void Serial::WriteByte(uint64_t offset, uint8_t value) {
  bool resume;
  {
    base::MutexLock lock(mutex_);
    WriteRegister(offset, value);
    UpdateLine();
    resume = TakeResume();
  }
  if (resume) backend_.ResumeInput();
}

uint8_t Serial::ReadRegister(uint64_t offset) {
  switch (offset) {
    case UART_RX: {
      if (Latched()) return static_cast<uint8_t>(state_.divisor);
      if (state_.received_count == 0) return 0;
      const uint8_t byte = state_.received[state_.received_head];
      state_.received_head = (state_.received_head + 1) % kFifoBytes;
      --state_.received_count;
      return byte;
    }
    case UART_IER:
      return Latched() ? static_cast<uint8_t>(state_.divisor >> 8) : state_.interrupt_enable;
    case UART_IIR: {
      const uint8_t id = InterruptId();
      if (id == UART_IIR_THRI) state_.transmitter_interrupt = false;
      return id |
             ((state_.fifo_control & UART_FCR_ENABLE_FIFO) != 0 ? kIirFifosEnabled : uint8_t{0});
    }
    case UART_LCR:
      return state_.line_control;
    case UART_MCR:
      return state_.modem_control;
    case UART_LSR: {
      const uint8_t data_ready = state_.received_count != 0 ? UART_LSR_DR : uint8_t{0};
      const uint8_t errors = std::exchange(state_.line_errors, uint8_t{0});
      return UART_LSR_TEMT | UART_LSR_THRE | data_ready | errors;
    }
    case UART_MSR:
      return ModemInputs() | std::exchange(state_.modem_deltas, uint8_t{0});
    default:
      return state_.scratch;
  }
}

void Serial::WriteRegister(uint64_t offset, uint8_t value) {
  switch (offset) {
    case UART_TX:
      if (Latched()) {
        state_.divisor = static_cast<uint16_t>((state_.divisor & 0xff00) | value);
      } else {
        Transmit(value);
      }
      break;
    case UART_IER:
      if (Latched()) {
        state_.divisor = static_cast<uint16_t>((state_.divisor & 0x00ff) | value << 8);
      } else {
        WriteInterruptEnable(value & kInterruptEnableMask);
      }
      break;
    case UART_FCR:
      WriteFifoControl(value);
      break;
    case UART_LCR:
      state_.line_control = value;
      break;
    case UART_MCR:
      WriteModemControl(value & kModemControlMask);
      break;
    case UART_SCR:
      state_.scratch = value;
      break;
    default:  // line and modem status are read-only
      break;
  }
}

bool Serial::Latched() const { return (state_.line_control & UART_LCR_DLAB) != 0; }

bool Serial::Loopback() const { return (state_.modem_control & UART_MCR_LOOP) != 0; }

size_t Serial::ReceiveRoom() const {
  const size_t capacity = (state_.fifo_control & UART_FCR_ENABLE_FIFO) != 0 ? kFifoBytes : 1;
  return capacity - state_.received_count;
}

// Returns the pending interrupt of the highest priority, or UART_IIR_NO_INT.
uint8_t Serial::InterruptId() const {
  static constexpr uint8_t kTriggerBytes[] = {1, 4, 8, 14};
  const uint8_t enabled = state_.interrupt_enable;
  if ((enabled & UART_IER_RLSI) != 0 && state_.line_errors != 0) return UART_IIR_RLSI;
  if ((enabled & UART_IER_RDI) != 0 && state_.received_count != 0) {
    const bool fifo = (state_.fifo_control & UART_FCR_ENABLE_FIFO) != 0;
    // Below the trigger level the hardware waits for four character times; here no time passes.
    return fifo && state_.received_count < kTriggerBytes[state_.fifo_control >> 6] ? kIirTimeout
                                                                                   : UART_IIR_RDI;
  }
  if ((enabled & UART_IER_THRI) != 0 && state_.transmitter_interrupt) return UART_IIR_THRI;
  if ((enabled & UART_IER_MSI) != 0 && state_.modem_deltas != 0) return UART_IIR_MSI;
  return UART_IIR_NO_INT;
}

// Returns the upper half of the modem status register. Loopback mode connects the outputs to the
// inputs.
uint8_t Serial::ModemInputs() const {
  if (!Loopback()) return kModemReady;
  const uint8_t outputs = state_.modem_control;
  uint8_t inputs = 0;
  if ((outputs & UART_MCR_RTS) != 0) inputs |= UART_MSR_CTS;
  if ((outputs & UART_MCR_DTR) != 0) inputs |= UART_MSR_DSR;
  if ((outputs & UART_MCR_OUT1) != 0) inputs |= UART_MSR_RI;
  if ((outputs & UART_MCR_OUT2) != 0) inputs |= UART_MSR_DCD;
  return inputs;
}

// Adds a byte to the receive FIFO. The caller has checked that there is room.
void Serial::PushReceived(uint8_t byte) {
  state_.received[(state_.received_head + state_.received_count) % kFifoBytes] = byte;
  ++state_.received_count;
}

void Serial::ClearReceived() {
  state_.received_head = 0;
  state_.received_count = 0;
}

void Serial::Transmit(uint8_t byte) {
  if (!Loopback()) {
    backend_.Write(std::span(&byte, 1));
  } else if (ReceiveRoom() != 0) {
    PushReceived(byte);
  } else {
    state_.line_errors |= UART_LSR_OE;
  }
  state_.transmitter_interrupt = true;
}

void Serial::WriteInterruptEnable(uint8_t value) {
  // Enabling the interrupt while the transmitter is empty raises it. LINUX: 8250_port.c tests for
  // this at start-up, and uses a timer if the interrupt does not come.
  const uint8_t risen = value & static_cast<uint8_t>(~state_.interrupt_enable);
  if ((risen & UART_IER_THRI) != 0) state_.transmitter_interrupt = true;
  state_.interrupt_enable = value;
}

void Serial::WriteFifoControl(uint8_t value) {
  const bool enable = (value & UART_FCR_ENABLE_FIFO) != 0;
  const bool was_enabled = (state_.fifo_control & UART_FCR_ENABLE_FIFO) != 0;
  if (enable != was_enabled || (enable && (value & UART_FCR_CLEAR_RCVR) != 0)) ClearReceived();
  // The other bits are programmed only if the enable bit is written too.
  state_.fifo_control = enable ? value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
}

void Serial::WriteModemControl(uint8_t value) {
  const uint8_t before = ModemInputs();
  state_.modem_control = value;
  const uint8_t after = ModemInputs();
  const uint8_t changed = before ^ after;
  if ((changed & UART_MSR_CTS) != 0) state_.modem_deltas |= UART_MSR_DCTS;
  if ((changed & UART_MSR_DSR) != 0) state_.modem_deltas |= UART_MSR_DDSR;
  if ((changed & before & UART_MSR_RI) != 0) state_.modem_deltas |= UART_MSR_TERI;
  if ((changed & UART_MSR_DCD) != 0) state_.modem_deltas |= UART_MSR_DDCD;
}

// OUT2 does not gate the line, unlike on a PC's board: every driver sets it, and other emulators
// ignore it too.
void Serial::UpdateLine() {
  const bool pending = InterruptId() != UART_IIR_NO_INT;
  if (pending == line_asserted_) return;
  line_asserted_ = pending;
  line_.Set(pending);
}

// Returns true once if the backend has to be told that there is room again. Waits until the FIFO is
// empty, so that input comes in batches.
bool Serial::TakeResume() {
  if (!input_refused_ || state_.received_count != 0 || Loopback()) return false;
  input_refused_ = false;
  return true;
}

}  // namespace devices
