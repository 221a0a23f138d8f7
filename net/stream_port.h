// A port whose far end is a stream socket, as passt has one. Each frame is preceded by its length
// in 4 bytes, big endian; there is no header of virtio. [passt(1)] [QEMU docs: -netdev stream]
#ifndef NET_STREAM_PORT_H_
#define NET_STREAM_PORT_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/endian.h"
#include "base/unique_fd.h"
#include "net/guest_filter.h"
#include "net/port.h"

namespace net {

// The shortest frame: an Ethernet header.
inline constexpr size_t kMinFrameBytes = 14;

// A port that outlives its sockets: while there is no connection, nothing is received and frames to
// send are refused, until Connect provides the next socket. What is polled are two epoll
// descriptors, which always hold the socket of the moment. All functions: the loop's thread, or
// before the loop runs.
class StreamPort final : public Port {
 public:
  // Receives what was wrong: "it closed the connection".
  using OnDown = absl::AnyInvocable<void(const std::string& reason)>;

  // Errors: ResourceExhausted or Internal with errno.
  static absl::StatusOr<std::unique_ptr<StreamPort>> Create();

  // Sets what Connect, Send and Receive call when a connection fails or its peer ends it, once for
  // each connection. `on_down` must not call the port.
  void SetOnDown(OnDown on_down) { on_down_ = std::move(on_down); }
  // Has `filter` decide which frames may leave; Send returns -EPERM for the others. The beginning
  // of each frame is copied for that, by two more system calls, so that the guest cannot change
  // what the filter has seen.
  void SetFilter(GuestFilter filter) { filter_.emplace(std::move(filter)); }
  // Uses `socket`, a connected Unix stream socket, from now on, instead of the one before.
  void Connect(base::UniqueFd socket);
  bool connected() const { return connected_; }

  int fd() const override { return receive_set_.get(); }
  Readiness send_readiness() const override { return {send_set_.get(), POLLIN}; }
  // Also returns -ENOTCONN while there is no connection, -EPIPE if it ends, -EMSGSIZE for a frame
  // of less than kMinFrameBytes or more than kMaxFrameBytes, and -EINVAL for a header that leaves
  // work on the frame to the host.
  int32_t Send(std::span<const iovec> frame) override;
  // Returns -EAGAIN also when the connection ends, so that the caller polls for the next one.
  int32_t Receive(std::span<const iovec> to) override;
  // Nobody at the far end completes frames: any offload is -EOPNOTSUPP.
  int32_t SetOffloads(uint32_t offloads) override { return offloads == 0 ? 0 : -EOPNOTSUPP; }
  int32_t SetActive(bool /*active*/) override { return 0; }

 private:
  using Length = base::Be32;
  // Room for several frames, so that one system call receives many small ones.
  static constexpr size_t kBufferBytes = size_t{256} << 10;
  static_assert(kBufferBytes >= sizeof(Length) + kMaxFrameBytes);

  StreamPort(base::UniqueFd receive_set, base::UniqueFd send_set, base::UniqueFd copier);

  void Disconnect(const std::string& reason);
  // Has the receive set report the socket when it is readable, and if `writable` also when it is
  // writable.
  void WatchReceive(int operation, bool writable);
  // Copies the first `bytes` bytes of a frame to head_. Returns false if the kernel cannot read
  // them.
  bool CopyHead(std::span<const iovec> frame, size_t bytes);
  // Keeps what the kernel did not take of the message in iovecs_.
  void KeepRest(size_t count, size_t sent, size_t total);
  // Sends what was kept. Returns 0 if there is nothing left, -EAGAIN or -EPIPE.
  int32_t SendRest();
  // Makes room and receives once. Returns false if nothing was received.
  bool Fill();
  // Returns the length of the frame that begins the buffer; 0 if it is not complete, or if the
  // connection has ended because of it.
  size_t NextFrame();

  const base::UniqueFd receive_set_;
  const base::UniqueFd send_set_;
  const base::UniqueFd copier_;  // a memory file, see CopyHead and KeepRest
  base::UniqueFd socket_;
  bool connected_ = false;
  OnDown on_down_;
  std::optional<GuestFilter> filter_;
  std::array<uint8_t, kClassifiedBytes> head_;  // what filter_ sees of a frame
  // What has been received and not been handed out: [begin_, end_).
  const std::unique_ptr<uint8_t[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  // The end of a frame of which the kernel took only a part: [rest_begin_, rest_end_).
  std::array<uint8_t, sizeof(Length) + kMaxFrameBytes> rest_;
  size_t rest_begin_ = 0;
  size_t rest_end_ = 0;
  std::array<iovec, IOV_MAX> iovecs_;  // of Send
};

}  // namespace net

#endif  // NET_STREAM_PORT_H_
