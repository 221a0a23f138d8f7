#include "virtio/vsock/vsock_connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/guest_memory.h"
#include "base/log.h"
#include "virtio/queue/iovecs.h"

namespace virtio {
namespace {

constexpr uint8_t kBothWays = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

bool IsHungUp(int socket) {
  pollfd polled = {.fd = socket, .events = 0, .revents = 0};
  return poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace

VsockConnection::VsockConnection(base::EventLoop& loop, VsockConnectionOwner& owner,
                                 VsockAddress address, base::UniqueFd socket, Began began)
    : loop_(loop),
      owner_(owner),
      address_(address),
      socket_(std::move(socket)),
      read_wait_(*this, &VsockConnection::OnReadable),
      write_wait_(*this, &VsockConnection::OnWritable),
      state_(began == Began::kHost ? State::kRequested : State::kOpen),
      pending_(began == Began::kHost ? kRequest : kResponse) {
  absl::StatusOr<base::LoopFile> file = loop_.LendFile(socket_.get());
  if (!file.ok()) {
    pending_ = kReset;
    return;
  }
  file_ = *file;
  if (began == Began::kHost) {  // the client may give up before the guest answers
    readable_ = false;
    loop_.Poll(read_wait_, file_, POLLIN);
  }
}

VsockConnection::~VsockConnection() {
  CHECK(quiet());
  if (file_.valid()) loop_.RemoveFile(file_);
  owner_.Release(static_cast<uint32_t>(kept_.size() - kept_begin_));
}

void VsockConnection::SetPeerCredit(const VsockHeader& header) {
  peer_bytes_ = header.buffer_bytes.value();
  peer_forwarded_ = header.forwarded.value();
  asked_for_credit_ = false;
}

void VsockConnection::OnPacket(const VsockHeader& header, std::span<iovec> data, bool in_ram) {
  if (ended() || (pending_ & kReset) != 0) return;
  SetPeerCredit(header);
  const bool is_open = state_ == State::kOpen;
  switch (header.operation.value()) {
    case VIRTIO_VSOCK_OP_RST:
      // LINUX: a guest that has closed waits 8 s for the confirmation and then sends RST. What it
      // sent before still goes to the host.
      if (guest_shutdown_ == kBothWays && !kept_.empty()) return;
      return End();
    case VIRTIO_VSOCK_OP_RESPONSE:
      if (state_ != State::kRequested || (pending_ & kRequest) != 0) return Reset();
      return OnAccepted();
    case VIRTIO_VSOCK_OP_RW:
      if (!is_open) return Reset();
      OnData(data, header.length.value(), in_ram);
      break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
      if (!is_open) return Reset();
      OnShutdown(header.flags.value());
      break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
      break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
      Tell(kCreditUpdate);
      break;
    default:  // a second REQUEST, or what no version of the specification has
      return Reset();
  }
  if (!ended() && HasOutput()) owner_.OnOutput(*this);  // the credit may be larger
}

void VsockConnection::OnAccepted() {
  state_ = State::kOpen;
  std::string answer = absl::StrCat("OK ", address_.host_port, "\n");
  // A fresh socket has room for a line.
  const iovec line = {answer.data(), answer.size()};
  const std::optional<uint32_t> written = Write({&line, 1});
  if (!written.has_value()) return;
  if (*written != answer.size()) return Reset();
  owner_.OnOutput(*this);
}

void VsockConnection::OnData(std::span<iovec> data, uint32_t bytes, bool in_ram) {
  // [VIRTIO 1.2 §5.10.6.3: the sender must not exceed the credit]
  if (bytes > kBufferBytes - (received_ - forwarded_) ||
      (guest_shutdown_ & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0) {
    return Reset();
  }
  received_ += bytes;
  uint32_t left = bytes;
  if (kept_.empty()) {
    const std::optional<uint32_t> written = Write(data);
    if (!written.has_value()) return;
    CountForwarded(*written);
    ConsumeFront(data, *written);
    left -= *written;
  }
  if (left == 0) return;
  if (!in_ram || !owner_.Reserve(left)) return Reset();
  if (kept_begin_ > kept_.size() / 2) {
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(kept_begin_));
    kept_begin_ = 0;
  }
  const size_t end = kept_.size();
  kept_.resize(end + left);
  std::span<uint8_t> to = std::span(kept_).subspan(end);
  ConsumeFront(data, left, [&to](const iovec& piece) {
    base::CopyFromGuest(to.data(), piece.iov_base, piece.iov_len);
    to = to.subspan(piece.iov_len);
  });
  if (!write_wait_.pending()) loop_.Poll(write_wait_, file_, POLLOUT);
}

void VsockConnection::OnShutdown(uint32_t flags) {
  guest_shutdown_ |= static_cast<uint8_t>(flags & kBothWays);
  // Writes of the host fail from now on, instead of waiting for a guest that does not read.
  if ((flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) shutdown(socket_.get(), SHUT_RD);
  if (kept_.empty()) Flush();
}

std::optional<uint32_t> VsockConnection::Write(std::span<const iovec> data) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(data.data());
  message.msg_iovlen = std::min<size_t>(data.size(), IOV_MAX);
  const ssize_t n = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0) return static_cast<uint32_t>(n);
  if (errno == EAGAIN || errno == EINTR) return 0;
  if (errno == EPIPE) {  // the host reads no more, but may still send
    host_shutdown_ |= VIRTIO_VSOCK_SHUTDOWN_RCV;
    Tell(kShutdown);
    uint32_t dropped = 0;
    for (const iovec& piece : data) dropped += static_cast<uint32_t>(piece.iov_len);
    return dropped;
  }
  Reset();
  return std::nullopt;
}

void VsockConnection::Flush() {
  if (!kept_.empty()) {
    const iovec rest = {kept_.data() + kept_begin_, kept_.size() - kept_begin_};
    const std::optional<uint32_t> written = Write({&rest, 1});
    if (!written.has_value()) return;
    kept_begin_ += *written;
    owner_.Release(*written);
    CountForwarded(*written);
    if (kept_begin_ < kept_.size()) return loop_.Poll(write_wait_, file_, POLLOUT);
    kept_ = {};  // also gives the memory back
    kept_begin_ = 0;
  }
  if (guest_shutdown_ == kBothWays) return Reset();  // which confirms it
  if ((guest_shutdown_ & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0) shutdown(socket_.get(), SHUT_WR);
}

void VsockConnection::CountForwarded(uint32_t bytes) {
  forwarded_ += bytes;
  // How much the guest believes that it may send.
  const uint32_t known = kBufferBytes - (received_ - told_forwarded_);
  if (bytes > 0 && known < kBufferBytes / 2) Tell(kCreditUpdate);
}

uint32_t VsockConnection::credit() const {
  const uint32_t under_way = sent_ - peer_forwarded_;  // more than was sent if the guest lies
  return under_way < peer_bytes_ ? peer_bytes_ - under_way : 0;
}

bool VsockConnection::is_reading() const {
  return state_ == State::kOpen && !end_of_input_ && readable_ &&
         (guest_shutdown_ & VIRTIO_VSOCK_SHUTDOWN_RCV) == 0;
}

bool VsockConnection::HasOutput() const {
  if (ended()) return false;
  return pending_ != 0 || (is_reading() && (credit() > 0 || !asked_for_credit_));
}

bool VsockConnection::Next(VsockHeader& header, std::span<iovec> room) {
  uint16_t operation = 0;
  uint32_t length = 0;
  uint8_t told = 0;
  std::optional<uint32_t> bytes;
  // Read may find the end of the data, or an error, which are told then.
  if ((pending_ & (kReset | kRequest | kResponse)) == 0) bytes = Read(room);
  if ((pending_ & kReset) != 0) {
    operation = VIRTIO_VSOCK_OP_RST;
    told = kReset;
  } else if ((pending_ & kRequest) != 0) {
    operation = VIRTIO_VSOCK_OP_REQUEST;
    told = kRequest;
  } else if ((pending_ & kResponse) != 0) {
    operation = VIRTIO_VSOCK_OP_RESPONSE;
    told = kResponse;
  } else if (bytes.has_value()) {
    operation = VIRTIO_VSOCK_OP_RW;
    length = *bytes;
    sent_ += length;
  } else if ((pending_ & kShutdown) != 0) {
    operation = VIRTIO_VSOCK_OP_SHUTDOWN;
    header.flags = host_shutdown_;
    told = kShutdown;
  } else if ((pending_ & kCreditRequest) != 0) {
    operation = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
    told = kCreditRequest;
  } else if ((pending_ & kCreditUpdate) != 0) {
    operation = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
  } else {
    return false;
  }
  pending_ &= static_cast<uint8_t>(~(told | kCreditUpdate));  // every packet carries the credit
  header.operation = operation;
  header.length = length;
  header.buffer_bytes = kBufferBytes;
  header.forwarded = forwarded_;
  told_forwarded_ = forwarded_;
  if (told == kReset) End();
  return true;
}

std::optional<uint32_t> VsockConnection::Read(std::span<iovec> room) {
  if (!is_reading()) return std::nullopt;
  size_t bytes = 0;
  for (const iovec& piece : room) bytes += piece.iov_len;
  bytes = std::min<size_t>(bytes, credit());
  if (bytes == 0) {
    if (!std::exchange(asked_for_credit_, true)) pending_ |= kCreditRequest;
    return std::nullopt;
  }
  size_t whole = 0;  // buffers that are used completely
  for (; room[whole].iov_len < bytes; ++whole) bytes -= room[whole].iov_len;
  iovec& last = room[whole];
  const size_t last_bytes = std::exchange(last.iov_len, bytes);
  msghdr message = {};
  message.msg_iov = room.data();
  message.msg_iovlen = std::min<size_t>(whole + 1, IOV_MAX);
  const ssize_t n = recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  last.iov_len = last_bytes;  // if there are no data here, another connection uses the buffers
  if (n > 0) return static_cast<uint32_t>(n);
  if (n == 0) {
    OnEndOfInput();
  } else if (errno == EAGAIN || errno == EINTR) {
    readable_ = false;
    if (!read_wait_.pending()) loop_.Poll(read_wait_, file_, POLLIN);
  } else {
    Reset();
  }
  return std::nullopt;
}

void VsockConnection::OnEndOfInput() {
  end_of_input_ = true;
  host_shutdown_ |= VIRTIO_VSOCK_SHUTDOWN_SEND;
  if (IsHungUp(socket_.get())) {
    host_shutdown_ |= VIRTIO_VSOCK_SHUTDOWN_RCV;
  } else if (!read_wait_.pending()) {
    loop_.Poll(read_wait_, file_, 0);  // POLLHUP comes in any case
  }
  pending_ |= kShutdown;
}

void VsockConnection::OnReadable(int32_t result) {
  if (ended()) return owner_.OnQuiet();
  if (result < 0) return Reset();
  if (end_of_input_) {
    if (host_shutdown_ == kBothWays) return;
    host_shutdown_ = kBothWays;
    return Tell(kShutdown);
  }
  if (state_ == State::kRequested && IsHungUp(socket_.get())) return Reset();
  readable_ = true;
  if (HasOutput()) owner_.OnOutput(*this);
}

void VsockConnection::OnWritable(int32_t result) {
  if (ended()) return owner_.OnQuiet();
  if (result < 0) return Reset();
  Flush();
}

void VsockConnection::Tell(uint8_t pending) {
  pending_ |= pending;
  owner_.OnOutput(*this);
}

void VsockConnection::Reset() {
  if (ended()) return;
  pending_ = kReset;
  shutdown(socket_.get(), SHUT_RDWR);
  owner_.OnOutput(*this);
}

void VsockConnection::End() {
  if (ended()) return;
  state_ = State::kEnded;
  pending_ = 0;
  shutdown(socket_.get(), SHUT_RDWR);
  loop_.Cancel(read_wait_);
  loop_.Cancel(write_wait_);
  owner_.OnEnded(*this);
}

}  // namespace virtio
