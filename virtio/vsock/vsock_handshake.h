// The line with which a client of the host's socket says which port of the guest it wants.
#ifndef VIRTIO_VSOCK_VSOCK_HANDSHAKE_H_
#define VIRTIO_VSOCK_VSOCK_HANDSHAKE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace virtio {

// Returns the port of the line "CONNECT PORT", without its end of line. As in Firecracker and
// cloud-hypervisor, the word may be in small letters, and any number of blanks may be around both.
std::optional<uint32_t> ParseConnectLine(absl::string_view line);

// Reads the line of a client, and no byte behind the line. All calls are on the loop.
class VsockHandshake final : public base::Operation {
 public:
  static constexpr size_t kMaxLine = 32;  // with its end, as in Firecracker and cloud-hypervisor
  // Gets the client and the port when the line is there. Gets no client if the line is wrong or the
  // client has gone. Called once, with this handshake, which has no operation under way then and is
  // destroyed later, not in the call.
  using Done = absl::AnyInvocable<void(VsockHandshake&, base::UniqueFd, uint32_t)>;

  // `client` does not block. `loop` takes temporary files. Start() must follow.
  VsockHandshake(base::EventLoop& loop, base::UniqueFd client, Done done);
  ~VsockHandshake() override;

  void Start();
  // Calls `done` without a client, at the latest in the next turn.
  void Cancel();

 private:
  void OnComplete(int32_t result) override;
  // Looks at what has arrived. Returns false if the line is not complete yet.
  bool Look();
  void Finish(base::UniqueFd client, uint32_t port);

  base::EventLoop& loop_;
  base::UniqueFd client_;
  base::LoopFile file_;
  Done done_;
  bool cancelled_ = false;
  std::array<char, kMaxLine> line_ = {};
  size_t line_bytes_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_HANDSHAKE_H_
