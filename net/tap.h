// TAP interfaces of the host. [Linux Documentation/networking/tuntap.rst]
#ifndef NET_TAP_H_
#define NET_TAP_H_

#include <cstdint>
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

// One queue of a TAP interface.
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
};

struct TapOptions {
  std::string key;   // for messages: "net[0].tap"
  std::string name;  // of the interface; empty: the kernel chooses "vmtapN"
  uint32_t queues = 1;
  // What is not given stays as it is. Changing any of these needs CAP_NET_ADMIN.
  std::optional<MacAddress> mac = {};
  std::optional<uint32_t> mtu = {};
  std::optional<std::string> ip = {};    // IPv4, "192.168.249.1"
  std::optional<std::string> mask = {};  // "255.255.255.0"
};

// An open TAP interface.
struct Tap {
  std::string name;
  uint32_t mtu = 1500;
  bool has_uso = false;                      // Linux 6.2: segmentation of UDP datagrams
  std::vector<std::unique_ptr<Port>> ports;  // one for each queue
};

// Opens the interface, which either exists and belongs to the caller's user or group, or is made
// (CAP_NET_ADMIN) and vanishes with its last descriptor. Sets it up if it is down. Errors: one line
// with the key, the interface, errno and what to do about it.
absl::StatusOr<Tap> OpenTap(const TapOptions& options);

}  // namespace net

#endif  // NET_TAP_H_
