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

// Mode Off is no backend at all, and no device.
enum class CharacterMode { kNull, kTty, kPty, kFile, kSocket };

struct CharacterBackendOptions {
  std::string name = {};  // the device's key in the configuration: "console" or "serial"
  CharacterMode mode = CharacterMode::kNull;
  std::string path = {};                      // kFile and kSocket
  uint64_t max_file_bytes = 64 << 20;         // kFile and kTty: at least 64 KiB
  absl::AnyInvocable<void()> on_escape = {};  // kTty: Ctrl-a x was typed. Called on the loop.
  int input_fd = STDIN_FILENO;                // kTty; stay open until the backend is gone
  int output_fd = STDOUT_FILENO;
};

// Opens what the backend needs and starts it on `loop`.
//
// kTty: standard input and output. A terminal is read, and raw, while this process is in its
// foreground and until the backend is destroyed; in the background a line says that it waits, and
// the terminal is looked at four times a second, since not every shell's `fg` sends a signal.
// Ctrl-a is its escape key; a pipe, file or socket is passed through. What is written to a file is
// bounded: after `max_file_bytes` all output is dropped. kPty: a new pseudo-terminal,
// raw; see host_path(). kFile: created with mode 0600 or truncated; nothing is read. A regular file
// that has `max_file_bytes` becomes PATH.old, and the output goes on in PATH [RotatingFile]; a FIFO
// or a device has no limit. kSocket: listens on a Unix socket, mode 0600, one client at a time.
//
// Before the loop runs. The backend is destroyed when the loop has stopped, and before the loop.
// Errors: one line that starts with the option's key.
absl::StatusOr<std::unique_ptr<CharacterBackend>> CreateCharacterBackend(
    CharacterBackendOptions options, base::EventLoop& loop);

}  // namespace devices

#endif  // DEVICES_CHARACTER_CREATE_BACKEND_H_
