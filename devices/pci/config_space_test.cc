#include "devices/pci/config_space.h"

#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <cstring>

namespace devices {
namespace {

constexpr size_t kHostPage = 4096;
constexpr uint32_t kId = 0x5678'1234;
constexpr size_t kWords = ConfigSpace::kSizeBytes / 4;

// A configuration space whose word of the vendor id lies in another page of the host than the rest,
// so that a page can be held against the first store to it: what is in memory at that moment is
// what another CPU may see.
class ConfigSpaceOrderTest : public testing::Test {
 protected:
  ConfigSpaceOrderTest() {
    memory_ = static_cast<uint8_t*>(
        mmap(nullptr, 3 * kHostPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    page = memory_ + kHostPage - 4;
    struct sigaction action = {};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &old_action_);
    ConfigSpace::Clear(page);
    space.Store32(PCI_VENDOR_ID, kId);
    space.Store32(PCI_CLASS_REVISION, 0x0102'0304);
  }
  ~ConfigSpaceOrderTest() override {
    sigaction(SIGSEGV, &old_action_, nullptr);
    munmap(memory_, 3 * kHostPage);
  }

  // Remembers the words as they are at the first store to the vendor id's page, or to the others.
  void HoldVendorId() { Hold(memory_, kHostPage); }
  void HoldTheRest() { Hold(memory_ + kHostPage, 2 * kHostPage); }

  // Read by the handler.
  static inline uint8_t* page;
  static inline bool held;  // and a store has come
  static inline std::array<uint32_t, kWords> words;

  ConfigSpace space;

 private:
  static void Hold(uint8_t* start, size_t bytes) {
    held = false;
    held_start_ = start;
    held_bytes_ = bytes;
    ASSERT_EQ(mprotect(start, bytes, PROT_READ), 0);
  }
  static void OnFault(int, siginfo_t* info, void*) {
    const auto* at = static_cast<uint8_t*>(info->si_addr);
    // Not ours: happens again, and ends the process.
    if (at < held_start_ || at >= held_start_ + held_bytes_) signal(SIGSEGV, SIG_DFL);
    memcpy(words.data(), page, sizeof(words));
    held = true;
    mprotect(held_start_, held_bytes_, PROT_READ | PROT_WRITE);
  }

  static inline uint8_t* held_start_;
  static inline size_t held_bytes_;
  uint8_t* memory_;
  struct sigaction old_action_ = {};
};

TEST_F(ConfigSpaceOrderTest, TheVendorIdIsShownLast) {
  HoldVendorId();
  space.Show(page);
  ASSERT_TRUE(held);
  EXPECT_EQ(words[PCI_VENDOR_ID / 4], ~0u);
  for (uint32_t i = 1; i < kWords; ++i) {
    ASSERT_EQ(words[i], i == PCI_CLASS_REVISION / 4 ? 0x0102'0304u : 0u) << i;
  }
  EXPECT_EQ(space.Load32(PCI_VENDOR_ID), kId);
}

TEST_F(ConfigSpaceOrderTest, TheVendorIdIsHiddenFirst) {
  space.Show(page);
  HoldTheRest();
  space.Hide();
  ASSERT_TRUE(held);
  EXPECT_EQ(words[PCI_VENDOR_ID / 4], ~0u);
  EXPECT_EQ(words[PCI_CLASS_REVISION / 4], 0x0102'0304u);
  memcpy(words.data(), page, sizeof(words));
  for (uint32_t i = 0; i < kWords; ++i) ASSERT_EQ(words[i], ~0u) << i;
}

TEST(ConfigSpaceTest, DefaultsAreTheContentsAtShow) {
  alignas(kHostPage) std::array<uint8_t, ConfigSpace::kSizeBytes> page;
  ConfigSpace::Clear(page.data());
  ConfigSpace space;
  space.Store16(PCI_COMMAND, PCI_COMMAND_MEMORY);
  EXPECT_EQ(space.Load16(PCI_COMMAND), PCI_COMMAND_MEMORY);
  space.Show(page.data());
  space.Store16(PCI_COMMAND, 0);
  EXPECT_EQ(page[PCI_COMMAND], 0);
  space.RestoreDefaults();
  EXPECT_EQ(page[PCI_COMMAND], PCI_COMMAND_MEMORY);
}

}  // namespace
}  // namespace devices
