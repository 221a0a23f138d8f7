#include "net/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace net {
namespace {

constexpr char kDevice[] = "/dev/net/tun";
// How a queue carries frames: Ethernet, without a header of tun's own, with a vnet header.
constexpr int kMode = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
constexpr unsigned kTunMajor = 10;  // [Linux Documentation/admin-guide/devices.txt]
constexpr unsigned kTunMinor = 200;
// TUN_F_USO4 and TUN_F_USO6, which linux/if_tun.h of Linux 6.1 does not have yet.
constexpr uint32_t kTunUso = 0x20 | 0x40;

MacAddress MacOf(const ifreq& request) {
  MacAddress mac;
  std::copy_n(request.ifr_hwaddr.sa_data, mac.size(), mac.begin());
  return mac;
}

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

  // Sets a flag. Without the capability, warns with `what_then`: whoever made the interface may set
  // the flag later.
  absl::Status SetFlag(int flag, absl::string_view what_then) const {
    ifreq request = Request();
    RETURN_IF_ERROR(Do(SIOCGIFFLAGS, request, "read its flags"));
    if ((request.ifr_flags & flag) != 0) return absl::OkStatus();
    request.ifr_flags = static_cast<int16_t>(request.ifr_flags | flag);
    if (ioctl(socket_.get(), SIOCSIFFLAGS, &request) == 0) return absl::OkStatus();
    if (errno != EPERM) return base::ErrnoStatus(errno, absl::StrCat(what_, ": cannot set it up"));
    // UNLIMITED: once at the start.
    LOG(Warning) << what_ << ": " << what_then;
    return absl::OkStatus();
  }
  absl::Status SetUp() const {
    return SetFlag(IFF_UP,
                   absl::StrCat("is down; frames are dropped until `ip link set ", name_, " up`"));
  }
  absl::Status SetAllMulticast() const {
    return SetFlag(IFF_ALLMULTI,
                   absl::StrCat("the host drops frames to groups, which IPv6 needs, until `ip link "
                                "set ",
                                name_, " allmulticast on`"));
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
  absl::StatusOr<MacAddress> Mac() const {
    ifreq request = Request();
    RETURN_IF_ERROR(Do(SIOCGIFHWADDR, request, "read its address"));
    return MacOf(request);
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

absl::Status SetHeaderSize(const std::string& what, int fd) {
  int header_bytes = kVnetHeaderBytes;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) == 0) return absl::OkStatus();
  return base::ErrnoStatus(errno, absl::StrCat(what, ": cannot set the size of its headers"));
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
  request.ifr_flags = static_cast<int16_t>(kMode | (options.queues > 1 ? IFF_MULTI_QUEUE : 0));
  const bool exists = if_nametoindex(name.c_str()) != 0;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return AttachError(errno, what, options, exists);
  name = request.ifr_name;
  RETURN_IF_ERROR(SetHeaderSize(what, fd.get()));
  return fd;
}

// Adds a port for an open queue.
absl::Status AddPort(const std::string& what, base::UniqueFd fd, Tap& tap) {
  tap.ports.push_back(std::make_unique<TapPort>(std::move(fd)));
  const int32_t result = tap.ports.back()->SetOffloads(0);
  if (result == 0) return absl::OkStatus();
  return base::ErrnoStatus(-result, absl::StrCat(what, ": cannot set its offloads"));
}

bool HasUso(Port& port) {
  const bool has_uso = port.SetOffloads(TUN_F_CSUM | kTunUso) == 0;
  port.SetOffloads(0);
  return has_uso;
}

// Sets the MTU if it is another one.
absl::Status ChangeMtu(const Interface& interface, std::optional<uint32_t> mtu) {
  if (!mtu.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint32_t current, interface.Mtu());
  return current == *mtu ? absl::OkStatus() : interface.SetMtu(*mtu);
}

// What an open queue says about its interface. The answers have the same form for both kinds.
struct QueueInfo {
  std::string name;
  int flags = 0;
  MacAddress mac = {};
};
absl::StatusOr<QueueInfo> AskQueue(const std::string& what, int fd) {
  ifreq request = {};
  if (ioctl(fd, TUNGETIFF, &request) != 0) {
    const int error = errno;
    return base::Advise(
        base::ErrnoStatus(error, absl::StrCat(what, ": is no TAP or macvtap interface")),
        "pass an open queue of one");
  }
  QueueInfo info = {.name = request.ifr_name, .flags = request.ifr_flags};
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(what, ": cannot read its address"));
  }
  info.mac = MacOf(request);
  return info;
}

absl::StatusOr<base::UniqueFd> OpenMacvtapQueue(const std::string& what,
                                                const TapOptions& options) {
  const std::string path = absl::StrCat("/dev/tap", if_nametoindex(options.name.c_str()));
  base::UniqueFd fd(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    const int error = errno;
    const absl::Status status =
        base::ErrnoStatus(error, absl::StrCat(what, ": cannot open ", path));
    if (error == ENOENT) {
      return base::Advise(status, "it is no macvtap interface, or its device is not there yet");
    }
    if (error != EACCES) return status;
    return base::Advise(status, absl::StrCat("let this user open it: chown USER ", path));
  }
  ifreq request = {};
  request.ifr_flags = static_cast<int16_t>(kMode | (options.queues > 1 ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat(what, ": cannot set the mode of ", path));
  }
  RETURN_IF_ERROR(SetHeaderSize(what, fd.get()));
  return fd;
}

// Takes one inherited descriptor over. `info` is set.
absl::StatusOr<base::UniqueFd> AdoptQueue(const std::string& what, uint64_t number,
                                          QueueInfo& info) {
  const int fd = static_cast<int>(number);
  const int flags = fcntl(fd, F_GETFD);
  if (flags < 0 || (flags & FD_CLOEXEC) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": no such descriptor was passed; the program that starts vmm has to open it"));
  }
  ASSIGN_OR_RETURN(info, AskQueue(what, fd));
  if ((info.flags & kMode) != kMode) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", info.name,
                     ": is not in the right mode; open it with IFF_TAP, IFF_NO_PI and "
                     "IFF_VNET_HDR"));
  }
  base::UniqueFd owned(fd);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  RETURN_IF_ERROR(SetHeaderSize(what, fd));
  return owned;
}

// Returns the MTU of the interface of a descriptor, or nothing if the interface is in another
// namespace, in which case one of this namespace may have its name.
std::optional<uint32_t> MtuOf(const std::string& what, const QueueInfo& info) {
  const absl::StatusOr<Interface> interface = Interface::Open(what, info.name);
  if (!interface.ok() || if_nametoindex(info.name.c_str()) == 0) return std::nullopt;
  const absl::StatusOr<MacAddress> mac = interface->Mac();
  if (!mac.ok() || *mac != info.mac) return std::nullopt;
  const absl::StatusOr<uint32_t> mtu = interface->Mtu();
  return mtu.ok() ? std::optional<uint32_t>(*mtu) : std::nullopt;
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
  if (active == active_) return 0;  // for the kernel an error
  ifreq request = {};
  request.ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
  if (ioctl(fd_.get(), TUNSETQUEUE, &request) != 0) return -errno;
  active_ = active;
  return 0;
}

absl::StatusOr<Tap> OpenTap(const TapOptions& options) {
  const std::string what = absl::StrCat(options.key, ": ", options.name);
  Tap tap;
  tap.name = options.name.empty() ? "vmtap%d" : options.name;
  for (uint32_t i = 0; i < options.queues; ++i) {
    ASSIGN_OR_RETURN(base::UniqueFd fd, OpenQueue(what, options, tap.name));
    RETURN_IF_ERROR(AddPort(what, std::move(fd), tap));
  }
  tap.has_uso = HasUso(*tap.ports.front());
  ASSIGN_OR_RETURN(const Interface interface, Interface::Open(what, tap.name));
  if (options.mac.has_value()) RETURN_IF_ERROR(interface.SetMac(*options.mac));
  RETURN_IF_ERROR(ChangeMtu(interface, options.mtu));
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

absl::StatusOr<Tap> OpenMacvtap(const TapOptions& options) {
  const std::string what = absl::StrCat(options.key, ": ", options.name);
  if (if_nametoindex(options.name.c_str()) == 0) {
    return absl::NotFoundError(absl::StrCat(
        what, ": no such interface; make it with `ip link add link HOST_INTERFACE name ",
        options.name, " type macvtap mode bridge`"));
  }
  Tap tap;
  tap.name = options.name;
  ASSIGN_OR_RETURN(const Interface interface, Interface::Open(what, tap.name));
  ASSIGN_OR_RETURN(tap.guest_mac, interface.Mac());
  for (uint32_t i = 0; i < options.queues; ++i) {
    ASSIGN_OR_RETURN(base::UniqueFd fd, OpenMacvtapQueue(what, options));
    // The numbers of interfaces are unique in a network namespace only, /dev is often shared.
    ASSIGN_OR_RETURN(const QueueInfo info, AskQueue(what, fd.get()));
    if (info.mac != *tap.guest_mac || info.name != tap.name) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, ": /dev/tap", if_nametoindex(tap.name.c_str()), " is ", info.name,
                       " of another network namespace; pass descriptors by fds instead"));
    }
    if (i == 0 && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return base::Advise(base::ErrnoStatus(errno, absl::StrCat(what, ": cannot lock it")),
                          "another program uses it; each VM needs its own");
    }
    RETURN_IF_ERROR(AddPort(what, std::move(fd), tap));
  }
  tap.has_uso = HasUso(*tap.ports.front());
  RETURN_IF_ERROR(ChangeMtu(interface, options.mtu));
  RETURN_IF_ERROR(interface.SetUp());
  RETURN_IF_ERROR(interface.SetAllMulticast());
  ASSIGN_OR_RETURN(tap.mtu, interface.Mtu());
  return tap;
}

absl::StatusOr<Tap> AdoptTap(const std::string& key, std::span<const uint64_t> fds) {
  Tap tap;
  for (size_t i = 0; i < fds.size(); ++i) {
    const std::string what = absl::StrCat(key, "[", i, "]: ", fds[i]);
    QueueInfo info;
    ASSIGN_OR_RETURN(base::UniqueFd fd, AdoptQueue(what, fds[i], info));
    if (i == 0) {
      tap.name = info.name;
      const std::optional<uint32_t> mtu = MtuOf(what, info);
      tap.in_this_namespace = mtu.has_value();
      tap.mtu = mtu.value_or(Tap().mtu);
      struct stat file;
      if (fstat(fd.get(), &file) != 0) return base::ErrnoStatus(errno, what);
      if (file.st_rdev != makedev(kTunMajor, kTunMinor)) tap.guest_mac = info.mac;
    } else if (info.name != tap.name) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": is a queue of ", info.name, ", and ",
                                                     key, "[0] is one of ", tap.name,
                                                     "; give each interface a device of its own"));
    }
    RETURN_IF_ERROR(AddPort(what, std::move(fd), tap));
  }
  tap.has_uso = HasUso(*tap.ports.front());
  return tap;
}

std::map<std::string, uint64_t> InterfaceCounters(const std::string& name) {
  std::map<std::string, uint64_t> counters;
  if (name.empty()) return counters;
  for (const char* direction : {"rx_", "tx_"}) {
    for (const char* what : {"packets", "bytes", "dropped", "errors"}) {
      const std::string counter = absl::StrCat(direction, what);
      std::ifstream file(absl::StrCat("/sys/class/net/", name, "/statistics/", counter));
      uint64_t value = 0;
      if (file >> value) counters[counter] = value;
    }
  }
  return counters;
}

}  // namespace net
