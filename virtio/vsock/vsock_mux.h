// All connections of a guest, and the Unix sockets by which programs of the host take part: the
// socket at a path, where they ask for a port of the guest ("CONNECT PORT\n"), and the sockets
// PATH_PORT, where they listen for the guest. The protocol is that of Firecracker and
// cloud-hypervisor.
#ifndef VIRTIO_VSOCK_VSOCK_MUX_H_
#define VIRTIO_VSOCK_VSOCK_MUX_H_

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "virtio/queue/served_queue.h"
#include "virtio/vsock/vsock_connection.h"
#include "virtio/vsock/vsock_handshake.h"
#include "virtio/vsock/vsock_wire.h"

namespace virtio {

// What any thread may read.
struct VsockCounters {
  QueueCounter begun;              // connections, by either side
  QueueCounter refused_by_host;    // the guest's requests: nobody listens, or there are too many
  QueueCounter rejected_clients;   // of the host, which asked for nothing in time or wrongly
  QueueCounter dropped_malformed;  // packets of the guest
  QueueCounter resets;             // told to the guest
  QueueCounter tx_bytes;           // data of the guest
  QueueCounter rx_bytes;           // data for the guest
  std::atomic<uint64_t> kept_bytes = 0;   // data of the guest that sockets of the host do not take
  std::atomic<uint64_t> connections = 0;  // how many there are now
};

// All calls are on the loop.
class VsockMux final : public VsockConnectionOwner, private base::TurnHook {
 public:
  static constexpr size_t kMaxConnections = 10'000;
  // Clients that have not finished their line. One more ends the one that has waited longest.
  static constexpr size_t kMaxHandshakes = 64;
  // Bytes that sockets of the host do not take, of all connections. A connection that would exceed
  // them is reset.
  static constexpr uint64_t kMaxKeptBytes = 64 << 20;
  // Resets of connections that do not exist. The transmit queue waits while there are so many.
  static constexpr size_t kMaxReplies = 256;
  // The ports of connections that the host begins start here.
  static constexpr uint32_t kFirstHostPort = 1u << 30;
  // The delay after a failed accept (no descriptors left), so that accepting is not tried in a
  // tight loop.
  static constexpr std::chrono::seconds kAcceptRetryDelay{1};

  struct Options {
    std::string id;  // of the device
    uint64_t guest_cid = 0;
    std::string path;
    size_t max_connections = kMaxConnections;
  };

  // Listens at the path. `loop` takes temporary files and outlives this object. Call it before the
  // loop runs. Errors: those of base::UnixListener::Listen.
  static absl::StatusOr<std::unique_ptr<VsockMux>> Create(base::EventLoop& loop, Options options);
  ~VsockMux() override;

  // `on_output` is called when HasOutput() has become true, `on_room` when CanReply() has.
  void SetQueues(absl::AnyInvocable<void()> on_output, absl::AnyInvocable<void()> on_room);

  // Begins to take clients of the host; until then they wait to be accepted.
  void Open();
  // Takes no more clients, ends all connections without a word to the guest, and calls `done` when
  // no operation is under way.
  void Close(absl::AnyInvocable<void()> done);

  // Handles a packet of the guest. `data` are exactly its `header.length` bytes, and may be
  // changed; `in_ram` says whether this process may read them. CanReply() must be true.
  void OnPacket(const VsockHeader& header, std::span<iovec> data, bool in_ram);
  bool CanReply() const { return replies_.size() < kMaxReplies; }
  // Returns whether Next may have a packet for the guest.
  bool HasOutput() const { return !replies_.empty() || !ready_.empty(); }
  // Makes the next packet: `header`, with data in `room`, which may be changed. Returns false if
  // there is none after all.
  bool Next(VsockHeader& header, std::span<iovec> room);

  const VsockCounters& counters() const { return counters_; }

 private:
  class Wait final : public base::Operation {
   public:
    using Handler = void (VsockMux::*)(int32_t);
    Wait(VsockMux& mux, Handler handler) : mux_(mux), handler_(handler) {}
    void OnComplete(int32_t result) override { (mux_.*handler_)(result); }

   private:
    VsockMux& mux_;
    const Handler handler_;
  };
  struct Entry {
    std::unique_ptr<VsockConnection> connection;
    std::list<Entry*>::iterator place;  // in ready_ or idle_
    bool is_ready = false;
  };

  VsockMux(base::EventLoop& loop, Options options, base::UnixListener listener,
           base::LoopFile listener_file);

  void OnAccepted(int32_t result);
  void OnRetry(int32_t result);
  void AddClient(base::UniqueFd client);
  void OnHandshake(VsockHandshake& handshake, base::UniqueFd client, uint32_t guest_port);
  void OnRequest(VsockAddress address, const VsockHeader& header);
  void Add(VsockAddress address, base::UniqueFd socket, VsockConnection::Began began);
  // Answers a packet that belongs to no connection.
  void Refuse(const VsockHeader& header);
  void MakeReady(Entry& entry);
  bool is_quiet() const;
  // Returns a port for a connection that the host begins.
  uint32_t NextHostPort(uint32_t guest_port);

  void OnOutput(VsockConnection& connection) override;
  void OnEnded(VsockConnection& connection) override;
  void OnQuiet() override { loop_.AtTurnEnd(*this); }
  bool Reserve(uint32_t bytes) override;
  void Release(uint32_t bytes) override;
  void OnTurnEnd() override;

  base::EventLoop& loop_;
  const Options options_;
  base::UnixListener listener_;
  const base::LoopFile listener_file_;
  Wait accept_;
  Wait retry_;
  absl::AnyInvocable<void()> on_output_;
  absl::AnyInvocable<void()> on_room_;
  std::vector<absl::AnyInvocable<void()>> on_closed_;
  bool open_ = false;
  std::map<VsockAddress, Entry> connections_;
  // Every connection is in one of the two lists, so that changing lists allocates nothing.
  std::list<Entry*> ready_;
  std::list<Entry*> idle_;
  std::deque<VsockHeader> replies_;                         // addresses and type are filled in
  std::deque<std::unique_ptr<VsockHandshake>> handshakes_;  // oldest first
  // What has ended and is not quiet yet, or has ended during this turn.
  std::vector<std::unique_ptr<VsockConnection>> ended_connections_;
  std::vector<std::unique_ptr<VsockHandshake>> ended_handshakes_;
  uint32_t next_host_port_ = kFirstHostPort;
  VsockCounters counters_;
};

}  // namespace virtio

#endif  // VIRTIO_VSOCK_VSOCK_MUX_H_
