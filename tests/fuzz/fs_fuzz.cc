// Fuzzes the file system device: FUSE requests that are mostly well formed, for nodes that mostly
// exist, among everything else that a driver can do. Every request comes back, every stop ends,
// no answer has a byte of what is outside the closure, and what is open and known stays bounded.

#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "tests/fuzz/device_program.h"
#include "tests/fuzz/secret.h"
#include "virtio/fs/fs_device.h"
#include "virtio/host_tree/temporary_tree_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kMaxOpenFiles = 4;
constexpr uint16_t kRequests = 1;
constexpr uint64_t kRangeBytes = DaxWindow::kRangeBytes;
constexpr uint64_t kDaxRanges = 4;

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

class FsProgram {
 public:
  FsProgram(FuzzInput& input, DeviceHarness& harness) : input_(input), harness_(harness) {}

  // Offers header, arguments and room for an answer in up to four buffers.
  void OfferRequest(uint16_t queue) {
    static constexpr std::array<uint32_t, 16> kOpcodes = {
        FUSE_LOOKUP, FUSE_LOOKUP,  FUSE_LOOKUP,      FUSE_READ,         FUSE_READ,    FUSE_READDIR,
        FUSE_INIT,   FUSE_FORGET,  FUSE_READDIRPLUS, FUSE_BATCH_FORGET, FUSE_GETATTR, FUSE_READLINK,
        FUSE_STATFS, FUSE_DESTROY, FUSE_OPEN,        FUSE_INTERRUPT};
    static constexpr std::array<uint32_t, 4> kDaxOpcodes = {FUSE_SETUPMAPPING, FUSE_SETUPMAPPING,
                                                            FUSE_SETUPMAPPING, FUSE_REMOVEMAPPING};
    const uint8_t what = input_.Byte();
    const uint8_t how = input_.Byte();
    fuse_in_header header = {};
    header.opcode = what < 0xE0   ? kOpcodes[what % 16]
                    : what < 0xF0 ? kDaxOpcodes[what % 4]
                                  : static_cast<uint32_t>(input_.Number(2));
    header.unique = what;
    header.nodeid = Node(how);
    const std::vector<uint8_t> arguments = Arguments(header.opcode, how);
    header.len = static_cast<uint32_t>(sizeof(header) + arguments.size());
    if (how >= 0xFC) header.len = static_cast<uint32_t>(input_.Number(4));

    const uint64_t base = 0x100000 + uint64_t{queue} * 0x40000 + uint64_t{slot_} * 0x4000;
    harness_.memory().Store(base, header);
    harness_.memory().Write(base + sizeof(header), arguments);
    const auto readable = static_cast<uint32_t>(sizeof(header) + arguments.size());
    const uint32_t room = how % 8 == 7 ? input_.Byte() : 16 + 512 * (how % 8);
    const uint32_t cut = what % 2 == 0 ? 40 : what % 40;
    const uint32_t cut_room = std::min<uint32_t>(room, how % 32);
    const uint64_t answer = base + 0x1000;
    const std::array<FakeDriver::Descriptor, 4> chain = {
        {{base, cut, 0, 0},
         {base + cut, readable - cut, 0, 0},
         {answer, cut_room, 2, 0},
         {answer + cut_room, room - cut_room, 2, 0}}};
    FakeDriver& driver = harness_.driver(queue);
    const auto head = static_cast<uint16_t>(slot_ * 4 % DeviceProgram::kQueueSize);
    for (uint16_t i = 0; i < chain.size(); ++i) {
      FakeDriver::Descriptor descriptor = chain[i];
      if (i + 1u < chain.size()) descriptor.flags |= 1;
      descriptor.next = static_cast<uint16_t>((head + i + 1) % DeviceProgram::kQueueSize);
      driver.WriteDescriptor(static_cast<uint16_t>((head + i) % DeviceProgram::kQueueSize),
                             descriptor);
    }
    driver.OfferRaw(head);
    last_answer_ = answer;
    slot_ = (slot_ + 1) % 8;
  }

  // Takes what LOOKUP may have answered, so that later requests name real nodes.
  void LearnNode() {
    const auto entry =
        harness_.memory().Load<fuse_entry_out>(last_answer_ + sizeof(fuse_out_header));
    if (entry.has_value() && nodes_.size() < 64) nodes_.push_back(entry->nodeid);
  }

  bool SawSecret() const { return HasSecret(harness_.memory(), DeviceProgram::kRamBytes); }

 private:
  uint64_t Node(uint8_t how) {
    if (how % 4 == 0) return 1;
    if (how % 4 == 3) return input_.Number(how % 9);
    return nodes_.empty() ? 1 : nodes_[input_.Byte() % nodes_.size()];
  }

  // A place in the DAX window or a size, mostly a good one.
  uint64_t DaxNumber(unsigned how) {
    if (how % 8 == 5) return input_.Number(8);
    return input_.Byte() % 6 * DaxWindow::kRangeBytes;
  }

  std::vector<uint8_t> Arguments(uint32_t opcode, uint8_t how) {
    static constexpr std::array<absl::string_view, 12> kNames = {
        "1-a", "dir",      "file", "many",        "link", "pipe",
        "..",  "2-secret", ".",    "../2-secret", "a",    ""};
    std::vector<uint8_t> bytes;
    const auto put = [&bytes](uint64_t value, size_t size) {
      for (size_t i = 0; i < size; ++i)
        bytes.push_back(static_cast<uint8_t>(i < 8 ? value >> (8 * i) : 0));
    };
    switch (opcode) {
      case FUSE_LOOKUP: {
        const absl::string_view name = kNames[input_.Byte() % kNames.size()];
        bytes.assign(name.begin(), name.end());
        if (how % 16 == 5) {
          for (const uint8_t byte : input_.Bytes(300)) bytes.push_back(byte);
        }
        if (how % 32 != 9) bytes.push_back(0);
        break;
      }
      case FUSE_READ:
      case FUSE_READDIR:
      case FUSE_READDIRPLUS:
        put(0, 8);
        put(how % 16 < 12 ? input_.Number(how % 2) : input_.Number(8), 8);  // offset
        put(how % 8 < 6 ? 0x1000 : input_.Number(4), 4);                    // size
        put(0, 20);
        break;
      case FUSE_INIT:
        put(7, 4);
        put(how % 16 == 3 ? input_.Byte() : 38, 4);
        put(1 << 20, 4);
        put(0xffffffff, 4);
        put(how % 8 == 3 ? 0 : 0xffffffff, how % 8 == 1 ? 0 : 4);  // flags2
        break;
      case FUSE_SETUPMAPPING:
        put(~uint64_t{0}, 8);  // handle
        put(DaxNumber(how), 8);
        put(DaxNumber(how >> 1), 8);
        put(how % 16 == 7 ? input_.Byte() : FUSE_SETUPMAPPING_FLAG_READ, 8);
        put(DaxNumber(how >> 2), 8);
        break;
      case FUSE_REMOVEMAPPING:
        put(how % 16 == 7 ? input_.Number(4) : how % 4u, 4);
        for (int i = 0; i < how % 4; ++i) {
          put(DaxNumber(how), 8);
          put(DaxNumber(how >> 1), 8);
        }
        break;
      case FUSE_BATCH_FORGET:
        put(input_.Byte(), 4);
        put(0, 4);
        for (int i = 0; i < how % 4; ++i) {
          put(Node(input_.Byte()), 8);
          put(input_.Byte(), 8);
        }
        break;
      default:
        put(input_.Byte(), 8);
        put(0, 8);
    }
    if (how >= 0xF8 && !bytes.empty()) bytes.resize(bytes.size() - 1);
    return bytes;
  }

  FuzzInput& input_;
  DeviceHarness& harness_;
  std::vector<uint64_t> nodes_;
  uint64_t last_answer_ = 0x100000;
  uint32_t slot_ = 0;
};

void Run(FuzzInput input) {
  const uint8_t flags = input.Byte();
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = Host().Path("store");
  options.closure = Host().Path("closure");
  options.one_file_system = true;
  options.max_directories = 2;
  options.max_nodes = 12;
  auto opened = *HostTree::Open(std::move(options));
  HostTree& tree = *opened;
  const bool with_dax = (flags & 0x80) != 0;
  auto device =
      *FsDevice::Create({.id = "f",
                         .tag = "t",
                         .cache = with_dax ? FsCache::kAlways : static_cast<FsCache>(flags % 3),
                         .queue_size = DeviceProgram::kQueueSize,
                         .max_open_files = kMaxOpenFiles,
                         .dax_window_bytes = with_dax ? kDaxRanges * kRangeBytes : 0},
                        std::move(opened), harness.loop(), harness.memory());
  harness.Start(*device, device->features());
  FsProgram requests(input, harness);
  for (int steps = 0; !input.empty() && steps < 300; ++steps) {
    const uint8_t step = input.Byte();
    if (step < 0x30) {
      program.Step(*device, step);
    } else if (step < 0xD0) {
      const uint16_t queue = step % 8 == 0 ? 0 : kRequests;
      requests.OfferRequest(queue);
      if (step % 4 < 3) {
        harness.Kick(queue);
        harness.loop().RunUntilIdle();
        requests.LearnNode();
      }
    } else if (step < 0xF8) {
      harness.loop().RunTurn();
    } else {
      CHECK(tree.RereadClosure().ok());
    }
    CHECK(device->counters().at("nodes") <= 12 && device->counters().at("open_directories") <= 2);
    CHECK(device->counters().at("open_files") <= kMaxOpenFiles);
    CHECK(device->counters().at("dax_ranges") <= (with_dax ? kDaxRanges : 0));
  }
  program.Finish(*device);
  CHECK(harness.loop().in_flight() == 0);
  CHECK(device->counters().at("nodes") == 1 && device->counters().at("open_files") == 0);
  CHECK(device->counters().at("dax_ranges") == 0);
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
