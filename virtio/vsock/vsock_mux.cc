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
namespace {

// The pause after a client could not be accepted.
constexpr std::chrono::milliseconds kErrorPause{100};

}  // namespace

absl::StatusOr<std::unique_ptr<VsockMux>> VsockMux::Create(base::EventLoop& loop, Options options) {
  ASSIGN_OR_RETURN(base::UnixListener listener,
                   base::UnixListener::Listen(options.path, {.backlog = 128}));
  ASSIGN_OR_RETURN(const base::LoopFile file, loop.AddFile(listener.fd()));
  auto mux =
      std::unique_ptr<VsockMux>(new VsockMux(loop, std::move(options), std::move(listener), file));
  loop.Accept(mux->accept_, file);
  return mux;
}

VsockMux::VsockMux(base::EventLoop& loop, Options options, base::UnixListener listener,
                   base::LoopFile listener_file)
    : loop_(loop),
      options_(std::move(options)),
      listener_(std::move(listener)),
      listener_file_(listener_file),
      accept_(*this) {}

// The accept is under way as long as the loop runs, and the loop has ended.
VsockMux::~VsockMux() { CHECK(connections_.empty() && handshakes_.empty()); }

void VsockMux::SetQueues(absl::AnyInvocable<void()> on_output, absl::AnyInvocable<void()> on_room) {
  on_output_ = std::move(on_output);
  on_room_ = std::move(on_room);
}

void VsockMux::Open() { open_ = true; }

void VsockMux::Close(absl::AnyInvocable<void()> done) {
  open_ = false;
  on_closed_.push_back(std::move(done));
  ready_.clear();
  replies_.clear();
  std::vector<VsockConnection*> all;
  for (const auto& [address, entry] : connections_) all.push_back(entry.connection.get());
  for (VsockConnection* connection : all) connection->End();
  std::vector<VsockHandshake*> waiting;
  for (const auto& handshake : handshakes_) waiting.push_back(handshake.get());
  for (VsockHandshake* handshake : waiting) handshake->Cancel();
  loop_.AtTurnEnd(*this);
}

// --- The host begins -----------------------------------------------------------------------------

void VsockMux::OnAccepted(int32_t result) {
  if (result == -ECANCELED) return;
  if (result < 0 && result != -ETIME) {  // too many open files, for example
    LOG_LIMITED(Warning, 10, options_.id)
        << options_.id << ": cannot accept a client: " << strerrordesc_np(-result);
    return loop_.Timeout(accept_, kErrorPause);
  }
  base::UniqueFd client(result < 0 ? -1 : result);
  if (client.valid() && open_) {
    if (handshakes_.size() >= kMaxHandshakes) handshakes_.front()->Cancel();
    auto handshake = std::make_unique<VsockHandshake>(
        loop_, std::move(client), [this](VsockHandshake& ended, base::UniqueFd fd, uint32_t port) {
          OnHandshake(ended, std::move(fd), port);
        });
    handshakes_.push_back(std::move(handshake));
    handshakes_.back()->Start();
  }
  loop_.Accept(accept_, listener_file_);
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
  const auto added = connections_.find(address);
  added->second.connection->SetPeerCredit(header);
}

void VsockMux::Add(VsockAddress address, base::UniqueFd socket, VsockConnection::Began began) {
  Entry& entry = connections_[address];
  entry.connection =
      std::make_unique<VsockConnection>(loop_, *this, address, std::move(socket), began);
  counters_.begun.Increment();
  MakeReady(address, entry);
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
  const VsockAddress address = ready_.front();
  ready_.pop_front();
  const auto found = connections_.find(address);
  if (found == connections_.end()) return false;
  Entry& entry = found->second;
  VsockConnection& connection = *entry.connection;
  header = VsockHeader();
  header.source_cid = kHostCid;
  header.destination_cid = options_.guest_cid;
  header.source_port = address.host_port;
  header.destination_port = address.guest_port;
  header.type = VIRTIO_VSOCK_TYPE_STREAM;
  const bool has_packet = connection.Next(header, room);
  if (has_packet && header.operation.value() == VIRTIO_VSOCK_OP_RST) counters_.resets.Increment();
  counters_.rx_bytes.Add(has_packet ? header.length.value() : 0);
  if (connection.ended()) return has_packet;  // and OnEnded has removed the entry
  entry.is_ready = false;
  if (connection.HasOutput()) MakeReady(address, entry);  // behind the others
  return has_packet;
}

void VsockMux::MakeReady(const VsockAddress& address, Entry& entry) {
  if (!std::exchange(entry.is_ready, true)) ready_.push_back(address);
  if (on_output_) on_output_();
}

void VsockMux::OnOutput(VsockConnection& connection) {
  const auto found = connections_.find(connection.address());
  if (found != connections_.end()) MakeReady(connection.address(), found->second);
}

// --- Ends ----------------------------------------------------------------------------------------

void VsockMux::OnEnded(VsockConnection& connection) {
  const auto found = connections_.find(connection.address());
  CHECK(found != connections_.end());
  ended_connections_.push_back(std::move(found->second.connection));
  connections_.erase(found);
  loop_.AtTurnEnd(*this);
}

bool VsockMux::Reserve(uint32_t bytes) {
  if (kept_bytes_ + bytes > kMaxKeptBytes) return false;
  kept_bytes_ += bytes;
  return true;
}

void VsockMux::OnTurnEnd() {
  std::erase_if(ended_connections_, [](const auto& connection) { return connection->quiet(); });
  ended_handshakes_.clear();
  if (open_ || !ended_connections_.empty() || !handshakes_.empty()) return;
  for (absl::AnyInvocable<void()>& done : std::exchange(on_closed_, {})) done();
}

}  // namespace virtio
