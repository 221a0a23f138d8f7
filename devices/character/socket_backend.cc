#include "devices/character/socket_backend.h"

#include <chrono>
#include <cstring>
#include <utility>

#include "base/limited_log.h"
#include "base/status.h"

namespace devices {
namespace {

// The delay after a failed accept (no descriptors left), so that accepting is not tried in a tight
// loop.
constexpr std::chrono::seconds kAcceptRetryDelay{1};

}  // namespace

absl::StatusOr<std::unique_ptr<CharacterBackend>> SocketBackend::Create(
    base::EventLoop& loop, std::string name, base::UnixListener listener) {
  std::unique_ptr<SocketBackend> backend(
      new SocketBackend(loop, std::move(name), std::move(listener)));
  ASSIGN_OR_RETURN(backend->listener_file_, loop.AddFile(backend->listener_.fd()));
  backend->Accept();
  return backend;
}

SocketBackend::SocketBackend(base::EventLoop& loop, std::string name, base::UnixListener listener)
    : loop_(loop),
      name_(std::move(name)),
      listener_(std::move(listener)),
      output_(loop, name_),
      input_(loop) {
  output_.Detach();  // until a client connects
  output_.set_on_gone([this] { Disconnect(); });
  output_.set_on_idle([this] { FinishDisconnect(); });
  input_.set_on_end([this] { OnInputEnd(); });
  input_.set_on_idle([this] { FinishDisconnect(); });
}

void SocketBackend::FinishOutput() {
  loop_.Post([this] {
    if (peer_.valid()) output_.FinishOutput(peer_.get());
  });
}

void SocketBackend::Accept() { loop_.Accept(accept_, listener_file_); }

void SocketBackend::OnAccepted(int32_t result) {
  if (result < 0) {
    LOG_LIMITED(Warning, 60, name_) << name_ << ": " << listener_.path()
                                    << ": cannot accept a connection: " << std::strerror(-result);
    return loop_.Timeout(retry_, kAcceptRetryDelay);
  }
  base::UniqueFd peer(result);
  if (!peer_.valid()) return Adopt(std::move(peer));
  next_peer_ = std::move(peer);
  Disconnect();
}

void SocketBackend::Adopt(base::UniqueFd peer) {
  absl::StatusOr<base::LoopFile> file = loop_.AddTemporaryFile(peer.get());
  if (!file.ok()) {
    LOG_LIMITED(Warning, 60, name_)
        << name_ << ": " << listener_.path() << ": " << file.status().message();
    return Accept();
  }
  peer_ = std::move(peer);
  peer_file_ = *file;
  disconnecting_ = false;
  input_.Attach(peer_file_);
  output_.Attach({.file = peer_file_, .kind = OutputSink::Kind::kSocket});
}

// A peer that sends no more may still be reading (`socat -u`), or it may be gone. A write to it
// will show which, and the next client that connects replaces it.
void SocketBackend::OnInputEnd() { Accept(); }

void SocketBackend::Disconnect() {
  if (disconnecting_) return;
  disconnecting_ = true;
  input_.Detach();
  output_.Detach();
  FinishDisconnect();
}

void SocketBackend::FinishDisconnect() {
  if (!disconnecting_ || !peer_.valid() || !input_.idle() || !output_.idle()) return;
  loop_.RemoveFile(peer_file_);
  peer_.reset();
  if (next_peer_.valid()) {
    Adopt(std::move(next_peer_));
  } else if (!accept_.pending() && !retry_.pending()) {
    Accept();
  }
}

}  // namespace devices
