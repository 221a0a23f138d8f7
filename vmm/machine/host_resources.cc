#include "vmm/machine/host_resources.h"

#include <errno.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "virtio/vsock/vsock_mux.h"
#include "vmm/config/key_path.h"
#include "vmm/machine/credentials.h"
#include "vmm/machine/devices/console.h"
#include "vmm/machine/devices/disk.h"
#include "vmm/machine/devices/entropy.h"
#include "vmm/machine/devices/net.h"
#include "vmm/machine/devices/rate_limits.h"
#include "vmm/machine/devices/share.h"
#include "vmm/machine/devices/vsock.h"
#include "vmm/machine/share_limits.h"

namespace vmm {
namespace {

constexpr size_t kMaxShareThreads = 4;
// Connections of vsock get at most this part of all descriptors.
constexpr uint64_t kVsockPart = 8;

}  // namespace

absl::StatusOr<uint64_t> RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return base::ErrnoStatus(errno, "RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return base::ErrnoStatus(errno, "RLIMIT_NOFILE");
  return limit.rlim_max;
}

absl::StatusOr<std::unique_ptr<HostResources>> HostResources::Open(
    const VmConfig& config, absl::FunctionRef<absl::StatusOr<uint32_t>()> guest_phys_bits,
    absl::AnyInvocable<void()> on_escape, PasstLaunchers launchers) {
  auto host = std::unique_ptr<HostResources>(new HostResources());
  ASSIGN_OR_RETURN(host->payload_, OpenPayload(config.payload));
  ASSIGN_OR_RETURN(host->credentials_, ReadCredentials(config.platform.credentials));
  RETURN_IF_ERROR(host->CreateLoops(config));
  ASSIGN_OR_RETURN(const uint32_t phys_bits, guest_phys_bits());
  ASSIGN_OR_RETURN(host->layout_, MakeGuestLayout(config.memory.size, phys_bits));
  base::GuestMemory::Options memory;
  memory.thp = config.memory.thp;
  memory.prefault = config.memory.prefault;
  memory.hugepages = config.memory.hugepages;
  memory.hugepage_size_bytes = config.memory.hugepage_size.value_or(0);
  ASSIGN_OR_RETURN(host->memory_, base::GuestMemory::Create(memory, host->layout_.ram));
  RETURN_IF_ERROR(host->CreateDevices(config, std::move(on_escape), launchers));
  return host;
}

HostResources::~HostResources() {
  for (const auto& thread : share_threads_) thread->Stop();
  for (const auto& thread : io_threads_) thread->Stop();
}

absl::Status HostResources::CreateLoops(const VmConfig& config) {
  base::UringEventLoop::Options options;
  // Each disk needs a file for its image and one for the doorbell of each queue. All other files
  // fit in the default.
  for (const DiskConfig& disk : config.disks) options.max_files += disk.num_queues + 1;
  // Each network device needs up to two files for each port and a doorbell for each queue.
  for (const NetConfig& device : config.net) options.max_files += device.num_queues * 2 + 1;
  // Clients of a console socket and connections of vsock come and go on the first loop, so its file
  // table cannot be fixed.
  const bool has_socket = config.console.mode == ConsoleMode::kSocket ||
                          config.serial.mode == ConsoleMode::kSocket || config.vsock.has_value();
  for (uint32_t i = 0; i < config.io_threads; ++i) {
    options.fixed_files = !(i == 0 && has_socket);
    ASSIGN_OR_RETURN(auto thread, base::LoopThread::Create(absl::StrCat("io", i), options));
    io_threads_.push_back(std::move(thread));
  }
  base::UringEventLoop::Options share_options;
  share_options.fixed_files = false;  // files come and go
  // Doorbells stay open: one for each request queue, and one for the queue of urgent requests.
  for (const FsConfig& share : config.fs) share_options.max_files += share.num_queues + 1;
  for (size_t i = 0; i < std::min(config.fs.size(), kMaxShareThreads); ++i) {
    ASSIGN_OR_RETURN(auto thread,
                     base::LoopThread::Create(absl::StrCat("share", i), share_options));
    share_threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

// The only place that lists the kinds of devices.
absl::Status HostResources::CreateDevices(const VmConfig& config,
                                          absl::AnyInvocable<void()> on_escape,
                                          PasstLaunchers& launchers) {
  // Devices are assigned to the threads in turn, in the order of the config.
  size_t next_io = 0, next_share = 0;
  const auto io_loop = [&]() -> base::EventLoop& {
    return io_threads_[next_io++ % io_threads_.size()]->loop();
  };
  const auto share_loop = [&]() -> base::EventLoop& {
    return share_threads_[next_share++ % share_threads_.size()]->loop();
  };
  const auto loop_of_console = [&]() -> base::EventLoop& { return console_loop(); };
  for (const RateLimitGroupConfig& group : config.rate_limit_groups) {
    rate_limit_groups_.try_emplace(group.id, MakeRateLimits(group.rate_limiter_config));
  }
  for (size_t i = 0; i < config.disks.size(); ++i) {
    const DiskConfig& disk = config.disks[i];
    net::RateLimiter* const group = disk.rate_limit_group.has_value()
                                        ? &rate_limit_groups_.at(*disk.rate_limit_group)
                                        : nullptr;
    RETURN_IF_ERROR(devices_.Add(CreateDisk(disk, group, {*memory_, io_loop, devices_, i})));
  }
  uint64_t max_descriptors = 0;
  if (!config.fs.empty() || config.vsock.has_value()) {
    ASSIGN_OR_RETURN(max_descriptors, RaiseDescriptorLimit());
  }
  uint64_t vsock_connections = 0;
  if (config.vsock.has_value()) {
    vsock_connections =
        std::min<uint64_t>(virtio::VsockMux::kMaxConnections, max_descriptors / kVsockPart);
  }
  if (!config.fs.empty()) {
    ASSIGN_OR_RETURN(
        const auto limits,
        LimitsOfShares(config.fs, max_descriptors - vsock_connections, memory_->total_bytes()));
    for (size_t i = 0; i < config.fs.size(); ++i) {
      RETURN_IF_ERROR(
          devices_.Add(CreateShare(config.fs[i], limits[i], {*memory_, share_loop, devices_, i})));
    }
  }
  for (size_t i = 0; i < config.net.size(); ++i) {
    RETURN_IF_ERROR(
        devices_.Add(CreateNet(config.net[i], {*memory_, io_loop, devices_, i}, launchers)));
  }
  if (config.vsock.has_value()) {
    const auto first_loop = [&]() -> base::EventLoop& { return io_threads_[0]->loop(); };
    RETURN_IF_ERROR(devices_.Add(
        CreateVsock(*config.vsock, vsock_connections, {*memory_, first_loop, devices_})));
  }
  // Opened late, so that an error above leaves the terminal as it is.
  RETURN_IF_ERROR(consoles_.Open(config, std::move(on_escape), console_loop()));
  if (devices::CharacterBackend* backend = consoles_.console(); backend != nullptr) {
    RETURN_IF_ERROR(devices_.Add(
        CreateConsole(config.console, *backend, {*memory_, loop_of_console, devices_})));
  }
  return devices_.Add(CreateEntropy(config.rng, {*memory_, io_loop, devices_}));
}

absl::Status HostResources::Start() {
  for (const auto& thread : share_threads_) RETURN_IF_ERROR(thread->Start());
  for (const auto& thread : io_threads_) RETURN_IF_ERROR(thread->Start());
  return absl::OkStatus();
}

absl::Status HostResources::SetRateLimits(const std::string& id, const RateLimiterConfig& config) {
  const net::RateLimiter::Limits limits = MakeRateLimits(config);
  if (const PlacedDevice* placed = devices_.Find(id); placed != nullptr) {
    return base::Annotate(placed->host_side->SetRateLimits(limits), id);
  }
  const auto group = rate_limit_groups_.find(id);
  if (group == rate_limit_groups_.end()) {
    return absl::NotFoundError(absl::StrCat(Printable(id), ": no such device or group"));
  }
  group->second.Change(limits, io_threads_[0]->loop().Now());
  for (const PlacedDevice& placed : devices_.all()) placed.host_side->OnGroupLimitChanged();
  return absl::OkStatus();
}

absl::Status HostResources::SetLink(const std::string& id, bool up) {
  const PlacedDevice* const placed = devices_.Find(id);
  if (placed == nullptr)
    return absl::NotFoundError(absl::StrCat(Printable(id), ": no such device"));
  return base::Annotate(placed->host_side->SetLink(up), id);
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
    // UNLIMITED: runs once, since the VM ends.
    LOG(Error) << "thread " << thread->name() << " (" << devices_.IdsOn(thread->loop())
               << ") hangs in a call of the host; leaving without it";
  }
  return all;
}

HostResources::Finished HostResources::Finish(std::chrono::milliseconds sync_patience,
                                              std::chrono::milliseconds thread_patience) {
  Finished finished;
  finished.threads_ended = StopThreads(thread_patience);
  consoles_.LogLosses();
  finished.synced = devices_.WriteThrough(sync_patience);
  // The call to unlock a disk that hangs may hang too.
  if (finished.synced) devices_.Unlock();
  return finished;
}

}  // namespace vmm
