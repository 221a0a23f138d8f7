// Where the output of the serial port and of the virtio console goes on the host.
#ifndef VMM_MACHINE_CONSOLES_H_
#define VMM_MACHINE_CONSOLES_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/event_loop.h"
#include "devices/character/character_backend.h"
#include "vmm/config/vm_config.h"

namespace vmm {

// Control thread.
class Consoles {
 public:
  // Opens both back ends on `loop`, which outlives them, before the loop runs. `on_escape` runs on
  // the loop when the user types Ctrl-a x. Errors: one line with the key, the object and the errno.
  absl::Status Open(const VmConfig& config, absl::AnyInvocable<void()> on_escape,
                    base::EventLoop& loop);

  // Null if there is none.
  devices::CharacterBackend* serial() const { return serial_.get(); }
  devices::CharacterBackend* console() const { return console_.get(); }

  // Bytes that guests have printed on both.
  uint64_t written_bytes() const;
  // True when all output has reached its sink, or was dropped.
  bool drained() const;
  // The guest has ended: makes room for its last output in sinks that nobody reads.
  void FinishOutput();
  // The terminal has changed its size or its foreground job.
  void NotifyTerminal();
  // Logs for each back end how much output is not to be found in its sink, if any. Once; the VM
  // ends.
  void LogLosses() const;

 private:
  std::unique_ptr<devices::CharacterBackend> serial_;
  std::unique_ptr<devices::CharacterBackend> console_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_CONSOLES_H_
