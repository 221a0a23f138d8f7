// Makes virtio network devices from their config.
#ifndef VMM_MACHINE_DEVICES_NET_H_
#define VMM_MACHINE_DEVICES_NET_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/passt_launcher.h"
#include "vmm/config/vm_config.h"
#include "vmm/machine/device_set.h"

namespace vmm {

// Launchers by the position of their device in `net`.
using PasstLaunchers = std::map<size_t, std::unique_ptr<net::PasstLauncher>>;

// Forks a launcher for each device with `passt`. See PasstLauncher::Start for when to call it.
absl::StatusOr<PasstLaunchers> StartPasstLaunchers(const VmConfig& config);
// Returns what PasstLauncher::Start needs.
std::vector<std::string> PasstArguments(const PasstConfig& config);

// Opens the TAP interface, connects to passt, or starts passt by one of the launchers and takes the
// launcher over. Each queue pair gets a loop of the context. Errors: one line with the key, the
// object and the errno.
absl::StatusOr<PlacedDevice> CreateNet(const NetConfig& config, const DeviceContext& context,
                                       PasstLaunchers& launchers);

}  // namespace vmm

#endif  // VMM_MACHINE_DEVICES_NET_H_
