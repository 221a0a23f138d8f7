#include "vmm/machine/host_resources.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/character/create_backend.h"
#include "virtio/block/block_image.h"
#include "virtio/block/image_lock.h"
#include "virtio/console/console_device.h"
#include "virtio/entropy/entropy_device.h"
#include "virtio/fs/fs_device.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/p9/p9_device.h"
#include "vmm/machine/disk_sync.h"

namespace vmm {
namespace {

constexpr size_t kMaxShareThreads = 4;

virtio::OwnerMap ToOwnerMap(const std::vector<IdRangeConfig>& config) {
  std::vector<virtio::OwnerRange> ranges;
  ranges.reserve(config.size());
  for (const IdRangeConfig& range : config) {
    ranges.push_back({.guest = range.guest, .host = range.host, .count = range.count});
  }
  return virtio::OwnerMap(std::move(ranges));
}

absl::StatusOr<std::unique_ptr<virtio::Device>> CreateFsDevice(
    const FsConfig& config, uint32_t max_open_files, std::unique_ptr<virtio::HostTree> tree,
    base::EventLoop& loop, base::GuestMemory& memory) {
  virtio::FsDevice::Options options;
  options.id = config.id;
  options.tag = config.tag;
  options.cache = config.NeverChanges()                ? virtio::FsCache::kAlways
                  : config.cache == ShareCache::kNever ? virtio::FsCache::kNever
                                                       : virtio::FsCache::kAuto;
  options.num_queues = static_cast<uint16_t>(config.num_queues);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.max_open_files = max_open_files;
  options.dax_window_bytes = config.dax_window.value_or(0);
  return virtio::FsDevice::Create(std::move(options), std::move(tree), loop, memory);
}

absl::StatusOr<std::unique_ptr<virtio::Device>> CreateP9Device(
    const FsConfig& config, uint32_t max_open_files, std::unique_ptr<virtio::HostTree> tree,
    base::EventLoop& loop, base::GuestMemory& memory) {
  virtio::P9Device::Options options;
  options.id = config.id;
  options.tag = config.tag;
  options.versions = config.NeverChanges()                ? virtio::P9Versions::kConstant
                     : config.cache == ShareCache::kNever ? virtio::P9Versions::kNone
                                                          : virtio::P9Versions::kContents;
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  options.max_open_files = max_open_files;
  return virtio::P9Device::Create(std::move(options), std::move(tree), loop, memory);
}

// Mode Off makes no back end.
absl::StatusOr<std::unique_ptr<devices::CharacterBackend>> CreateBackend(
    absl::string_view key, ConsoleMode mode, const std::optional<std::string>& file,
    std::optional<uint64_t> max_size, const std::optional<std::string>& socket,
    absl::AnyInvocable<void()> on_escape, base::EventLoop& loop) {
  devices::CharacterBackendOptions options;
  options.name = std::string(key);
  options.on_escape = std::move(on_escape);
  if (max_size.has_value()) options.max_file_bytes = *max_size;
  switch (mode) {
    case ConsoleMode::kOff:
      return nullptr;
    case ConsoleMode::kNull:
      options.mode = devices::CharacterMode::kNull;
      break;
    case ConsoleMode::kTty:
      options.mode = devices::CharacterMode::kTty;
      break;
    case ConsoleMode::kPty:
      options.mode = devices::CharacterMode::kPty;
      break;
    case ConsoleMode::kFile:
      options.mode = devices::CharacterMode::kFile;
      options.path = *file;
      break;
    case ConsoleMode::kSocket:
      options.mode = devices::CharacterMode::kSocket;
      options.path = *socket;
      break;
  }
  return devices::CreateCharacterBackend(std::move(options), loop);
}

// A line on what is not to be found in the sink of a console, if anything.
void LogLosses(absl::string_view key, const devices::CharacterBackend* backend) {
  if (backend == nullptr) return;
  const uint64_t dropped = backend->dropped_bytes(), removed = backend->removed_bytes();
  if (dropped != 0) {
    // UNLIMITED: once; the VM ends.
    LOG(Warning) << key << ": " << dropped << " of " << backend->written_bytes()
                 << " bytes of output were dropped";
  }
  if (removed != 0) {
    // UNLIMITED: as above.
    LOG(Info) << key << ": the oldest " << removed << " of " << backend->written_bytes()
              << " bytes of output were removed from its files to keep within max_size";
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostResources>> HostResources::Open(
    const VmConfig& config, absl::FunctionRef<absl::StatusOr<uint32_t>()> guest_phys_bits,
    absl::AnyInvocable<void()> on_escape) {
  auto host = std::unique_ptr<HostResources>(new HostResources());
  ASSIGN_OR_RETURN(host->payload_, OpenPayload(config.payload));
  RETURN_IF_ERROR(host->CreateLoops(config));
  ASSIGN_OR_RETURN(const uint32_t phys_bits, guest_phys_bits());
  ASSIGN_OR_RETURN(host->layout_, MakeGuestLayout(config.memory.size, phys_bits));
  base::GuestMemory::Options memory;
  memory.thp = config.memory.thp;
  memory.prefault = config.memory.prefault;
  memory.hugepages = config.memory.hugepages;
  memory.hugepage_size_bytes = config.memory.hugepage_size.value_or(0);
  ASSIGN_OR_RETURN(host->memory_, base::GuestMemory::Create(memory, host->layout_.ram));
  for (size_t i = 0; i < config.disks.size(); ++i) {
    RETURN_IF_ERROR(host->OpenDisk(config.disks[i], i));
  }
  RETURN_IF_ERROR(host->OpenShares(config));
  // Last, so that an error above does not touch the terminal.
  RETURN_IF_ERROR(host->OpenConsoles(config, std::move(on_escape)));
  RETURN_IF_ERROR(host->CreateDevices(config));
  return host;
}

HostResources::~HostResources() {
  for (const auto& thread : share_threads_) thread->Stop();
  for (const auto& thread : io_threads_) thread->Stop();
}

absl::Status HostResources::CreateLoops(const VmConfig& config) {
  base::UringEventLoop::Options options;
  // Each disk needs its image and a doorbell for each queue; what else there is fits the default.
  for (const DiskConfig& disk : config.disks) options.max_files += disk.num_queues + 1;
  // Clients of a console socket come and go on the first loop: its files cannot be a fixed table.
  const bool has_socket =
      config.console.mode == ConsoleMode::kSocket || config.serial.mode == ConsoleMode::kSocket;
  for (uint32_t i = 0; i < config.io_threads; ++i) {
    options.fixed_files = !(i == 0 && has_socket);
    ASSIGN_OR_RETURN(auto thread, base::LoopThread::Create(absl::StrCat("io", i), options));
    io_threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

// Adds a device with its doorbells, to be shown to the guest in `pci_slot`.
absl::Status HostResources::Place(std::unique_ptr<virtio::Device> device, uint32_t pci_slot,
                                  std::optional<uint64_t> features_mask) {
  ASSIGN_OR_RETURN(auto doorbells, virtio::DeviceDoorbells::Create(*device));
  devices_.push_back(
      {std::move(device), std::move(doorbells), pci_slot, features_mask.value_or(~uint64_t{0})});
  return absl::OkStatus();
}

// Devices are dealt out to the I/O threads in config order.
base::EventLoop& HostResources::NextLoop() {
  return io_threads_[next_loop_++ % io_threads_.size()]->loop();
}

absl::Status HostResources::OpenDisk(const DiskConfig& config, size_t index) {
  virtio::BlockImage::Options image_options;
  image_options.name = absl::StrCat("disks[", index, "].path");
  image_options.path = config.path;
  image_options.readonly = config.readonly;
  image_options.direct = config.direct;
  image_options.sparse = config.sparse;
  image_options.logical_block_bytes = config.logical_block_size;
  // Its own lock would keep the second one out, and look like another VM's.
  for (size_t i = 0; i < disks_.size(); ++i) {
    if ((config.readonly && disks_[i].readonly) ||
        !virtio::IsSameImage(config.path, disks_[i].fd)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        image_options.name, ": ", config.path, ": is the same image as disks[", i, "].path, ",
        disks_[i].path, "; give each disk its own, or set readonly in both"));
  }
  ASSIGN_OR_RETURN(virtio::BlockImage image, virtio::BlockImage::Open(std::move(image_options)));
  const int fd = image.fd();
  virtio::BlockDevice::Options options;
  options.id = config.id;
  options.serial = config.serial.value_or("");
  options.num_queues = static_cast<uint16_t>(config.num_queues);
  options.queue_size = static_cast<uint16_t>(config.queue_size);
  ASSIGN_OR_RETURN(auto device,
                   virtio::BlockDevice::Create(options, std::move(image), NextLoop(), *memory_));
  virtio::BlockDevice* const disk = device.get();
  auto measurer = std::make_unique<DiskMeasurer>([disk](const absl::StatusOr<uint64_t>& size) {
    if (!size.ok()) {
      // UNLIMITED: the host asks, by SIGHUP.
      LOG(Warning) << disk->id() << ": " << size.status().message();
    } else {
      disk->loop().Post([disk, size = *size] { disk->Resize(size); });
    }
  });
  disks_.push_back({disk, config.path, fd, config.readonly, std::move(measurer)});
  return Place(std::move(device), *config.pci_device_id, config.features_mask);
}

absl::Status HostResources::OpenShares(const VmConfig& config) {
  if (config.fs.empty()) return absl::OkStatus();
  base::UringEventLoop::Options options;
  options.fixed_files = false;  // files come and go
  // Doorbells stay: one for each queue, and one of requests that are in a hurry.
  for (const FsConfig& share : config.fs) options.max_files += share.num_queues + 1;
  for (size_t i = 0; i < std::min(config.fs.size(), kMaxShareThreads); ++i) {
    ASSIGN_OR_RETURN(auto thread, base::LoopThread::Create(absl::StrCat("share", i), options));
    share_threads_.push_back(std::move(thread));
  }
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return base::ErrnoStatus(errno, "RLIMIT_NOFILE");
  // The limit that a process starts with is low for those that select(), of which this is none.
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return base::ErrnoStatus(errno, "RLIMIT_NOFILE");
  ASSIGN_OR_RETURN(const auto limits,
                   LimitsOfShares(config.fs, limit.rlim_cur, memory_->total_bytes()));
  for (size_t i = 0; i < config.fs.size(); ++i) {
    RETURN_IF_ERROR(OpenShare(config.fs[i], i, limits[i]));
  }
  return absl::OkStatus();
}

absl::Status HostResources::OpenShare(const FsConfig& config, size_t index,
                                      const ShareLimits& limits) {
  virtio::HostTree::Options tree_options;
  tree_options.name = absl::StrCat("fs[", index, "]");
  tree_options.path = config.path;
  tree_options.closure = config.closure;
  tree_options.writable = !config.readonly;
  tree_options.submounts = config.submounts;
  tree_options.uids = ToOwnerMap(config.uid_map);
  tree_options.gids = ToOwnerMap(config.gid_map);
  tree_options.max_directories = limits.directories;
  tree_options.max_node_bytes = limits.node_bytes;
  ASSIGN_OR_RETURN(auto tree, virtio::HostTree::Open(std::move(tree_options)));
  base::EventLoop& loop = share_threads_[index % share_threads_.size()]->loop();
  shares_.push_back({config.id, &loop, tree.get()});
  const auto create = config.proto == ShareProtocol::k9p ? CreateP9Device : CreateFsDevice;
  ASSIGN_OR_RETURN(auto device, create(config, limits.open_files, std::move(tree), loop, *memory_));
  return Place(std::move(device), *config.pci_device_id, config.features_mask);
}

absl::Status HostResources::OpenConsoles(const VmConfig& config,
                                         absl::AnyInvocable<void()> on_escape) {
  // Only one of them can be Tty (the config says so): the other never calls on_escape.
  const bool serial_is_tty = config.serial.mode == ConsoleMode::kTty;
  absl::AnyInvocable<void()> none = [] {};
  ASSIGN_OR_RETURN(serial_backend_,
                   CreateBackend("serial", config.serial.mode, config.serial.file,
                                 config.serial.max_size, config.serial.socket,
                                 std::move(serial_is_tty ? on_escape : none), console_loop()));
  ASSIGN_OR_RETURN(console_backend_,
                   CreateBackend("console", config.console.mode, config.console.file,
                                 config.console.max_size, config.console.socket,
                                 std::move(serial_is_tty ? none : on_escape), console_loop()));
  return absl::OkStatus();
}

absl::Status HostResources::CreateDevices(const VmConfig& config) {
  if (console_backend_ != nullptr) {
    RETURN_IF_ERROR(Place(std::make_unique<virtio::ConsoleDevice>(config.console.id, console_loop(),
                                                                  *memory_, *console_backend_),
                          *config.console.pci_device_id, config.console.features_mask));
  }
  ASSIGN_OR_RETURN(auto entropy,
                   virtio::EntropyDevice::Create({.id = config.rng.id, .source = config.rng.src},
                                                 NextLoop(), *memory_));
  return Place(std::move(entropy), *config.rng.pci_device_id, config.rng.features_mask);
}

absl::Status HostResources::Start() {
  for (const auto& thread : share_threads_) RETURN_IF_ERROR(thread->Start());
  for (const auto& thread : io_threads_) RETURN_IF_ERROR(thread->Start());
  return absl::OkStatus();
}

uint64_t HostResources::console_bytes() const {
  return (serial_backend_ == nullptr ? 0 : serial_backend_->written_bytes()) +
         (console_backend_ == nullptr ? 0 : console_backend_->written_bytes());
}

bool HostResources::consoles_drained() const {
  return (serial_backend_ == nullptr || serial_backend_->drained()) &&
         (console_backend_ == nullptr || console_backend_->drained());
}

void HostResources::FinishConsoles() {
  if (serial_backend_ != nullptr) serial_backend_->FinishOutput();
  if (console_backend_ != nullptr) console_backend_->FinishOutput();
}

void HostResources::NotifyTerminal() {
  if (serial_backend_ != nullptr) serial_backend_->NotifyTerminal();
  if (console_backend_ != nullptr) console_backend_->NotifyTerminal();
}

size_t HostResources::ReloadClosures(const ClosureReport& report) {
  size_t shares = 0;
  for (const Share& share : shares_) {
    if (!share.tree->has_closure()) continue;
    ++shares;
    if (share.rereading->exchange(true)) {
      report(share.id, absl::UnavailableError("it is being read already, for longer than expected; "
                                              "does the host's file system answer?"));
      continue;
    }
    share.loop->Post([&share, report] {
      const size_t before = share.tree->closure_size();
      const absl::Status status = share.tree->RereadClosure();
      share.rereading->store(false);
      report(share.id, status.ok() ? absl::StatusOr<size_t>(share.tree->closure_size() - before)
                                   : absl::StatusOr<size_t>(status));
    });
  }
  return shares;
}

void HostResources::Reread() {
  ReloadClosures([](const std::string& share, const absl::StatusOr<size_t>& added) {
    if (!added.ok()) {
      // UNLIMITED: the host asks, by SIGHUP.
      LOG(Warning) << share << ": the closure stays as it was: " << added.status().message();
    }
  });
  for (const Disk& disk : disks_) {
    if (const absl::Status status = disk.measurer->Measure(disk.fd); !status.ok()) {
      // UNLIMITED: as above.
      LOG(Warning) << disk.device->id() << ": " << status.message();
    }
  }
}

bool HostResources::SyncDisks(std::chrono::milliseconds patience) {
  std::vector<DiskToSync> disks;
  for (const Disk& disk : disks_) {
    if (disk.readonly) continue;  // nothing was written
    disks.push_back({disk.path, disk.fd, &disk.device->lost_writes_error()});
  }
  const std::vector<UnsyncedDisk> unsynced = SyncWithin(disks, patience);
  // UNLIMITED: once; the VM ends.
  for (const UnsyncedDisk& disk : unsynced) LOG(Error) << Describe(disk, patience);
  return unsynced.empty();
}

bool HostResources::StopThreads(std::chrono::milliseconds patience) {
  std::vector<base::LoopThread*> threads;
  for (const auto& thread : share_threads_) threads.push_back(thread.get());
  for (const auto& thread : io_threads_) threads.push_back(thread.get());
  for (base::LoopThread* thread : threads) thread->RequestStop();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  bool all = true;
  for (base::LoopThread* thread : threads) {
    if (thread->Join(std::max(deadline - std::chrono::steady_clock::now(), {}))) continue;
    all = false;
    std::string users;
    for (const PlacedDevice& placed : devices_) {
      if (&placed.device->loop() == &thread->loop())
        absl::StrAppend(&users, " ", placed.device->id());
    }
    // UNLIMITED: once; the VM ends.
    LOG(Error) << "thread " << thread->name() << " (" << absl::StripLeadingAsciiWhitespace(users)
               << ") hangs in a call of the host; leaving without it";
  }
  return all;
}

HostResources::Finished HostResources::Finish(std::chrono::milliseconds sync_patience,
                                              std::chrono::milliseconds thread_patience) {
  Finished finished;
  finished.threads_ended = StopThreads(thread_patience);
  LogLosses("serial", serial_backend_.get());
  LogLosses("console", console_backend_.get());
  // A disk that hangs may hang when it is unlocked too.
  finished.synced = SyncDisks(sync_patience);
  if (!finished.synced) return finished;
  for (const Disk& disk : disks_) {
    // The ring's reference to the file, and with it the lock, would outlive the process for a
    // moment.
    virtio::UnlockImage(disk.fd);
  }
  return finished;
}

}  // namespace vmm
