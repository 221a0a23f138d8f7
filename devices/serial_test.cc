#include "devices/serial.h"

#include <linux/serial_reg.h>

#include <array>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace devices {
namespace {

class FakeBackend : public CharacterBackend {
 public:
  void SetClient(CharacterClient* new_client) override { client = new_client; }
  void Write(std::span<const uint8_t> bytes) override { output.append(bytes.begin(), bytes.end()); }
  void ResumeInput() override { ++resumes; }
  bool drained() const override { return true; }
  uint64_t dropped_bytes() const override { return 0; }

  CharacterClient* client = nullptr;
  std::string output;
  int resumes = 0;
};

class FakeLine : public InterruptLine {
 public:
  void Set(bool now) override {
    EXPECT_NE(now, asserted) << "the device must report only changes";
    asserted = now;
    if (now) ++edges;
  }
  bool asserted = false;
  int edges = 0;
};

class SerialTest : public ::testing::Test {
 protected:
  void Out(unsigned reg, unsigned value) {
    serial_.Write(reg, std::array<uint8_t, 1>{static_cast<uint8_t>(value)});
  }
  uint8_t In(unsigned reg) {
    std::array<uint8_t, 1> value;
    serial_.Read(reg, value);
    return value[0];
  }
  size_t Type(const std::string& text) {
    return serial_.OnInput(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }
  std::string Drain() {
    std::string text;
    while ((In(UART_LSR) & UART_LSR_DR) != 0) text += static_cast<char>(In(UART_RX));
    return text;
  }

  FakeBackend backend_;
  FakeLine line_;
  Serial serial_{backend_, line_};
};

TEST_F(SerialTest, IsTheBackendsClientForItsLife) {
  EXPECT_EQ(backend_.client, &serial_);
  FakeBackend other;
  { Serial serial(other, line_); }
  EXPECT_EQ(other.client, nullptr);
}

TEST_F(SerialTest, StartsInTheStateAfterMasterReset) {
  EXPECT_EQ(In(UART_IER), 0);
  EXPECT_EQ(In(UART_IIR), UART_IIR_NO_INT);
  EXPECT_EQ(In(UART_LCR), 0);
  EXPECT_EQ(In(UART_MCR), 0);
  EXPECT_EQ(In(UART_LSR), UART_LSR_TEMT | UART_LSR_THRE);
  EXPECT_EQ(In(UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

TEST_F(SerialTest, OutputReachesTheBackend) {
  for (const char c : std::string("hello")) Out(UART_TX, static_cast<uint8_t>(c));
  EXPECT_EQ(backend_.output, "hello");
}

TEST_F(SerialTest, DivisorLatchIsSeparateFromData) {
  Out(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
  Out(UART_DLL, 0x0c);
  Out(UART_DLM, 0x12);
  EXPECT_EQ(In(UART_DLL), 0x0c);
  EXPECT_EQ(In(UART_DLM), 0x12);
  Out(UART_LCR, UART_LCR_WLEN8);
  EXPECT_EQ(In(UART_IER), 0);
  EXPECT_EQ(backend_.output, "");
}

// LINUX: autoconfig() and autoconfig_16550a() in drivers/tty/serial/8250/8250_port.c.
TEST_F(SerialTest, LinuxFindsA16550AAndNothingElse) {
  Out(UART_IER, 0);
  EXPECT_EQ(In(UART_IER) & 0x0f, 0);
  Out(UART_IER, 0x0f);
  EXPECT_EQ(In(UART_IER), 0x0f);
  Out(UART_IER, 0x40 | 0x0f);  // the unit enable bit of an XScale
  EXPECT_EQ(In(UART_IER), 0x0f);
  Out(UART_IER, 0);
  Out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
  EXPECT_EQ(In(UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
  Out(UART_MCR, 0);
  Out(UART_LCR, UART_LCR_CONF_MODE_B);
  Out(UART_EFR, 0);
  Out(UART_LCR, 0);
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  EXPECT_EQ(In(UART_IIR) >> 6, 3);
  Out(UART_LCR, UART_LCR_CONF_MODE_A);
  EXPECT_NE(In(UART_EFR), 0);  // not a 16650
  Out(UART_LCR, UART_LCR_CONF_MODE_B);
  EXPECT_NE(In(UART_EFR), 0);  // not a 16C950
  Out(UART_LCR, 0xe0);
  const uint8_t status = In(0x02);
  EXPECT_EQ(status & UART_MCR_LOOP, 0);  // not a National Semiconductor extension
  Out(UART_LCR, 0);
  Out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
  EXPECT_EQ(In(UART_IIR) & 0x20, 0);  // not a 16750
  for (const unsigned value : {0x55, 0xaa}) {
    Out(UART_SCR, value);
    EXPECT_EQ(In(UART_SCR), value);
  }
}

// LINUX: serial8250_do_startup() looks for ports that lose this interrupt (UART_BUG_THRE).
TEST_F(SerialTest, EnablingTheTransmitterInterruptRaisesItEachTime) {
  for (int i = 0; i < 3; ++i) {
    Out(UART_IER, UART_IER_THRI);
    EXPECT_TRUE(line_.asserted);
    EXPECT_EQ(In(UART_IIR), UART_IIR_THRI);
    EXPECT_FALSE(line_.asserted);
    Out(UART_IER, 0);
  }
  Out(UART_IER, UART_IER_THRI);
  Out(UART_IER, 0);
  EXPECT_EQ(In(UART_IIR), UART_IIR_NO_INT);
  EXPECT_FALSE(line_.asserted);
}

TEST_F(SerialTest, OnlyReadingItsIdClearsTheTransmitterInterrupt) {
  Out(UART_IER, UART_IER_THRI | UART_IER_RDI);
  Type("x");
  // has the higher priority, so the transmitter's interrupt stays pending
  EXPECT_EQ(In(UART_IIR), UART_IIR_RDI);
  In(UART_RX);
  EXPECT_TRUE(line_.asserted);
  EXPECT_EQ(In(UART_IIR), UART_IIR_THRI);
  EXPECT_EQ(In(UART_IIR), UART_IIR_NO_INT);
}

TEST_F(SerialTest, SixteenBytesCostOneEdge) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  Out(UART_IER, UART_IER_THRI);
  for (int batch = 0; batch < 10; ++batch) {
    EXPECT_EQ(line_.edges, batch + 1);
    EXPECT_EQ(In(UART_IIR) & 0x0f, UART_IIR_THRI);
    for (int i = 0; i < 16; ++i) Out(UART_TX, 'a');
  }
  EXPECT_EQ(backend_.output.size(), 160u);
}

TEST_F(SerialTest, ReceiveInterruptFollowsTheTriggerLevel) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
  Out(UART_IER, UART_IER_RDI);
  EXPECT_EQ(Type("1234567"), 7u);
  EXPECT_TRUE(line_.asserted);
  EXPECT_EQ(In(UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
  EXPECT_EQ(Type("8"), 1u);
  EXPECT_EQ(In(UART_IIR), 0xc0 | UART_IIR_RDI);
  EXPECT_EQ(Drain(), "12345678");
  EXPECT_EQ(In(UART_IIR), 0xc0 | UART_IIR_NO_INT);
  EXPECT_FALSE(line_.asserted);
}

TEST_F(SerialTest, InputBeyondTheFifoWaitsUntilItIsDrained) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  EXPECT_EQ(Type("0123456789abcdefXYZ"), 16u);
  EXPECT_EQ(Type("X"), 0u);
  EXPECT_EQ(backend_.resumes, 0);
  EXPECT_EQ(Drain(), "0123456789abcdef");
  EXPECT_EQ(backend_.resumes, 1);
  EXPECT_EQ(Type("XYZ"), 3u);
  EXPECT_EQ(Drain(), "XYZ");
  EXPECT_EQ(backend_.resumes, 1);  // nothing was refused this time
}

TEST_F(SerialTest, WithoutFifoOneByteIsHeld) {
  EXPECT_EQ(Type("ab"), 1u);
  EXPECT_EQ(In(UART_RX), 'a');
  EXPECT_EQ(backend_.resumes, 1);
  EXPECT_EQ(In(UART_RX), 0);  // the FIFO is empty
}

TEST_F(SerialTest, ClearingOrSwitchingTheFifoDropsItsBytes) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  Type("abc");
  Out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
  EXPECT_EQ(Drain(), "");
  Type("0123456789abcdefXYZ");
  Out(UART_FCR, 0);
  EXPECT_EQ(backend_.resumes, 1);
  EXPECT_EQ(Drain(), "");
  Type("a");
  Out(UART_FCR, UART_FCR_CLEAR_RCVR);  // has no effect without the enable bit
  EXPECT_EQ(Drain(), "a");
}

TEST_F(SerialTest, LoopbackReturnsOutputAndRefusesInputFromOutside) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  Out(UART_MCR, UART_MCR_LOOP);
  Out(UART_TX, 'q');
  EXPECT_EQ(backend_.output, "");
  EXPECT_EQ(Type("x"), 0u);
  EXPECT_EQ(Drain(), "q");
  EXPECT_EQ(backend_.resumes, 0);
  Out(UART_MCR, 0);
  EXPECT_EQ(backend_.resumes, 1);
}

TEST_F(SerialTest, LoopbackOverrunIsALineStatusInterruptClearedByReading) {
  Out(UART_IER, UART_IER_RLSI);
  Out(UART_MCR, UART_MCR_LOOP);
  Out(UART_TX, 'a');
  EXPECT_FALSE(line_.asserted);
  Out(UART_TX, 'b');
  EXPECT_TRUE(line_.asserted);
  EXPECT_EQ(In(UART_IIR), UART_IIR_RLSI);
  EXPECT_EQ(In(UART_LSR) & UART_LSR_OE, UART_LSR_OE);
  EXPECT_EQ(In(UART_LSR) & UART_LSR_OE, 0);
  EXPECT_FALSE(line_.asserted);
  EXPECT_EQ(In(UART_RX), 'a');
}

TEST_F(SerialTest, ModemDeltasInterruptAndAreClearedByReading) {
  Out(UART_MCR, UART_MCR_LOOP);
  In(UART_MSR);
  Out(UART_IER, UART_IER_MSI);
  EXPECT_FALSE(line_.asserted);
  Out(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_OUT1);
  EXPECT_EQ(In(UART_IIR), UART_IIR_MSI);
  EXPECT_EQ(In(UART_MSR), UART_MSR_DSR | UART_MSR_RI | UART_MSR_DDSR);
  EXPECT_FALSE(line_.asserted);
  Out(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
  EXPECT_EQ(In(UART_MSR), UART_MSR_DSR | UART_MSR_TERI);  // the ring signal ended
}

TEST_F(SerialTest, ResetReleasesTheLineAndAsksForRefusedInput) {
  Out(UART_IER, UART_IER_THRI | UART_IER_RDI);
  Type("abc");
  EXPECT_TRUE(line_.asserted);
  serial_.Reset();
  EXPECT_FALSE(line_.asserted);
  EXPECT_EQ(In(UART_IER), 0);
  EXPECT_EQ(In(UART_LSR) & UART_LSR_DR, 0);
  EXPECT_EQ(backend_.resumes, 1);
}

TEST_F(SerialTest, WideAccessesAreBytesAtAscendingPorts) {
  serial_.Write(UART_MCR, std::array<uint8_t, 4>{0x03, 0xff, 0xff, 0x5a});
  std::array<uint8_t, 4> data;
  serial_.Read(UART_MCR, data);
  EXPECT_EQ(data[0], 0x03);
  EXPECT_EQ(data[3], 0x5a);
}

TEST_F(SerialTest, InputAndRegisterAccessMayRace) {
  Out(UART_FCR, UART_FCR_ENABLE_FIFO);
  Out(UART_IER, UART_IER_RDI);
  size_t typed = 0;
  std::thread loop([&] {
    for (int i = 0; i < 2000; ++i) typed += Type("abc");
  });
  size_t read = 0;
  for (int i = 0; i < 2000; ++i) read += Drain().size();
  loop.join();
  read += Drain().size();
  EXPECT_EQ(read, typed);
  EXPECT_FALSE(line_.asserted);
}

}  // namespace
}  // namespace devices
