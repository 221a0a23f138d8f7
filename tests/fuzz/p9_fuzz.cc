// Fuzzes the 9P device: messages that are mostly well formed, for fids that mostly exist, among
// everything else that a driver can do. Every request comes back, every stop ends, no answer has a
// byte of what is outside the closure, and what is open and known stays bounded.

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "tests/fuzz/device_program.h"
#include "tests/fuzz/secret.h"
#include "virtio/host_tree/temporary_tree_fixtures.h"
#include "virtio/p9/p9_device.h"

namespace virtio {
namespace {

constexpr uint32_t kMaxFids = 12;
constexpr uint32_t kMaxNodes = 12;

bool Fill(const TemporaryTree& host) {
  host.Write("store/1-a/dir/file", "content");
  host.Write("store/1-a/file", std::string(10'000, 'x'));
  for (char c = 'a'; c < 'k'; ++c) host.Write(std::string("store/1-a/many/") + c, "x");
  host.Link("../2-secret/key", "store/1-a/link");
  CHECK(mkfifo(host.Path("store/1-a/pipe").c_str(), 0644) == 0);
  host.Write("store/2-secret/key", kSecret);
  host.Write("closure", "/nix/store/1-a\n");
  return true;
}

// Made once: the device never changes it.
const TemporaryTree& Host() {
  static const TemporaryTree host("/tmp");
  [[maybe_unused]] static const bool filled = Fill(host);
  return host;
}

class P9Program {
 public:
  P9Program(FuzzInput& input, DeviceHarness& harness) : input_(input), harness_(harness) {}

  // Begins a session with fid 0 at the root.
  void BeginSession() {
    Put(8192, 4);
    PutString(kP9Dialect);
    Offer(kP9Version, 1, /*how=*/2);
    Put(0, 4);
    Put(kP9NoFid, 4);
    PutString("");
    PutString("");
    Put(0, 4);
    Offer(kP9Attach, 1, /*how=*/2);
  }

  void OfferRequest() {
    static constexpr std::array<uint8_t, 16> kTypes = {
        kP9Walk,    kP9Walk,     kP9Walk,    kP9Walk,  kP9Open,  kP9Open,   kP9Read,   kP9Read,
        kP9ReadDir, kP9ReadLink, kP9GetAttr, kP9Clunk, kP9Flush, kP9Attach, kP9StatFs, kP9Remove};
    const uint8_t what = input_.Byte();
    const uint8_t how = input_.Byte();
    const uint8_t type = what < 0xF0   ? kTypes[what % 16]
                         : what < 0xF2 ? uint8_t{kP9Version}
                                       : input_.Byte();
    PutArguments(type, how);
    Offer(type, static_cast<uint16_t>(how % 4), how);
  }

  bool SawSecret() const { return HasSecret(harness_.memory(), DeviceProgram::kRamBytes); }

 private:
  void Put(uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) message_.push_back(static_cast<uint8_t>(value >> 8 * i));
  }
  void PutString(absl::string_view text) {
    Put(text.size(), 2);
    message_.insert(message_.end(), text.begin(), text.end());
  }
  void PutFid(uint8_t how) { Put(how < 0xF0 ? input_.Byte() % 16 : input_.Number(4), 4); }

  void PutName(uint8_t how) {
    static constexpr std::array<absl::string_view, 12> kNames = {
        "1-a", "dir",      "file", "many",        "link", "pipe",
        "..",  "2-secret", ".",    "../2-secret", "key",  ""};
    if (how % 32 != 9) return PutString(kNames[input_.Byte() % kNames.size()]);
    const uint64_t claimed = input_.Number(how % 2 + 1);
    Put(claimed, 2);
    for (const uint8_t byte : input_.Bytes(300)) message_.push_back(byte);
  }

  void PutArguments(uint8_t type, uint8_t how) {
    switch (type) {
      case kP9Version:
        Put(how % 4 == 0 ? input_.Number(4) : 8192, 4);
        return PutString(how % 8 == 1 ? absl::string_view("9P2000.u") : kP9Dialect);
      case kP9Attach:
        PutFid(how);
        Put(kP9NoFid, 4);
        PutName(how);
        return PutName(how);
      case kP9Walk: {
        PutFid(how);
        PutFid(how);
        const uint8_t count = input_.Byte() % 5;
        Put(how >= 0xFC ? input_.Number(2) : count, 2);
        for (int i = 0; i < count; ++i) PutName(how);
        return;
      }
      case kP9Read:
      case kP9ReadDir:
        PutFid(how);
        Put(how % 16 < 12 ? input_.Number(how % 2) : input_.Number(8), 8);  // offset
        return Put(how % 8 < 6 ? 0x1000 : input_.Number(4), 4);             // count
      case kP9Flush:
        return Put(input_.Byte() % 4, 2);
      default:
        PutFid(how);
        Put(how % 8 == 0 ? input_.Number(4) : 0, 4);  // OPEN: flags
    }
  }

  // Offers header, arguments and room for an answer in up to four buffers.
  void Offer(uint8_t type, uint16_t tag, uint8_t how) {
    std::vector<uint8_t> arguments = std::exchange(message_, {});
    if (how >= 0xF8 && !arguments.empty()) arguments.resize(arguments.size() - 1);
    const uint32_t size = static_cast<uint32_t>(7 + arguments.size());
    Put(how >= 0xFE ? input_.Number(4) : size, 4);
    Put(type, 1);
    Put(tag, 2);
    message_.insert(message_.end(), arguments.begin(), arguments.end());

    const uint64_t base = 0x100000 + uint64_t{slot_} * 0x4000;
    CHECK(harness_.memory().Write(base, message_));
    message_.clear();
    const uint32_t room = how % 8 == 7 ? input_.Byte() : 16 + 512 * (how % 8);
    const uint32_t cut = std::min<uint32_t>(size, how % 16);
    const uint32_t cut_room = std::min<uint32_t>(room, how % 32);
    const uint64_t answer = base + 0x2000;
    const std::array<FakeDriver::Descriptor, 4> chain = {
        {{base, cut, 0, 0},
         {base + cut, size - cut, 0, 0},
         {answer, cut_room, 2, 0},
         {answer + cut_room, room - cut_room, 2, 0}}};
    FakeDriver& driver = harness_.driver(0);
    const auto head = static_cast<uint16_t>(slot_ * 4 % DeviceProgram::kQueueSize);
    for (uint16_t i = 0; i < chain.size(); ++i) {
      FakeDriver::Descriptor descriptor = chain[i];
      if (i + 1u < chain.size()) descriptor.flags |= 1;
      descriptor.next = static_cast<uint16_t>((head + i + 1) % DeviceProgram::kQueueSize);
      driver.WriteDescriptor(static_cast<uint16_t>((head + i) % DeviceProgram::kQueueSize),
                             descriptor);
    }
    driver.OfferRaw(head);
    slot_ = (slot_ + 1) % 8;
  }

  FuzzInput& input_;
  DeviceHarness& harness_;
  std::vector<uint8_t> message_;
  uint32_t slot_ = 0;
};

void Run(FuzzInput input) {
  const uint8_t flags = input.Byte();
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  HostTree::Options tree_options;
  tree_options.name = "fs[0]";
  tree_options.path = Host().Path("store");
  tree_options.closure = Host().Path("closure");
  tree_options.one_file_system = true;
  tree_options.max_directories = 2;
  tree_options.max_nodes = kMaxNodes;
  auto opened = *HostTree::Open(std::move(tree_options));
  HostTree& tree = *opened;
  auto device = *P9Device::Create({.id = "f",
                                   .tag = "t",
                                   .versions = static_cast<P9Versions>(flags % 3),
                                   .queue_size = DeviceProgram::kQueueSize,
                                   .max_open_files = 2,
                                   .max_fids = kMaxFids},
                                  std::move(opened), harness.loop(), harness.memory());
  harness.Start(*device, device->features());
  P9Program requests(input, harness);
  requests.BeginSession();
  harness.Kick(0);
  harness.loop().RunUntilIdle();
  for (int steps = 0; !input.empty() && steps < 300; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0x20) {
      program.Step(*device, step);
    } else if (step < 0xD0) {
      requests.OfferRequest();
      if (step % 4 < 3) {
        harness.Kick(0);
        harness.loop().RunUntilIdle();
      }
    } else if (step < 0xF0) {
      harness.loop().RunTurn();
    } else if (step < 0xFC) {
      requests.BeginSession();
    } else {
      CHECK(tree.RereadClosure().ok());
    }
    const Counters counters = device->counters();
    CHECK(counters.at("nodes") <= kMaxNodes && counters.at("open_directories") <= 2);
    CHECK(counters.at("fids") <= kMaxFids && counters.at("open_files") <= 2);
  }
  program.Finish(*device);
  CHECK(harness.loop().in_flight() == 0);
  const Counters counters = device->counters();
  CHECK(counters.at("nodes") == 1 && counters.at("open_files") == 0 && counters.at("fids") == 0);
  CHECK(!requests.SawSecret());
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // What a hostile guest causes is logged; not worth a line for each input here.
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
