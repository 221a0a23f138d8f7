// Makes the character backend that a configuration asks for.
#ifndef DEVICES_CHARACTER_CREATE_BACKEND_H_
#define DEVICES_CHARACTER_CREATE_BACKEND_H_

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "devices/character/character_backend.h"

namespace devices {

// The mode "Off" has no value here, because there is neither a device nor a backend then.
enum class CharacterMode { kNull, kTty, kPty, kFile, kSocket };

struct CharacterBackendOptions {
  std::string name = {};  // the device's key in the configuration: "console" or "serial"
  CharacterMode mode = CharacterMode::kNull;
  std::string path = {};                      // kFile and kSocket
  uint64_t max_file_bytes = 64 << 20;         // kFile and kTty: at least 64 KiB
  absl::AnyInvocable<void()> on_escape = {};  // kTty: called on the loop when Ctrl-a x was typed
  int input_fd = STDIN_FILENO;                // kTty; must stay open until the backend is destroyed
  int output_fd = STDOUT_FILENO;
};

// Opens what the backend needs and starts it on `loop`.
//
// - kTty: uses standard input and output. While this process is in the foreground of its terminal,
//   the terminal is read and is in raw mode; destroying the backend restores it. In the background
//   a line says that the backend waits, and the backend checks four times a second whether it is in
//   the foreground, because not every shell's `fg` sends a signal. Ctrl-a is the escape key. A
//   pipe, file or socket is passed through. If standard output is a file, all output after
//   `max_file_bytes` is dropped.
// - kPty: makes a new pseudo-terminal in raw mode; see host_path().
// - kFile: creates the file with mode 0600, or truncates it; reads nothing. A regular file that has
//   reached `max_file_bytes` becomes PATH.old, and the output continues in PATH [RotatingFile]. A
//   FIFO or a device has no limit.
// - kSocket: listens on a Unix socket, mode 0600, for one client at a time.
//
// Call it before the loop runs. Destroy the backend when the loop has stopped, and before the loop.
// Errors: one line that starts with the option's key.
absl::StatusOr<std::unique_ptr<CharacterBackend>> CreateCharacterBackend(
    CharacterBackendOptions options, base::EventLoop& loop);

}  // namespace devices

#endif  // DEVICES_CHARACTER_CREATE_BACKEND_H_
