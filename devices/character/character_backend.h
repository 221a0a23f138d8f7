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
  // Takes bytes from the host and returns how many were taken. The backend keeps the rest (a
  // bounded number) and reads no more until ResumeInput.
  virtual size_t OnInput(std::span<const uint8_t> bytes) = 0;
  // Receives the terminal's size, at the start and at each change. By default the size is ignored.
  virtual void OnResize(uint16_t /*columns*/, uint16_t /*rows*/) {}
};

class CharacterBackend {
 public:
  virtual ~CharacterBackend() = default;

  // Sets the client that gets input; nullptr means none. Call it before the loop runs, or on the
  // loop.
  virtual void SetClient(CharacterClient* client) = 0;
  // Takes all bytes at once into a bounded ring. Any thread; never blocks. While the sink stalls,
  // the oldest bytes are dropped, counted, and marked in the output.
  virtual void Write(std::span<const uint8_t> bytes) = 0;
  // Says that the client has room again. Any thread.
  virtual void ResumeInput() = 0;
  // Says that the guest prints no more. If a pipe or socket is not being read, its buffer is
  // enlarged so that the bytes kept here fit. A program that reads it afterwards then finds the
  // guest's last lines too. Any thread.
  virtual void FinishOutput() {}
  // Returns true if everything written has reached the sink (or was dropped). Any thread.
  virtual bool drained() const = 0;
  // Returns the number of bytes given to Write since the start. Any thread. By default nothing
  // counts them and the number is 0.
  virtual uint64_t written_bytes() const { return 0; }
  // Returns the number of bytes dropped since the start. Any thread.
  virtual uint64_t dropped_bytes() const = 0;
  // Returns the number of bytes that were stored in a file and removed again to keep within its
  // limit. Any thread.
  virtual uint64_t removed_bytes() const { return 0; }
  // Says that the terminal may have a new size (SIGWINCH), or that this process may have come to
  // its foreground or left it (SIGCONT). The backend tells the client the size, and connects or
  // disconnects the terminal. Any thread.
  virtual void NotifyTerminal() {}
  // Returns where the host finds the other end: the path of the pty, file or socket, or an empty
  // string if there is none. Any thread.
  virtual std::string host_path() const { return {}; }
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_CHARACTER_BACKEND_H_
