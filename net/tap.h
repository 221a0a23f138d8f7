// TAP and macvtap interfaces of the host. [Linux Documentation/networking/tuntap.rst]
#ifndef NET_TAP_H_
#define NET_TAP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "net/mac_address.h"
#include "net/port.h"

namespace net {

// One queue of a TAP or macvtap interface.
class TapPort final : public Port {
 public:
  explicit TapPort(base::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const override { return fd_.get(); }
  int32_t Send(std::span<const iovec> frame) override;
  int32_t Receive(std::span<const iovec> to) override;
  int32_t SetOffloads(uint32_t offloads) override;
  int32_t SetActive(bool active) override;

 private:
  base::UniqueFd fd_;
  bool active_ = true;
};

struct TapOptions {
  std::string key;   // for messages: "net[0].tap", "net[0].macvtap"
  std::string name;  // of the interface; empty: the kernel chooses "vmtapN"
  uint32_t queues = 1;
  // What is not given stays as it is. Changing any of these needs CAP_NET_ADMIN.
  std::optional<MacAddress> mac = {};
  std::optional<uint32_t> mtu = {};
  std::optional<std::string> ip = {};    // IPv4, "192.168.249.1"
  std::optional<std::string> mask = {};  // "255.255.255.0"
};

// An open TAP or macvtap interface.
struct Tap {
  std::string name;
  bool in_this_namespace = true;  // so that the host's counters of that name are the interface's
  // Of a macvtap interface: its address. The host delivers only frames to this address.
  std::optional<MacAddress> guest_mac;
  uint32_t mtu = 1500;
  bool has_uso = false;                      // Linux 6.2: segmentation of UDP datagrams
  std::vector<std::unique_ptr<Port>> ports;  // one for each queue
};

// Opens the interface, which either exists and belongs to the caller's user or group, or is made
// (CAP_NET_ADMIN) and vanishes with its last descriptor. Sets it up if it is down. Errors: one line
// with the key, the interface, errno and what to do about it.
absl::StatusOr<Tap> OpenTap(const TapOptions& options);

// Opens a macvtap interface, which must exist: /dev/tapN, where N is the number of the interface.
// Of the settings only the MTU is used. Sets the interface up if it is down, and lets it receive
// frames to all groups: the guest's groups are not the interface's. Only one program may use the
// interface at a time: the device is locked by flock. Errors are like those of OpenTap.
absl::StatusOr<Tap> OpenMacvtap(const TapOptions& options);

// Takes over inherited descriptors, one for each queue of one TAP or macvtap interface. They must
// not have the flag FD_CLOEXEC, which a program's own descriptors have. If the interface cannot be
// found in this network namespace, its MTU is taken as 1500. `key` is for messages: "net[0].fds".
absl::StatusOr<Tap> AdoptTap(const std::string& key, std::span<const uint64_t> fds);

// Returns what the host counts for an interface of this network namespace: rx_ and tx_ with
// packets, bytes, dropped and errors, where rx is what the host received from the guest. Returns
// nothing for other names. Reads files below /sys.
std::map<std::string, uint64_t> InterfaceCounters(const std::string& name);

}  // namespace net

#endif  // NET_TAP_H_
