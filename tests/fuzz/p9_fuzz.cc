// Fuzzes the 9P device with messages that are mostly well formed, for fids that mostly exist, and
// with everything else that a driver can do, on a store and on a writable share. Must hold: every
// request completes, every stop ends, no answer contains a byte from outside, nothing outside is
// changed, and the numbers of open files and known nodes stay bounded.

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "tests/fuzz/device_program.h"
#include "tests/fuzz/secret.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"
#include "virtio/p9/p9_device.h"

namespace virtio {
namespace {

constexpr uint32_t kMaxFids = 12;
// Room for a dozen files and their fids.
const size_t kMaxNodeBytes = NodeTable::BytesFor(12) + 8192;

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

// Made once, since the device never changes it.
const TemporaryTree& Host() {
  static const TemporaryTree host("/tmp");
  [[maybe_unused]] static const bool filled = Fill(host);
  return host;
}

// Makes "work", which an input may write to, and files beside it, which it may not.
void FillWritable(const TemporaryTree& host) {
  host.Write("work/1-a/file", "content");
  host.Write("work/file", "x");
  host.Link("../secret", "work/link");
  host.Link("..", "work/dir");
  host.Write("secret", kSecret);
}

void CheckOutside(const TemporaryTree& host) {
  std::ifstream secret(host.Path("secret"));
  const std::string content{std::istreambuf_iterator<char>(secret), {}};
  CHECK(absl::string_view(content) == kSecret);
  struct stat status;
  CHECK(stat(host.Path("secret").c_str(), &status) == 0 && status.st_nlink == 1);
  CHECK(std::distance(std::filesystem::directory_iterator(host.path()), {}) == 2);
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
    static constexpr std::array<uint8_t, 32> kTypes = {
        kP9Walk,      kP9Walk,        kP9Walk,     kP9Walk,   kP9Open,     kP9Open,     kP9Read,
        kP9Read,      kP9ReadDir,     kP9ReadLink, kP9Clunk,  kP9Flush,    kP9Attach,   kP9GetAttr,
        kP9StatFs,    kP9Remove,      kP9Create,   kP9Write,  kP9Write,    kP9SetAttr,  kP9MkDir,
        kP9MkNod,     kP9SymLink,     kP9Link,     kP9Rename, kP9RenameAt, kP9UnlinkAt, kP9FSync,
        kP9XattrWalk, kP9XattrCreate, kP9Lock,     kP9GetLock};
    const uint8_t what = input_.Byte();
    const uint8_t how = input_.Byte();
    const uint8_t type = what < 0xF0   ? kTypes[what % kTypes.size()]
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
        PutName(how);
        return Put(input_.Byte() % 2, 4);  // who
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
      case kP9Write: {
        PutFid(how);
        Put(input_.Number(how % 16 < 14 ? how % 2 + 1 : 8), 8);
        const std::span<const uint8_t> data = input_.Bytes(40);
        Put(data.size(), 4);
        message_.insert(message_.end(), data.begin(), data.end());
        return;
      }
      case kP9SetAttr:
        PutFid(how);
        Put(input_.Number(2), 4);
        Put(input_.Number(2), 4);   // mode
        Put(input_.Byte() % 2, 4);  // owners
        Put(input_.Byte() % 2, 4);
        Put(input_.Number(how % 8 < 6 ? 2 : 8), 8);  // size
        for (int i = 0; i < 4; ++i) Put(input_.Number(how % 8 == 7 ? 8 : 1), 8);
        return;
      case kP9Link:
      case kP9Rename:
      case kP9XattrWalk:
        PutFid(how);
        PutFid(how);
        return type == kP9XattrWalk ? PutXattrName() : PutName(how);
      case kP9RenameAt:
        PutFid(how);
        PutName(how);
        PutFid(how);
        return PutName(how);
      case kP9Create:
      case kP9MkDir:
      case kP9MkNod:
      case kP9SymLink:
      case kP9UnlinkAt:
        PutFid(how);
        PutName(how);
        if (type == kP9SymLink) PutString(how % 2 == 0 ? "../secret" : "file");
        if (type == kP9UnlinkAt) return Put(how % 2 == 0 ? 0 : input_.Number(2), 4);
        if (type == kP9Create) Put(input_.Number(how % 4 == 3 ? 4 : 2), 4);  // flags
        if (type != kP9SymLink) Put(input_.Number(2), 4);                    // mode
        if (type == kP9MkNod) Put(input_.Byte() % 2, 8);                     // device
        return Put(0, 4);                                                    // group
      case kP9XattrCreate:
        PutFid(how);
        PutXattrName();
        Put(input_.Number(how % 8 < 6 ? 1 : 8), 8);
        return Put(input_.Byte() % 4, 4);
      case kP9Lock:
      case kP9GetLock:
        PutFid(how);
        Put(input_.Byte() % 4, 1);
        if (type == kP9Lock) Put(how % 4, 4);
        Put(input_.Number(how % 8 < 6 ? 1 : 8), 8);
        Put(input_.Number(how % 8 < 6 ? 1 : 8), 8);
        Put(input_.Byte() % 3, 4);
        return PutString("guest");
      default:
        PutFid(how);
        Put(how % 4 < 2 ? input_.Number(4) : how % 4, 4);  // OPEN: flags; FSYNC: only the data
    }
  }

  void PutXattrName() {
    static constexpr std::array<absl::string_view, 4> kNames = {"user.a", "user.b", "",
                                                                "trusted.a"};
    PutString(kNames[input_.Byte() % kNames.size()]);
  }

  // Offers the header, the arguments and room for an answer in up to four buffers.
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
    for (size_t i = 0; i < chain.size(); ++i) {
      FakeDriver::Descriptor descriptor = chain[i];
      if (i + 1 < chain.size()) descriptor.flags |= 1;
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

HostTree::Options StoreOptions() {
  HostTree::Options options;
  options.path = Host().Path("store");
  options.closure = Host().Path("closure");
  return options;
}

HostTree::Options WritableOptions(const TemporaryTree& host) {
  HostTree::Options options;
  options.path = host.Path("work");
  options.writable = true;
  return options;
}

void CheckBounds(const Counters& counters) {
  CHECK(counters.at("node_bytes") <= kMaxNodeBytes && counters.at("open_directories") <= 2);
  // One more file may be open for locks.
  CHECK(counters.at("fids") <= kMaxFids && counters.at("open_files") <= 3);
}

void Run(FuzzInput& input, P9Versions versions, HostTree::Options tree_options) {
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  tree_options.name = "fs[0]";
  tree_options.max_directories = 2;
  tree_options.max_node_bytes = kMaxNodeBytes;
  auto opened = *HostTree::Open(std::move(tree_options));
  HostTree& tree = *opened;
  auto device = *P9Device::Create({.id = "f",
                                   .tag = "t",
                                   .versions = versions,
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
    if (steps % 4 == 0) CheckBounds(device->counters());
  }
  program.Finish(*device);
  CHECK(harness.loop().in_flight() == 0);
  const Counters counters = device->counters();
  CHECK(counters.at("nodes") == 1 && counters.at("open_files") == 0 && counters.at("fids") == 0);
  CHECK(!requests.SawSecret());
}

void Run(FuzzInput input) {
  const uint8_t flags = input.Byte();
  const auto versions = static_cast<P9Versions>(flags % 3);
  if ((flags & 0x80) == 0) return Run(input, versions, StoreOptions());
  const TemporaryTree host("/tmp");
  FillWritable(host);
  Run(input, versions, WritableOptions(host));
  CheckOutside(host);
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The device logs what a hostile guest causes; these lines are useless for each input here.
  base::SetLogLevel(base::LogLevel::kFatal);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
