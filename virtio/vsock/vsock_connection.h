// One stream between a port of the guest and a Unix socket of the host.
#ifndef VIRTIO_VSOCK_VSOCK_CONNECTION_H_
#define VIRTIO_VSOCK_VSOCK_CONNECTION_H_

#include <sys/uio.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "virtio/vsock/vsock_wire.h"

namespace virtio {

// What tells the connections of a guest apart.
struct VsockAddress {
  uint32_t guest_port = 0;
  uint32_t host_port = 0;
  // clang-tidy 14 takes the 0 in the generated code for a pointer.
  auto operator<=>(const VsockAddress&) const = default;  // NOLINT(modernize-use-nullptr)
};

class VsockConnection;

// Who looks after a connection. All calls are on the loop.
class VsockConnectionOwner {
 public:
  // The connection has a packet for the guest (HasOutput).
  virtual void OnOutput(VsockConnection& connection) = 0;
  // The connection has ended. The owner destroys it when it is quiet, but not in this call.
  virtual void OnEnded(VsockConnection& connection) = 0;
  // A connection that had ended has become quiet.
  virtual void OnQuiet() = 0;
  // Returns whether the connection may keep `bytes` more bytes for a socket that takes none now;
  // counts them if so. `Release` counts them off.
  virtual bool Reserve(uint32_t bytes) = 0;
  virtual void Release(uint32_t bytes) = 0;

 protected:
  virtual ~VsockConnectionOwner() = default;
};

//   guest began:  [open] ---------------------------+
//   host began:   [requested] -RESPONSE-> [open] ---+--> [ended]
//                                                   by RST of either side, by SHUTDOWN of both
//                                                   directions, or by an error of the socket
//
// Data of the guest go to the socket at once, and only what the socket does not take is kept: at
// most kBufferBytes, which is the credit that the guest has. Data of the host stay in the socket
// until the guest has room and credit. All calls are on the loop. [VIRTIO 1.2 §5.10.6]
class VsockConnection {
 public:
  static constexpr uint32_t kBufferBytes = 256 << 10;
  enum class Began : uint8_t { kGuest, kHost };

  // `socket` is connected and does not block. `loop` takes temporary files; like `owner`, it
  // outlives the connection. Of a connection that the host began, the socket gets "OK PORT\n" when
  // the guest accepts. Errors of the host end the connection.
  VsockConnection(base::EventLoop& loop, VsockConnectionOwner& owner, VsockAddress address,
                  base::UniqueFd socket, Began began);
  ~VsockConnection();
  VsockConnection(const VsockConnection&) = delete;
  VsockConnection& operator=(const VsockConnection&) = delete;

  const VsockAddress& address() const { return address_; }

  // Takes the guest's credit from its request.
  void SetPeerCredit(const VsockHeader& header);
  // Handles a packet of the guest. `data` are its `header.length` bytes, which may be changed;
  // `in_ram` says whether this process may read them.
  void OnPacket(const VsockHeader& header, std::span<iovec> data, bool in_ram);
  // Returns whether Next may have a packet for the guest.
  bool HasOutput() const;
  // Makes the next packet: fills in the operation, flags, length and credit of `header`, and puts
  // data into `room`, which may be changed. Returns false if there is nothing after all.
  bool Next(VsockHeader& header, std::span<iovec> room);
  // Ends the connection without a word to the guest.
  void End();
  bool ended() const { return state_ == State::kEnded; }
  // Returns whether no operation is under way.
  bool quiet() const { return !read_wait_.pending() && !write_wait_.pending(); }

 private:
  enum class State : uint8_t { kRequested, kOpen, kEnded };
  // What the guest has to be told, in this order.
  enum Pending : uint8_t {
    kReset = 1,
    kRequest = 2,
    kResponse = 4,
    kShutdown = 8,
    kCreditUpdate = 16,
    kCreditRequest = 32,
  };
  class Wait final : public base::Operation {
   public:
    using Handler = void (VsockConnection::*)(int32_t);
    Wait(VsockConnection& connection, Handler handler)
        : connection_(connection), handler_(handler) {}
    void OnComplete(int32_t result) override { (connection_.*handler_)(result); }

   private:
    VsockConnection& connection_;
    const Handler handler_;
  };

  void OnReadable(int32_t result);
  void OnWritable(int32_t result);
  void OnData(std::span<iovec> data, uint32_t bytes, bool in_ram);
  void OnShutdown(uint32_t flags);
  void OnAccepted();
  // Writes to the socket. Returns how many bytes it took, or nothing if the connection has ended.
  std::optional<uint32_t> Write(std::span<const iovec> data);
  // Writes what is kept, and then does what waits for that.
  void Flush();
  // Returns the number of bytes read into `room`; nothing if there are none now.
  std::optional<uint32_t> Read(std::span<iovec> room);
  void OnEndOfInput();
  void Tell(uint8_t pending);
  // Tells the guest that the connection is gone.
  void Reset();
  uint32_t credit() const;
  void CountForwarded(uint32_t bytes);
  bool is_reading() const;

  base::EventLoop& loop_;
  VsockConnectionOwner& owner_;
  const VsockAddress address_;
  base::UniqueFd socket_;
  base::LoopFile file_;
  Wait read_wait_;
  Wait write_wait_;
  State state_;
  uint8_t pending_;
  bool readable_ = true;       // the socket may have data
  bool end_of_input_ = false;  // the host sends no more
  uint8_t host_shutdown_ = 0;  // VIRTIO_VSOCK_SHUTDOWN_* of the host, as the guest will be told
  uint8_t guest_shutdown_ = 0;
  // The guest's credit, and what it has sent.
  uint32_t received_ = 0;
  uint32_t forwarded_ = 0;
  uint32_t told_forwarded_ = 0;  // as the guest knows it
  // Our credit, and what we have sent.
  uint32_t peer_bytes_ = 0;
  uint32_t peer_forwarded_ = 0;
  uint32_t sent_ = 0;
  bool asked_for_credit_ = false;
  // What the socket has not taken yet: kept_[kept_begin_, end).
  std::vector<uint8_t> kept_;
  size_t kept_begin_ = 0;
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_CONNECTION_H_
