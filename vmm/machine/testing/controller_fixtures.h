// Guests of a few instructions for tests of the controller. The guests need /dev/kvm.
#ifndef VMM_MACHINE_TESTING_CONTROLLER_FIXTURES_H_
#define VMM_MACHINE_TESTING_CONTROLLER_FIXTURES_H_

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/uring_event_loop.h"
#include "boot/testing/kernel_fixtures.h"
#include "gtest/gtest.h"
#include "vmm/config/load_config.h"
#include "vmm/kvm/kvm_system.h"
#include "vmm/machine/controller.h"
#include "vmm/machine/host_resources.h"

namespace vmm {

using Code = std::vector<uint8_t>;

inline Code operator+(Code a, const Code& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// 32-bit code.
inline Code Out(uint16_t port, uint8_t value) {  // mov al, value; mov dx, port; out dx, al
  return {0xB0, value, 0x66, 0xBA, static_cast<uint8_t>(port), static_cast<uint8_t>(port >> 8),
          0xEE};
}
inline const Code kHaltForEver = {0xF4, 0xEB, 0xFD};
inline const Code kSpinForEver = {0xEB, 0xFE};
inline const Code kPowerOff = Out(0x600, 0x34) + kHaltForEver;
inline const Code kReset = Out(0x602, 1) + kSpinForEver;
inline const Code kTripleFault = {0x0F, 0x0B};  // ud2 without an IDT
inline const Code kJumpToNowhere = {0xEA, 0x00, 0x00, 0x00, 0xD0, 0x10, 0x00};
inline Code Print(char c) { return Out(0x3F8, static_cast<uint8_t>(c)); }
// Reads the event register until the power button is in it: in al, 0x604; test al, 1; jz -5
inline const Code kWaitForButton = {0x66, 0xBA, 0x04, 0x06, 0xEC, 0xA8, 0x01, 0x74, 0xFB};
inline Code Bytes(uint32_t value) {
  return {static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8),
          static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 24)};
}
inline Code Store8(uint32_t address, uint8_t value) {
  return Code{0xC6, 0x05} + Bytes(address) + Code{value};
}
inline Code Store16(uint32_t address, uint16_t value) {
  return Code{0x66, 0xC7, 0x05} + Bytes(address) +
         Code{static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8)};
}
inline Code Store32(uint32_t address, uint32_t value) {
  return Code{0xC7, 0x05} + Bytes(address) + Bytes(value);
}

inline uint32_t ConfigSpaceOf(uint32_t slot) { return 0xE000'0000 + slot * 0x8000; }

// Finds pvpanic's BAR through ECAM at slot `slot`, enables it, and reports `event` 1000 times.
inline Code Panic(uint32_t slot, uint8_t event) {
  return Store16(ConfigSpaceOf(slot) + 4, 2)             // command: memory
         + Code{0xA1} + Bytes(ConfigSpaceOf(slot) + 16)  // mov bar0, %eax
         + Code{0x83, 0xE0, 0xF0}                        // and $~15, %eax
         + Code{0xB9, 0xE8, 0x03, 0x00, 0x00}            // mov $1000, %ecx
         + Code{0xC6, 0x00, event, 0xE2, 0xFB};          // movb $event, (%eax); loop -5
}

// Makes all other vCPUs run `code`, which is at most 8 bytes of 16-bit code.
inline Code StartOtherVcpus(Code code) {
  code.resize(8, 0x90);
  const auto word = [&](size_t i) {
    return code[i] | uint32_t{code[i + 1]} << 8 | uint32_t{code[i + 2]} << 16 |
           uint32_t{code[i + 3]} << 24;
  };
  return Store32(0x8000, word(0)) + Store32(0x8004, word(4)) +
         Store32(0xFEE0'0300, 0x000C'4500) +  // INIT to all but self
         Store32(0xFEE0'0300, 0x000C'4608);   // start at 0x8000
}
inline const Code kSpin16 = {0xEB, 0xFE};
inline const Code kReset16 = {0xB0, 0x01, 0xBA, 0x02, 0x06, 0xEE, 0xEB, 0xFE};

constexpr uint32_t kDescriptors = 0x20'0000, kAvail = 0x20'1000, kUsed = 0x20'2000;

// Initializes the virtio device in `slot` as a driver does, up to DRIVER_OK. Accepts the features
// VERSION_1 and `features`, and enables queue 0.
inline Code StartDriver(uint32_t slot, uint32_t features = 0) {
  constexpr uint32_t kRegisters = 0xD000'0000;
  return Store32(ConfigSpaceOf(slot) + 0x10, kRegisters)                    //
         + Store32(ConfigSpaceOf(slot) + 0x14, 0)                           //
         + Store16(ConfigSpaceOf(slot) + 4, 6)                              // decode
         + Store8(kRegisters + 0x14, 1) + Store8(kRegisters + 0x14, 3)      // driver
         + Store32(kRegisters + 8, 1) + Store32(kRegisters + 12, 1)         // VERSION_1
         + Store32(kRegisters + 8, 0) + Store32(kRegisters + 12, features)  //
         + Store8(kRegisters + 0x14, 11) + Store16(kRegisters + 0x18, 16)   // FEATURES_OK
         + Store32(kRegisters + 0x20, kDescriptors) + Store32(kRegisters + 0x28, kAvail) +
         Store32(kRegisters + 0x30, kUsed) + Store16(kRegisters + 0x1C, 1)  // enable
         + Store8(kRegisters + 0x14, 15);                                   // DRIVER_OK
}

// The buffer of the guest's disk requests.
constexpr uint32_t kDiskBuffer = 0x200'0000;
constexpr uint32_t kDiskBufferBytes = 4 << 20;

// Initializes the virtio disk in `slot` as a driver does, with five requests in its queue: two
// reads, two writes and a flush.
inline Code StartDiskRequests(uint32_t slot) {
  constexpr uint32_t kHeaders = 0x20'3000, kStatus = 0x20'4000;
  constexpr uint16_t kNext = 1, kWrite = 2;
  struct Request {
    uint32_t type, sector;
    uint16_t data_flags;
  };
  constexpr Request kRequests[] = {
      {0, 0, kWrite}, {0, 64, kWrite}, {1, 8192, 0}, {1, 8192, 0}, {4, 0, kWrite}};
  Code code;
  const auto descriptor = [&](uint32_t index, uint32_t address, uint32_t bytes, uint32_t flags) {
    code = code + Store32(kDescriptors + index * 16, address) +
           Store32(kDescriptors + index * 16 + 8, bytes) +
           Store32(kDescriptors + index * 16 + 12, flags | (index + 1) << 16);
  };
  uint16_t count = 0;
  for (const Request& request : kRequests) {
    const uint32_t header = kHeaders + count * 16U, first = count * 3U;
    code = code + Store32(header, request.type) + Store32(header + 8, request.sector);
    descriptor(first, header, 16, kNext);
    descriptor(first + 1, kDiskBuffer, request.type == 4 ? 0 : kDiskBufferBytes - (1 << 20),
               kNext | request.data_flags);
    descriptor(first + 2, kStatus + count, 1, kWrite);
    code = code + Store16(kAvail + 4 + count * 2U, static_cast<uint16_t>(first));
    ++count;
  }
  constexpr uint32_t kFlush = 1 << 9;
  return code + Store16(kAvail + 2, count) + StartDriver(slot, kFlush);
}

// Prints '!' and powers off if the byte at `address` is not zero.
inline Code ExpectZero(uint32_t address) {
  const Code failed = Print('!') + kPowerOff;
  return Code{0x80, 0x3D} + Bytes(address) + Code{0x00}  // cmpb $0, address
         + Code{0x74, static_cast<uint8_t>(failed.size())} + failed;
}

inline size_t CountFiles() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(entries), end(entries)));
}

// Does not count the kernel's io_uring workers: the kernel starts them when the host is slow, and
// they stay for a while.
inline size_t CountThreads() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name.rfind("iou-", 0) != 0) ++count;
  }
  return count;
}

class ControllerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "vmm-controller-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Runs a guest to its end. `poll` runs every few milliseconds on the control loop.
  ExitStatus Run(const Code& code, Controller::Options options = {},
                 std::function<void(Controller&)> poll = nullptr) {
    boot::Bytes elf = boot::MakeElf();
    // The code segment moves to the end of the file, where it may have any length.
    const uint64_t offset = elf.size();
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_offset)), offset);
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_filesz)), uint64_t{0x10 + code.size()});
    boot::Poke(elf, boot::ElfPhdr(1, offsetof(Elf64_Phdr, p_memsz)), uint64_t{0x10 + code.size()});
    elf.resize(offset + 0x10);
    elf.insert(elf.end(), code.begin(), code.end());
    std::ofstream(folder_ + "/kernel", std::ios::binary)
        .write(reinterpret_cast<const char*>(elf.data()), static_cast<std::streamsize>(elf.size()));
    std::ofstream(folder_ + "/disk") << std::string(8 << 20, 'x');
    const auto config = ReadConfig();
    EXPECT_TRUE(config.ok()) << config.status();
    const auto kvm = KvmSystem::Open();
    EXPECT_TRUE(kvm.ok()) << kvm.status();
    base::UringEventLoop::Options loop_options;
    loop_options.fixed_files = false;
    const auto loop = base::UringEventLoop::Create(loop_options);
    EXPECT_TRUE(loop.ok()) << loop.status();
    const auto host = HostResources::Open(
        *config, [&] { return kvm->phys_bits(); }, [] {});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = host->get();
    Controller controller(*config, options, *kvm, **host, **loop);
    Poller poller(**loop, controller, std::move(poll));
    EXPECT_TRUE(controller.Boot(*KvmVm::Create(*kvm)).ok());
    (*loop)->Run();
    finished_ = (*host)->Finish(std::chrono::seconds(100), thread_patience_);
    if (after_finish_) after_finish_();
    return controller.exit_status();
  }

  absl::StatusOr<VmConfig> ReadConfig() const {
    return ParseVmConfig(
        absl::StrCat(R"({"memory": )", memory_, R"(, "payload": {"kernel": "kernel"},
        "console": {"mode": "Null"}, "serial": {"mode": "File", "file": "out"},
        "disks": )",
                     disks_, R"(, "fs": )", shares_, R"(, "rng": {"src": ")", random_source_,
                     R"("}, "cpus": {"boot_vcpus": )", vcpus_, "}}"),
        {.source = "test", .base_dir = folder_});
  }
  // The PCI slots that the config assigns.
  uint32_t DiskSlot() const { return *ReadConfig()->disks[0].pci_device_id; }
  uint32_t ShareSlot() const { return *ReadConfig()->fs[0].pci_device_id; }
  uint32_t PvpanicSlot() const { return ReadConfig()->pvpanic_pci_slot; }

  std::string Output() const {
    std::ifstream file(folder_ + "/out");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  // Set before Run.
  uint32_t vcpus_ = 1;
  std::string disks_ = R"([{"path": "disk"}])";
  std::string shares_ = "[]";
  std::string memory_ = R"({"size": "64M"})";
  std::string random_source_ = "/dev/urandom";
  std::chrono::milliseconds thread_patience_ = std::chrono::seconds(100);
  std::function<void()> after_finish_;
  // Valid during Run.
  HostResources* host_ = nullptr;
  // Valid after Run.
  HostResources::Finished finished_;

 private:
  class Poller final : public base::Operation {
   public:
    Poller(base::EventLoop& loop, Controller& controller, std::function<void(Controller&)> poll)
        : loop_(loop), controller_(controller), poll_(std::move(poll)) {
      loop_.Timeout(*this, std::chrono::milliseconds(2));
    }
    void OnComplete(int32_t /*result*/) override {
      if (poll_) poll_(controller_);
      // A guest that does not end as it should must not hang the test.
      if (loop_.Now() > end_) controller_.ForceEnd("test timeout");
      loop_.Timeout(*this, std::chrono::milliseconds(2));
    }

   private:
    base::EventLoop& loop_;
    Controller& controller_;
    std::function<void(Controller&)> poll_;
    const std::chrono::nanoseconds end_ = loop_.Now() + std::chrono::seconds(100);
  };
};

}  // namespace vmm

#endif  // VMM_MACHINE_TESTING_CONTROLLER_FIXTURES_H_
