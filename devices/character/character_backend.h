// The host end of a serial port or a virtio console: terminal, pty, file, socket, or nothing.
#ifndef DEVICES_CHARACTER_CHARACTER_BACKEND_H_
#define DEVICES_CHARACTER_CHARACTER_BACKEND_H_

#include <cstdint>
#include <span>
#include <string>

namespace devices {

// The guest-facing device behind a backend. Called on the backend's loop.
class CharacterClient {
 public:
  virtual ~CharacterClient() = default;
  // Takes bytes from the host; returns how many were taken. The backend keeps the rest (bounded)
  // and reads no more until ResumeInput.
  virtual size_t OnInput(std::span<const uint8_t> bytes) = 0;
  // The terminal's size, once at start and at each change. Default: ignored.
  virtual void OnResize(uint16_t /*columns*/, uint16_t /*rows*/) {}
};

class CharacterBackend {
 public:
  virtual ~CharacterBackend() = default;

  // Sets who gets input, or nullptr for nobody. Before the loop runs, or on the loop.
  virtual void SetClient(CharacterClient* client) = 0;
  // Takes all bytes at once into a bounded ring. Any thread; never blocks. When the sink stalls the
  // oldest bytes are dropped, counted, and marked in the output.
  virtual void Write(std::span<const uint8_t> bytes) = 0;
  // The client has room again. Any thread.
  virtual void ResumeInput() = 0;
  // The guest prints no more. A pipe or socket that nobody reads gets a larger buffer for what is
  // kept here, so that who reads it after the end finds the guest's last lines too. Any thread.
  virtual void FinishOutput() {}
  // True when everything written has reached the sink (or was dropped). Any thread.
  virtual bool drained() const = 0;
  // Bytes given to Write since the start. Any thread. Default: nobody counts.
  virtual uint64_t written_bytes() const { return 0; }
  // Bytes dropped since the start. Any thread.
  virtual uint64_t dropped_bytes() const = 0;
  // Bytes that were stored in a file and removed again to keep within its limit. Any thread.
  virtual uint64_t removed_bytes() const { return 0; }
  // The terminal has a new size (SIGWINCH), or this process has come to its foreground or left it
  // (SIGCONT): tells the client, connects or disconnects the terminal. Any thread.
  virtual void NotifyTerminal() {}
  // Where the host finds the other end: the path of the pty, file or socket; empty if there is
  // none. Any thread.
  virtual std::string host_path() const { return {}; }
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_CHARACTER_BACKEND_H_
