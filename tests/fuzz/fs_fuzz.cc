// Fuzzes the file system device with FUSE requests that are mostly well formed, for nodes that
// mostly exist, and with everything else that a driver can do. Must hold: every request completes,
// every stop ends, no answer contains a byte from outside the closure, and the numbers of open
// files and known nodes stay bounded. With a writable share, nothing outside the share is changed,
// either.

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "tests/fuzz/device_program.h"
#include "tests/fuzz/secret.h"
#include "virtio/fs/fs_device.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kMaxNodes = 12;
constexpr uint32_t kMaxOpenFiles = 4;
constexpr uint16_t kRequests = 1;
constexpr uint64_t kRangeBytes = DaxWindow::kRangeBytes;
constexpr uint64_t kDaxRanges = 4;
constexpr uint64_t kBigBytes = 2 * kRangeBytes + 5000;

bool Fill(const TemporaryTree& host) {
  host.Write("store/1-a/dir/file", "content");
  host.Write("store/1-a/file", std::string(10'000, 'x'));
  for (char c = 'a'; c < 'k'; ++c) host.Write(std::string("store/1-a/many/") + c, "x");
  host.Link("../2-secret/key", "store/1-a/link");
  CHECK(mkfifo(host.Path("store/1-a/pipe").c_str(), 0644) == 0);
  host.Write("store/2-secret/key", kSecret);
  host.Write("store/1-a/big", "big");
  host.Write("closure", "/nix/store/1-a\n");
  return true;
}

// Made once, since the device never changes it.
const TemporaryTree& Host() {
  static const TemporaryTree host("/tmp");
  [[maybe_unused]] static const bool filled = Fill(host);
  return host;
}

// Truncates the only file that the host changes.
void CutBig(uint64_t bytes) {
  CHECK(truncate(Host().Path("store/1-a/big").c_str(), static_cast<off_t>(bytes)) == 0);
}

// A tree that the device may write to, with a secret beside it. It is made anew for each input.
class WritableHost {
 public:
  WritableHost() : host_(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") {
    host_.Directory("share/dir");
    host_.Write("share/file", "content");
    host_.Write("share/dir/file", "content");
    host_.Link("../../secret/key", "share/dir/link");
    host_.Link("../secret", "share/many");
    host_.Write("secret/key", kSecret);
    before_ = Describe();
  }
  ~WritableHost() { CHECK(Describe() == before_); }

  std::string root() const { return host_.Path("share"); }

 private:
  // Describes everything outside the share: the names, and all values in which a change would leave
  // traces.
  std::string Describe() const {
    std::string all;
    for (const char* name : {"secret", "secret/key"}) {
      struct stat status;
      CHECK(lstat(host_.Path(name).c_str(), &status) == 0);
      absl::StrAppend(&all, status.st_mode, " ", status.st_uid, " ", status.st_size, " ",
                      status.st_nlink, " ", status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec,
                      "\n");
    }
    for (const auto& entry : std::filesystem::directory_iterator(host_.path())) {
      absl::StrAppend(&all, entry.path().string(), "\n");
    }
    return all;
  }

  const TemporaryTree host_;
  std::string before_;
};

// Limits the size of the files that the guest writes.
void LimitFiles() {
  signal(SIGXFSZ, SIG_IGN);
  constexpr rlim_t kMaxFileBytes = 5 << 20;
  const rlimit limit = {kMaxFileBytes, kMaxFileBytes};
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

class FsProgram {
 public:
  FsProgram(FuzzInput& input, DeviceHarness& harness, bool writable)
      : input_(input), harness_(harness), writable_(writable) {}

  // Begins a session as every guest must; without it little code is reached.
  void BeginSession() { Offer(kRequests, FUSE_INIT, /*what=*/0, /*how=*/4); }

  void OfferRequest(uint16_t queue) {
    static constexpr std::array<uint32_t, 16> kOpcodes = {
        FUSE_LOOKUP, FUSE_LOOKUP,  FUSE_LOOKUP,      FUSE_READ,         FUSE_READ,    FUSE_READDIR,
        FUSE_INIT,   FUSE_FORGET,  FUSE_READDIRPLUS, FUSE_BATCH_FORGET, FUSE_GETATTR, FUSE_READLINK,
        FUSE_STATFS, FUSE_DESTROY, FUSE_OPEN,        FUSE_INTERRUPT};
    static constexpr std::array<uint32_t, 4> kDaxOpcodes = {FUSE_SETUPMAPPING, FUSE_SETUPMAPPING,
                                                            FUSE_SETUPMAPPING, FUSE_REMOVEMAPPING};
    static constexpr std::array<uint32_t, 32> kChanges = {FUSE_LOOKUP,    FUSE_LOOKUP,
                                                          FUSE_CREATE,    FUSE_CREATE,
                                                          FUSE_OPEN,      FUSE_OPEN,
                                                          FUSE_WRITE,     FUSE_WRITE,
                                                          FUSE_READ,      FUSE_RELEASE,
                                                          FUSE_MKDIR,     FUSE_MKNOD,
                                                          FUSE_SYMLINK,   FUSE_LINK,
                                                          FUSE_UNLINK,    FUSE_UNLINK,
                                                          FUSE_RMDIR,     FUSE_RENAME,
                                                          FUSE_RENAME2,   FUSE_SETATTR,
                                                          FUSE_SETATTR,   FUSE_FSYNC,
                                                          FUSE_FSYNCDIR,  FUSE_FALLOCATE,
                                                          FUSE_LSEEK,     FUSE_COPY_FILE_RANGE,
                                                          FUSE_SETXATTR,  FUSE_GETXATTR,
                                                          FUSE_LISTXATTR, FUSE_REMOVEXATTR,
                                                          FUSE_READDIR,   FUSE_FORGET};
    const uint8_t what = input_.Byte();
    const uint8_t how = input_.Byte();
    Offer(queue,
          what >= 0xF0                 ? static_cast<uint32_t>(input_.Number(2))
          : writable_ && what % 8 != 7 ? kChanges[what / 7 % 32]
          : what < 0xE0                ? kOpcodes[what % 16]
                                       : kDaxOpcodes[what % 4],
          what, how);
  }

  // Learns the node that LOOKUP may have returned, so that later requests name real nodes.
  void LearnNode() {
    const auto entry =
        harness_.memory().Load<fuse_entry_out>(last_answer_ + sizeof(fuse_out_header));
    if (entry.has_value() && nodes_.size() < 64) nodes_.push_back(entry->nodeid);
  }

  bool SawSecret() const { return HasSecret(harness_.memory(), DeviceProgram::kRamBytes); }

 private:
  // Offers the header, the arguments and room for an answer in up to four buffers.
  void Offer(uint16_t queue, uint32_t opcode, uint8_t what, uint8_t how) {
    fuse_in_header header = {};
    header.opcode = opcode;
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
    for (size_t i = 0; i < chain.size(); ++i) {
      FakeDriver::Descriptor descriptor = chain[i];
      if (i + 1 < chain.size()) descriptor.flags |= 1;
      descriptor.next = static_cast<uint16_t>((head + i + 1) % DeviceProgram::kQueueSize);
      driver.WriteDescriptor(static_cast<uint16_t>((head + i) % DeviceProgram::kQueueSize),
                             descriptor);
    }
    driver.OfferRaw(head);
    last_answer_ = answer;
    slot_ = (slot_ + 1) % 8;
  }

  uint64_t Node(uint8_t how) {
    if (how % 4 == 0) return 1;
    if (how % 4 == 3) return input_.Number(how % 9);
    return nodes_.empty() ? 1 : nodes_[input_.Byte() % nodes_.size()];
  }

  // Returns a place in the DAX window or a size, mostly a valid one.
  uint64_t DaxNumber(unsigned how) {
    if (how % 8 == 5) return input_.Number(8);
    return input_.Byte() % 6 * DaxWindow::kRangeBytes;
  }

  // Returns a file handle, mostly a valid one: handles count from 1.
  uint64_t Handle(uint8_t how) { return how % 16 == 15 ? input_.Number(8) : input_.Byte() % 8; }
  // Returns an offset, mostly a small one.
  uint64_t Offset(uint8_t how) { return how % 16 < 12 ? input_.Number(how % 3) : input_.Number(8); }

  std::vector<uint8_t> Arguments(uint32_t opcode, uint8_t how) {
    static constexpr std::array<absl::string_view, 13> kNames = {
        "1-a",      "dir", "file",        "many", "link", "pipe", "..",
        "2-secret", ".",   "../2-secret", "a",    "",     "big"};
    std::vector<uint8_t> bytes;
    const auto put = [&bytes](uint64_t value, size_t size) {
      for (size_t i = 0; i < size; ++i)
        bytes.push_back(static_cast<uint8_t>(i < 8 ? value >> (8 * i) : 0));
    };
    const auto put_name = [this, &bytes] {
      const absl::string_view name = kNames[input_.Byte() % kNames.size()];
      bytes.insert(bytes.end(), name.begin(), name.end());
      bytes.push_back(0);
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
      case FUSE_CREATE:
        put(input_.Number(4), 4);  // flags
        put(S_IFREG | input_.Number(2), 4);
        put(input_.Byte(), 4);
        put(how % 2, 4);
        put_name();
        break;
      case FUSE_MKNOD:
        put(input_.Number(2), 4);
        put(how % 4 == 0 ? input_.Number(4) : 0, 4);
        put(0, 8);
        put_name();
        break;
      case FUSE_MKDIR:
        put(input_.Number(2), 8);
        put_name();
        break;
      case FUSE_LINK:
        put(Node(input_.Byte()), 8);
        put_name();
        break;
      case FUSE_UNLINK:
      case FUSE_RMDIR:
      case FUSE_REMOVEXATTR:
        put_name();
        break;
      case FUSE_RENAME:
      case FUSE_RENAME2:
        put(Node(input_.Byte()), 8);
        if (opcode == FUSE_RENAME2) put(how % 8, 8);
        put_name();
        put_name();
        break;
      case FUSE_SYMLINK:
        put_name();
        put_name();
        break;
      case FUSE_OPEN:
        put(input_.Number(4), 4);
        put(how % 2, 4);
        break;
      case FUSE_WRITE: {
        const uint32_t size = how % 4 == 0 ? input_.Byte() : 8;
        put(Handle(how), 8);
        put(Offset(how), 8);
        put(size, 4);
        put(how % 8, 12);
        put(how % 2 == 0 ? O_APPEND : 0, 8);
        put(~uint64_t{0}, how % 32 == 7 ? 3 : size);
        break;
      }
      case FUSE_SETATTR:
        put(input_.Number(2), 8);  // what
        put(Handle(how), 8);
        put(Offset(how), 16);
        put(input_.Number(8), 8);  // times
        put(input_.Number(8), 16);
        put(input_.Number(8), 12);
        put(input_.Number(2), 8);  // mode
        put(geteuid(), 4);
        put(getegid(), 8);
        break;
      case FUSE_RELEASE:
      case FUSE_FSYNC:
      case FUSE_FSYNCDIR:
        put(Handle(how), 8);
        put(how % 2, 16);
        break;
      case FUSE_FALLOCATE:
      case FUSE_LSEEK:
        put(Handle(how), 8);
        put(Offset(how), 8);
        put(Offset(how), 8);
        put(how % 16 < 12 ? 3 : input_.Number(4), 8);
        break;
      case FUSE_COPY_FILE_RANGE:
        put(Handle(how), 8);
        put(Offset(how), 8);
        put(Node(input_.Byte()), 8);
        put(Handle(how), 8);
        put(input_.Byte(), 8);
        put(Offset(how), 16);
        break;
      case FUSE_SETXATTR:
      case FUSE_GETXATTR:
      case FUSE_LISTXATTR: {
        const uint32_t size = input_.Byte();
        put(size, 8);
        if (opcode == FUSE_LISTXATTR) break;
        const absl::string_view name("user.a", 7);  // with its NUL
        bytes.insert(bytes.end(), name.begin(), name.end());
        if (opcode == FUSE_SETXATTR) put(7, size);
        break;
      }
      case FUSE_READ:
      case FUSE_READDIR:
      case FUSE_READDIRPLUS:
        put(writable_ ? Handle(how) : 0, 8);
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
  const bool writable_;
  std::vector<uint64_t> nodes_;
  uint64_t last_answer_ = 0x100000;
  uint32_t slot_ = 0;
};

void CheckBounds(const Counters& counters, bool with_dax) {
  CHECK(counters.at("nodes") <= kMaxNodes && counters.at("open_directories") <= 2);
  // Each flush in flight also holds a directory open.
  CHECK(counters.at("open_files") <= 2 * kMaxOpenFiles);
  CHECK(counters.at("dax_ranges") <= (with_dax ? kDaxRanges : 0));
}

// If a page of the window cannot be read, a guest that reads it waits forever.
void CheckWindow(FsDevice& device, DeviceHarness& harness) {
  harness.loop().RunUntilIdle();
  const SharedMemoryRegion& window = device.shared_memory()[0];
  CHECK(madvise(const_cast<uint8_t*>(window.host), window.length, MADV_POPULATE_READ) == 0);
}

void Run(FuzzInput input) {
  const uint8_t flags = input.Byte();
  DeviceProgram program(input);
  DeviceHarness& harness = program.harness();
  const bool writable = (flags & 0x90) == 0x10;
  std::optional<WritableHost> writable_host;
  HostTree::Options options;
  options.name = "fs[0]";
  if (writable) {
    writable_host.emplace();
    options.path = writable_host->root();
    options.writable = true;
    options.uids = MapToOwn(geteuid(), {0});
    options.gids = MapToOwn(getegid(), {0});
  } else {
    options.path = Host().Path("store");
    options.closure = Host().Path("closure");
  }
  options.max_directories = 2;
  options.max_node_bytes = NodeTable::BytesFor(kMaxNodes);
  auto opened = *HostTree::Open(std::move(options));
  HostTree& tree = *opened;
  const bool with_dax = (flags & 0x80) != 0;
  // A writable share has no kAlways.
  const auto cache = static_cast<FsCache>(flags % (writable ? 2 : 3));
  auto device = *FsDevice::Create({.id = "f",
                                   .tag = "t",
                                   .cache = with_dax ? FsCache::kAlways : cache,
                                   .queue_size = DeviceProgram::kQueueSize,
                                   .max_open_files = kMaxOpenFiles,
                                   .dax_window_bytes = with_dax ? kDaxRanges * kRangeBytes : 0,
                                   .sync = {.sync = [](int) { return HostError(); },
                                            .sync_all = [] {},
                                            .run =
                                                [](FileSystemSync::Job job) {
                                                  job();
                                                  return absl::OkStatus();
                                                }}},
                                  std::move(opened), harness.loop(), harness.memory());
  if (with_dax) CutBig(kBigBytes);
  harness.Start(*device, device->features());
  FsProgram requests(input, harness, writable);
  if ((flags & 0x20) == 0) {
    requests.BeginSession();
    harness.Kick(kRequests);
    harness.loop().RunUntilIdle();
  }
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
    } else if (with_dax && step < 0xFC) {
      CutBig(input.Byte() % 129 * kBigBytes / 128);
    } else {
      CHECK(tree.RereadClosure().ok());
    }
    if (steps % 4 == 0) CheckBounds(device->counters(), with_dax);
  }
  if (with_dax) CheckWindow(*device, harness);
  program.Finish(*device);
  CHECK(harness.loop().in_flight() == 0);
  CHECK(device->counters().at("nodes") == 1 && device->counters().at("open_files") == 0);
  CHECK(device->counters().at("dax_ranges") == 0);
  CHECK(!requests.SawSecret());
}

}  // namespace
}  // namespace virtio

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The device logs what a hostile guest causes; these lines are useless for each input here.
  base::SetLogLevel(base::LogLevel::kFatal);
  [[maybe_unused]] static const bool limited = (virtio::LimitFiles(), true);
  virtio::Run(virtio::FuzzInput(data, size));
  return 0;
}
