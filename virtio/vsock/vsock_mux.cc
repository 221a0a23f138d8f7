#include "virtio/vsock/vsock_mux.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limited_log.h"
#include "base/log.h"
#include "base/status.h"

namespace virtio {

absl::StatusOr<std::unique_ptr<VsockMux>> VsockMux::Create(base::EventLoop& loop, Options options) {
  ASSIGN_OR_RETURN(base::UnixListener listener,
                   base::UnixListener::Listen(options.path, {.backlog = 128}));
  ASSIGN_OR_RETURN(const base::LoopFile file, loop.AddFile(listener.fd()));
  return std::unique_ptr<VsockMux>(
      new VsockMux(loop, std::move(options), std::move(listener), file));
}

VsockMux::VsockMux(base::EventLoop& loop, Options options, base::UnixListener listener,
                   base::LoopFile listener_file)
    : loop_(loop),
      options_(std::move(options)),
      listener_(std::move(listener)),
      listener_file_(listener_file),
      accept_(*this, &VsockMux::OnAccepted),
      retry_(*this, &VsockMux::OnRetry) {}

VsockMux::~VsockMux() { CHECK(connections_.empty() && is_quiet()); }

void VsockMux::SetQueues(absl::AnyInvocable<void()> on_output, absl::AnyInvocable<void()> on_room) {
  on_output_ = std::move(on_output);
  on_room_ = std::move(on_room);
}

void VsockMux::Open() {
  open_ = true;
  // After Close, a cancelled accept that is still under way begins again when it ends.
  if (!accept_.pending() && !retry_.pending()) loop_.Accept(accept_, listener_file_);
}

void VsockMux::Close(absl::AnyInvocable<void()> done) {
  open_ = false;
  on_closed_.push_back(std::move(done));
  loop_.Cancel(accept_);
  loop_.Cancel(retry_);
  replies_.clear();
  // End removes the connection from the map.
  while (!connections_.empty()) connections_.begin()->second.connection->End();
  for (const auto& handshake : handshakes_) handshake->Cancel();
  loop_.AtTurnEnd(*this);
}

// --- The host begins -----------------------------------------------------------------------------

void VsockMux::OnAccepted(int32_t result) {
  base::UniqueFd client(result < 0 ? -1 : result);
  if (!open_) return loop_.AtTurnEnd(*this);
  if (client.valid()) {
    AddClient(std::move(client));
  } else if (result != -ECANCELED && result != -ECONNABORTED && result != -EINTR) {
    LOG_LIMITED(Warning, 10, options_.id)
        << options_.id << ": cannot accept a client: " << strerrordesc_np(-result);
    return loop_.Timeout(retry_, kAcceptRetryDelay);
  }
  loop_.Accept(accept_, listener_file_);
}

void VsockMux::OnRetry(int32_t /*result*/) {
  if (!open_) return loop_.AtTurnEnd(*this);
  loop_.Accept(accept_, listener_file_);
}

void VsockMux::AddClient(base::UniqueFd client) {
  // Cancelled handshakes wait for the end of the turn only. More of them than this means that a
  // program floods the socket.
  if (handshakes_.size() >= 2 * kMaxHandshakes) return counters_.rejected_clients.Increment();
  if (handshakes_.size() >= kMaxHandshakes) {
    handshakes_[handshakes_.size() - kMaxHandshakes]->Cancel();  // the oldest that is not cancelled
  }
  handshakes_.push_back(std::make_unique<VsockHandshake>(
      loop_, std::move(client), [this](VsockHandshake& ended, base::UniqueFd fd, uint32_t port) {
        OnHandshake(ended, std::move(fd), port);
      }));
  handshakes_.back()->Start();
}

void VsockMux::OnHandshake(VsockHandshake& handshake, base::UniqueFd client, uint32_t guest_port) {
  const auto found = std::ranges::find_if(
      handshakes_, [&](const auto& waiting) { return waiting.get() == &handshake; });
  CHECK(found != handshakes_.end());
  ended_handshakes_.push_back(std::move(*found));
  handshakes_.erase(found);
  loop_.AtTurnEnd(*this);
  if (!client.valid() || !open_ || connections_.size() >= options_.max_connections) {
    return counters_.rejected_clients.Increment();
  }
  Add({guest_port, NextHostPort(guest_port)}, std::move(client), VsockConnection::Began::kHost);
}

uint32_t VsockMux::NextHostPort(uint32_t guest_port) {
  // There are far fewer connections than ports.
  while (connections_.contains({guest_port, next_host_port_})) {
    next_host_port_ = std::max(next_host_port_ + 1, kFirstHostPort);
  }
  const uint32_t port = next_host_port_;
  next_host_port_ = std::max(next_host_port_ + 1, kFirstHostPort);
  return port;
}

// --- The guest begins ----------------------------------------------------------------------------

void VsockMux::OnPacket(const VsockHeader& header, std::span<iovec> data, bool in_ram) {
  // The driver may not choose another source. [VIRTIO 1.2 §5.10.6.4]
  if (header.source_cid.value() != options_.guest_cid) {
    return counters_.dropped_malformed.Increment();
  }
  if (header.destination_cid.value() != kHostCid ||
      header.type.value() != VIRTIO_VSOCK_TYPE_STREAM) {
    return Refuse(header);
  }
  const VsockAddress address = {header.source_port.value(), header.destination_port.value()};
  const auto found = connections_.find(address);
  if (found != connections_.end()) {
    if (header.operation.value() == VIRTIO_VSOCK_OP_RW) {
      counters_.tx_bytes.Add(header.length.value());
    }
    return found->second.connection->OnPacket(header, data, in_ram);
  }
  if (header.operation.value() != VIRTIO_VSOCK_OP_REQUEST) return Refuse(header);
  OnRequest(address, header);
}

void VsockMux::OnRequest(VsockAddress address, const VsockHeader& header) {
  if (connections_.size() >= options_.max_connections) {
    counters_.refused_by_host.Increment();
    return Refuse(header);
  }
  auto socket = base::ConnectUnix(absl::StrCat(options_.path, "_", address.host_port),
                                  std::chrono::milliseconds(0));
  if (!socket.ok()) {
    counters_.refused_by_host.Increment();
    return Refuse(header);
  }
  Add(address, *std::move(socket), VsockConnection::Began::kGuest);
  connections_.at(address).connection->SetPeerCredit(header);
}

void VsockMux::Add(VsockAddress address, base::UniqueFd socket, VsockConnection::Began began) {
  Entry& entry = connections_[address];
  entry.connection =
      std::make_unique<VsockConnection>(loop_, *this, address, std::move(socket), began);
  entry.place = idle_.insert(idle_.end(), &entry);
  counters_.begun.Increment();
  ++counters_.connections;
  MakeReady(entry);
  if (on_output_) on_output_();
}

void VsockMux::Refuse(const VsockHeader& header) {
  if (header.operation.value() == VIRTIO_VSOCK_OP_RST) return;
  VsockHeader reply;
  reply.source_cid = header.destination_cid;
  reply.destination_cid = header.source_cid;
  reply.source_port = header.destination_port;
  reply.destination_port = header.source_port;
  reply.type = header.type;
  reply.operation = VIRTIO_VSOCK_OP_RST;
  replies_.push_back(reply);
  if (on_output_) on_output_();
}

// --- To the guest --------------------------------------------------------------------------------

bool VsockMux::Next(VsockHeader& header, std::span<iovec> room) {
  if (!replies_.empty()) {
    const bool could_reply = CanReply();
    header = replies_.front();
    replies_.pop_front();
    counters_.resets.Increment();
    if (!could_reply && on_room_) on_room_();
    return true;
  }
  if (ready_.empty()) return false;
  Entry& entry = *ready_.front();
  idle_.splice(idle_.end(), ready_, entry.place);
  entry.is_ready = false;
  VsockConnection& connection = *entry.connection;  // lives until the end of the turn
  header = VsockHeader();
  header.source_cid = kHostCid;
  header.destination_cid = options_.guest_cid;
  header.source_port = connection.address().host_port;
  header.destination_port = connection.address().guest_port;
  header.type = VIRTIO_VSOCK_TYPE_STREAM;
  const bool has_packet = connection.Next(header, room);
  if (has_packet && header.operation.value() == VIRTIO_VSOCK_OP_RST) counters_.resets.Increment();
  counters_.rx_bytes.Add(has_packet ? header.length.value() : 0);
  // The entry is gone if the connection has ended. Else the others have their turn first.
  if (!connection.ended() && connection.HasOutput()) MakeReady(entry);
  return has_packet;
}

void VsockMux::MakeReady(Entry& entry) {
  if (!std::exchange(entry.is_ready, true)) ready_.splice(ready_.end(), idle_, entry.place);
}

void VsockMux::OnOutput(VsockConnection& connection) {
  const auto found = connections_.find(connection.address());
  if (found == connections_.end()) return;
  MakeReady(found->second);
  if (on_output_) on_output_();
}

// --- Ends ----------------------------------------------------------------------------------------

void VsockMux::OnEnded(VsockConnection& connection) {
  const auto found = connections_.find(connection.address());
  CHECK(found != connections_.end());
  Entry& entry = found->second;
  (entry.is_ready ? ready_ : idle_).erase(entry.place);
  ended_connections_.push_back(std::move(entry.connection));
  connections_.erase(found);
  --counters_.connections;
  loop_.AtTurnEnd(*this);
}

bool VsockMux::Reserve(uint32_t bytes) {
  if (counters_.kept_bytes + bytes > kMaxKeptBytes) return false;
  counters_.kept_bytes += bytes;
  return true;
}

void VsockMux::Release(uint32_t bytes) { counters_.kept_bytes -= bytes; }

bool VsockMux::is_quiet() const {
  return handshakes_.empty() && ended_connections_.empty() && !accept_.pending() &&
         !retry_.pending();
}

void VsockMux::OnTurnEnd() {
  std::erase_if(ended_connections_, [](const auto& connection) { return connection->quiet(); });
  ended_handshakes_.clear();
  // If the mux was opened again meanwhile, its new operations go on.
  if (on_closed_.empty() || !(is_quiet() || (open_ && ended_connections_.empty()))) return;
  std::vector<absl::AnyInvocable<void()>> closed = std::exchange(on_closed_, {});
  for (auto& done : closed) done();  // must be last: a function may destroy the device
}

}  // namespace virtio
