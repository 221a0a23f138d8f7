#include "net/vhost_net.h"

#include <errno.h>
#include <fcntl.h>
#define VIRTIO_RING_NO_LEGACY  // the legacy part is not C++
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <sys/ioctl.h>

#include <vector>

#include "base/status.h"

namespace net {
namespace {

constexpr char kDevice[] = "/dev/vhost-net";
// The features that concern the rings and the form of buffers: INDIRECT_DESC, EVENT_IDX, MRG_RXBUF
// and VERSION_1. [VIRTIO 1.2 §5.1.3, §6]
constexpr uint64_t kFeatures =
    uint64_t{1} << 28 | uint64_t{1} << 29 | uint64_t{1} << 15 | uint64_t{1} << VIRTIO_F_VERSION_1;

uint64_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// The regions of `memory` in the form of struct vhost_memory, which ends with an array.
std::vector<uint64_t> MemoryTable(const base::GuestMemory& memory) {
  static_assert(sizeof(vhost_memory) == 8 && sizeof(vhost_memory_region) == 32);
  std::vector<uint64_t> table = {memory.regions().size()};
  for (const base::GuestMemory::Region& region : memory.regions()) {
    table.insert(table.end(), {region.guest_start, region.size_bytes, Address(region.host), 0});
  }
  return table;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VhostNet>> VhostNet::Open(const base::GuestMemory& memory) {
  base::UniqueFd fd(open(kDevice, O_RDWR | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    return base::Advise(base::ErrnoStatus(error, "cannot open /dev/vhost-net"),
                        error == ENOENT ? "load the module vhost_net, or set vhost to \"auto\""
                                        : "let this user open it, or set vhost to \"auto\"");
  }
  uint64_t offered = 0;
  if (ioctl(fd.get(), VHOST_SET_OWNER) != 0 || ioctl(fd.get(), VHOST_GET_FEATURES, &offered) != 0) {
    return base::ErrnoStatus(errno, "/dev/vhost-net: cannot start it");
  }
  if ((kFeatures & ~offered) != 0) {
    return absl::UnimplementedError("/dev/vhost-net: the host's kernel lacks features; update it");
  }
  const std::vector<uint64_t> table = MemoryTable(memory);
  if (ioctl(fd.get(), VHOST_SET_MEM_TABLE, table.data()) != 0) {
    return base::ErrnoStatus(errno, "/dev/vhost-net: cannot share the guest's memory");
  }
  return std::unique_ptr<VhostNet>(new VhostNet(std::move(fd)));
}

int32_t VhostNet::SetFeatures(uint64_t accepted) {
  const uint64_t features = accepted & kFeatures;
  return ioctl(fd_.get(), VHOST_SET_FEATURES, &features) == 0 ? 0 : -errno;
}

int32_t VhostNet::Start(RingIndex index, const Ring& ring, int tap_fd) {
  const vhost_vring_state size = {.index = index, .num = ring.size};
  const vhost_vring_state base = {.index = index, .num = ring.position};
  vhost_vring_addr addresses = {};
  addresses.index = index;
  addresses.desc_user_addr = Address(ring.descriptors);
  addresses.avail_user_addr = Address(ring.available);
  addresses.used_user_addr = Address(ring.used);
  const vhost_vring_file kick = {.index = index, .fd = ring.kick_fd};
  const vhost_vring_file interrupt = {.index = index, .fd = ring.interrupt_fd};
  const vhost_vring_file backend = {.index = index, .fd = tap_fd};
  const bool started = ioctl(fd_.get(), VHOST_SET_VRING_NUM, &size) == 0 &&
                       ioctl(fd_.get(), VHOST_SET_VRING_BASE, &base) == 0 &&
                       ioctl(fd_.get(), VHOST_SET_VRING_ADDR, &addresses) == 0 &&
                       ioctl(fd_.get(), VHOST_SET_VRING_KICK, &kick) == 0 &&
                       ioctl(fd_.get(), VHOST_SET_VRING_CALL, &interrupt) == 0 &&
                       ioctl(fd_.get(), VHOST_NET_SET_BACKEND, &backend) == 0;
  return started ? 0 : -errno;
}

int32_t VhostNet::Stop(RingIndex index) {
  const vhost_vring_file nothing = {.index = index, .fd = -1};
  vhost_vring_state base = {.index = index, .num = 0};
  if (ioctl(fd_.get(), VHOST_NET_SET_BACKEND, &nothing) != 0 ||
      ioctl(fd_.get(), VHOST_GET_VRING_BASE, &base) != 0) {
    return -errno;
  }
  return static_cast<int32_t>(base.num & 0xffff);
}

}  // namespace net
