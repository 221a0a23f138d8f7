// The back ends on the host of the serial port and of the virtio console.
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

// All functions run on the control thread.
class Consoles {
 public:
  // Opens both back ends on `loop`, which must not run yet and outlives the back ends. `on_escape`
  // runs on the loop when the user types Ctrl-a x. Errors: one line with the key, the object and
  // the errno.
  absl::Status Open(const VmConfig& config, absl::AnyInvocable<void()> on_escape,
                    base::EventLoop& loop);

  // Null if the config turns the device off.
  devices::CharacterBackend* serial() const { return serial_.get(); }
  devices::CharacterBackend* console() const { return console_.get(); }

  // Returns the number of bytes that guests have printed on both devices together.
  uint64_t written_bytes() const;
  // Returns true when every byte of output has reached its sink or was dropped.
  bool drained() const;
  // Says that the guest has ended. Back ends then make room for the last output in sinks that no
  // program reads.
  void FinishOutput();
  // Says that the size or the foreground job of the terminal has changed.
  void NotifyTerminal();
  // Logs how many bytes of output each back end dropped or removed, if any. Call once, at the end
  // of the VM.
  void LogLosses() const;

 private:
  std::unique_ptr<devices::CharacterBackend> serial_;
  std::unique_ptr<devices::CharacterBackend> console_;
};

}  // namespace vmm

#endif  // VMM_MACHINE_CONSOLES_H_
