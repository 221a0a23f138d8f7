#include "net/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace net {
namespace {

constexpr char kDevice[] = "/dev/net/tun";
// TUN_F_USO4 and TUN_F_USO6, which linux/if_tun.h of Linux 6.1 does not have yet.
constexpr uint32_t kTunUso = 0x20 | 0x40;

// Ioctls on one interface, by name.
class Interface {
 public:
  static absl::StatusOr<Interface> Open(const std::string& what, const std::string& name) {
    base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid())
      return base::ErrnoStatus(errno, absl::StrCat(what, ": cannot open a socket"));
    return Interface(std::move(socket), what, name);
  }

  // A request for this interface, with nothing else in it.
  ifreq Request() const {
    ifreq request = {};
    std::memcpy(request.ifr_name, name_.data(), std::min(name_.size(), size_t{IFNAMSIZ - 1}));
    return request;
  }
  absl::Status Do(unsigned long operation, ifreq& request, absl::string_view verb) const {
    if (ioctl(socket_.get(), operation, &request) == 0) return absl::OkStatus();
    const int error = errno;
    absl::Status status = base::ErrnoStatus(error, absl::StrCat(what_, ": cannot ", verb));
    if (error != EPERM) return status;
    return base::Advise(status, "give vmm CAP_NET_ADMIN, or set it on the host and remove the key");
  }

  absl::Status SetUp() const {
    ifreq request = Request();
    RETURN_IF_ERROR(Do(SIOCGIFFLAGS, request, "read its flags"));
    if ((request.ifr_flags & IFF_UP) != 0) return absl::OkStatus();
    request.ifr_flags = static_cast<int16_t>(request.ifr_flags | IFF_UP);
    if (ioctl(socket_.get(), SIOCSIFFLAGS, &request) == 0) return absl::OkStatus();
    if (errno != EPERM) return base::ErrnoStatus(errno, absl::StrCat(what_, ": cannot set it up"));
    // UNLIMITED: once at the start. Whoever made the interface may set it up later.
    LOG(Warning) << what_ << ": is down; frames are dropped until `ip link set " << name_ << " up`";
    return absl::OkStatus();
  }
  absl::Status SetMac(const MacAddress& mac) const {
    ifreq request = Request();
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    std::copy(mac.begin(), mac.end(), request.ifr_hwaddr.sa_data);
    return Do(SIOCSIFHWADDR, request, absl::StrCat("set its address to ", FormatMac(mac)));
  }
  absl::Status SetMtu(uint32_t mtu) const {
    ifreq request = Request();
    request.ifr_mtu = static_cast<int>(mtu);
    return Do(SIOCSIFMTU, request, absl::StrCat("set its MTU to ", mtu));
  }
  absl::StatusOr<uint32_t> Mtu() const {
    ifreq request = Request();
    RETURN_IF_ERROR(Do(SIOCGIFMTU, request, "read its MTU"));
    return static_cast<uint32_t>(request.ifr_mtu);
  }
  absl::Status SetIp(unsigned long operation, const std::string& address,
                     absl::string_view verb) const {
    ifreq request = Request();
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    if (inet_pton(AF_INET, address.c_str(), &in.sin_addr) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(what_, ": cannot ", verb, " \"", address, "\", which is no IPv4 address"));
    }
    std::memcpy(&request.ifr_addr, &in, sizeof(in));
    return Do(operation, request, absl::StrCat(verb, " ", address));
  }

 private:
  Interface(base::UniqueFd socket, std::string what, std::string name)
      : socket_(std::move(socket)), what_(std::move(what)), name_(std::move(name)) {}

  base::UniqueFd socket_;
  std::string what_;
  std::string name_;
};

// Why TUNSETIFF failed, and what to do about it.
absl::Status AttachError(int error, const std::string& what, const TapOptions& options,
                         bool exists) {
  absl::Status status = base::ErrnoStatus(error, absl::StrCat(what, ": cannot open it"));
  switch (error) {
    case EPERM:
      if (!exists) {
        return base::Advise(status, absl::StrCat("there is no such interface: make it with `ip "
                                                 "tuntap add dev ",
                                                 options.name, " mode tap user USER vnet_hdr",
                                                 options.queues > 1 ? " multi_queue" : "",
                                                 "`, or give vmm CAP_NET_ADMIN"));
      }
      return base::Advise(status, "it belongs to another user: make it with `user` of this one");
    case EBUSY:
      return base::Advise(status, "another program uses it; each VM needs its own");
    case EINVAL:
      if (!exists) return status;
      return base::Advise(
          status, options.queues > 1
                      ? "it is no TAP interface with several queues: make it with `multi_queue`"
                      : "it is no TAP interface with one queue: make it with `mode tap`, without "
                        "`multi_queue`");
    default:
      return status;
  }
}

// Opens one queue. `name` becomes the interface's name if it was a pattern.
absl::StatusOr<base::UniqueFd> OpenQueue(const std::string& what, const TapOptions& options,
                                         std::string& name) {
  base::UniqueFd fd(open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    return base::Advise(base::ErrnoStatus(error, absl::StrCat(what, ": cannot open ", kDevice)),
                        error == ENOENT ? "load the module tun" : "let vmm open the device");
  }
  ifreq request = {};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), size_t{IFNAMSIZ - 1}));
  request.ifr_flags = static_cast<int16_t>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
                                           (options.queues > 1 ? IFF_MULTI_QUEUE : 0));
  const bool exists = if_nametoindex(name.c_str()) != 0;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return AttachError(errno, what, options, exists);
  name = request.ifr_name;
  int header_bytes = kVnetHeaderBytes;
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(what, ": cannot set the size of its headers"));
  }
  return fd;
}

}  // namespace

int32_t TapPort::Send(std::span<const iovec> frame) {
  const ssize_t result = writev(fd_.get(), frame.data(), static_cast<int>(frame.size()));
  return result < 0 ? -errno : 0;
}

int32_t TapPort::Receive(std::span<const iovec> to) {
  const ssize_t result = readv(fd_.get(), to.data(), static_cast<int>(to.size()));
  return result < 0 ? -errno : static_cast<int32_t>(result);
}

int32_t TapPort::SetOffloads(uint32_t offloads) {
  return ioctl(fd_.get(), TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0 ? 0 : -errno;
}

int32_t TapPort::SetActive(bool active) {
  ifreq request = {};
  request.ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
  return ioctl(fd_.get(), TUNSETQUEUE, &request) == 0 ? 0 : -errno;
}

absl::StatusOr<Tap> OpenTap(const TapOptions& options) {
  const std::string what = absl::StrCat(options.key, ": ", options.name);
  Tap tap;
  tap.name = options.name.empty() ? "vmtap%d" : options.name;
  for (uint32_t i = 0; i < options.queues; ++i) {
    ASSIGN_OR_RETURN(base::UniqueFd fd, OpenQueue(what, options, tap.name));
    tap.ports.push_back(std::make_unique<TapPort>(std::move(fd)));
    if (const int32_t result = tap.ports.back()->SetOffloads(0); result != 0) {
      return base::ErrnoStatus(-result, absl::StrCat(what, ": cannot set its offloads"));
    }
  }
  Port& first = *tap.ports.front();
  tap.has_uso = first.SetOffloads(TUN_F_CSUM | kTunUso) == 0;
  first.SetOffloads(0);
  ASSIGN_OR_RETURN(const Interface interface, Interface::Open(what, tap.name));
  if (options.mac.has_value()) RETURN_IF_ERROR(interface.SetMac(*options.mac));
  if (options.mtu.has_value()) {
    ASSIGN_OR_RETURN(const uint32_t current, interface.Mtu());
    if (current != *options.mtu) RETURN_IF_ERROR(interface.SetMtu(*options.mtu));
  }
  if (options.ip.has_value()) {
    RETURN_IF_ERROR(interface.SetIp(SIOCSIFADDR, *options.ip, "set its address to"));
  }
  if (options.mask.has_value()) {
    RETURN_IF_ERROR(interface.SetIp(SIOCSIFNETMASK, *options.mask, "set its mask to"));
  }
  RETURN_IF_ERROR(interface.SetUp());
  ASSIGN_OR_RETURN(tap.mtu, interface.Mtu());
  return tap;
}

}  // namespace net
