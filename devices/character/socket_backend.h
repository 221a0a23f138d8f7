// A character backend on a Unix socket: one client at a time. While no client is connected, output
// waits in the bounded ring.
#ifndef DEVICES_CHARACTER_SOCKET_BACKEND_H_
#define DEVICES_CHARACTER_SOCKET_BACKEND_H_

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "devices/character/character_backend.h"
#include "devices/character/input_pump.h"
#include "devices/character/output_pump.h"

namespace devices {

class SocketBackend final : public CharacterBackend {
 public:
  static absl::StatusOr<std::unique_ptr<CharacterBackend>> Create(base::EventLoop& loop,
                                                                  std::string name,
                                                                  base::UnixListener listener);

  void SetClient(CharacterClient* client) override { input_.SetClient(client); }
  void Write(std::span<const uint8_t> bytes) override { output_.Write(bytes); }
  void ResumeInput() override { input_.ResumeInput(); }
  void FinishOutput() override;
  bool drained() const override { return output_.drained(); }
  uint64_t written_bytes() const override { return output_.written_bytes(); }
  uint64_t dropped_bytes() const override { return output_.dropped_bytes(); }
  std::string host_path() const override { return listener_.path(); }

 private:
  struct AcceptOperation final : base::Operation {
    explicit AcceptOperation(SocketBackend& owner) : backend(owner) {}
    void OnComplete(int32_t result) override { backend.OnAccepted(result); }
    SocketBackend& backend;
  };
  struct RetryOperation final : base::Operation {
    explicit RetryOperation(SocketBackend& owner) : backend(owner) {}
    void OnComplete(int32_t /*result*/) override { backend.Accept(); }
    SocketBackend& backend;
  };

  SocketBackend(base::EventLoop& loop, std::string name, base::UnixListener listener);
  void Accept();
  void OnAccepted(int32_t result);
  void Adopt(base::UniqueFd peer);
  void OnInputEnd();
  void Disconnect();
  void FinishDisconnect();

  base::EventLoop& loop_;
  const std::string name_;
  base::UnixListener listener_;
  base::LoopFile listener_file_;
  base::UniqueFd peer_;
  base::LoopFile peer_file_;
  base::UniqueFd next_peer_;  // connected after `peer_` had stopped sending
  bool disconnecting_ = false;
  AcceptOperation accept_{*this};
  RetryOperation retry_{*this};
  OutputPump output_;
  InputPump input_;
};

}  // namespace devices

#endif  // DEVICES_CHARACTER_SOCKET_BACKEND_H_
