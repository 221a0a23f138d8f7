#include "net/stream_port.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/guest_memory.h"
#include "base/status.h"

namespace net {
namespace {

// In struct virtio_net_hdr_v1; 0 in both asks for nothing. [VIRTIO 1.2 §5.1.6]
constexpr size_t kFlagsOffset = 0;
constexpr size_t kGsoTypeOffset = 1;

bool WouldBlock(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

StreamPort::StreamPort(base::UniqueFd receive_set, base::UniqueFd send_set, base::UniqueFd copier)
    : receive_set_(std::move(receive_set)),
      send_set_(std::move(send_set)),
      copier_(std::move(copier)),
      buffer_(std::make_unique_for_overwrite<uint8_t[]>(kBufferBytes)) {}

absl::StatusOr<std::unique_ptr<StreamPort>> StreamPort::Create() {
  base::UniqueFd receive_set(epoll_create1(EPOLL_CLOEXEC));
  base::UniqueFd send_set(epoll_create1(EPOLL_CLOEXEC));
  if (!receive_set.valid() || !send_set.valid()) {
    return base::ErrnoStatus(errno, "cannot create an epoll descriptor");
  }
  base::UniqueFd copier(memfd_create("frame", MFD_CLOEXEC));
  if (!copier.valid() || ftruncate(copier.get(), sizeof(rest_)) != 0) {
    return base::ErrnoStatus(errno, "cannot create a memory file");
  }
  return std::unique_ptr<StreamPort>(
      new StreamPort(std::move(receive_set), std::move(send_set), std::move(copier)));
}

void StreamPort::Connect(base::UniqueFd socket) {
  // Closing the previous socket removes it from both sets.
  socket_ = std::move(socket);
  begin_ = end_ = rest_begin_ = rest_end_ = 0;
  connected_ = true;
  epoll_event event = {.events = EPOLLOUT, .data = {}};
  if (epoll_ctl(send_set_.get(), EPOLL_CTL_ADD, socket_.get(), &event) != 0) {
    return Disconnect(strerrordesc_np(errno));
  }
  WatchReceive(EPOLL_CTL_ADD, false);
}

void StreamPort::WatchReceive(int operation, bool writable) {
  epoll_event event = {.events = EPOLLIN | (writable ? uint32_t{EPOLLOUT} : 0), .data = {}};
  if (epoll_ctl(receive_set_.get(), operation, socket_.get(), &event) != 0) {
    Disconnect(strerrordesc_np(errno));
  }
}

void StreamPort::Disconnect(const std::string& reason) {
  if (!connected_) return;
  connected_ = false;
  rest_begin_ = rest_end_ = 0;
  epoll_ctl(receive_set_.get(), EPOLL_CTL_DEL, socket_.get(), nullptr);
  // The socket stays in the send set and is ready there from now on. Otherwise a frame that waits
  // for room would wait for the next connection.
  shutdown(socket_.get(), SHUT_RDWR);
  if (on_down_) on_down_(reason);
}

// --- Send ----------------------------------------------------------------------------------------

int32_t StreamPort::Send(std::span<const iovec> frame) {
  if (frame.size() < 2 || frame.size() > iovecs_.size() || frame[0].iov_len != kVnetHeaderBytes) {
    return -EINVAL;
  }
  const auto* header = static_cast<const uint8_t*>(frame[0].iov_base);
  if (header[kFlagsOffset] != 0 || header[kGsoTypeOffset] != 0) return -EINVAL;
  size_t bytes = 0;
  for (const iovec& piece : frame.subspan(1)) bytes += piece.iov_len;
  if (bytes < kMinFrameBytes || bytes > kMaxFrameBytes) return -EMSGSIZE;
  if (!connected_) return -ENOTCONN;
  if (const int32_t result = SendRest(); result != 0) return result;

  Length length(static_cast<uint32_t>(bytes));
  iovecs_[0] = {&length, sizeof(length)};
  size_t count = 1;
  size_t skip = 0;
  if (filter_.has_value()) {
    skip = std::min(bytes, head_.size());
    if (!CopyHead(frame.subspan(1), skip)) return -EFAULT;
    if (!filter_->MayLeave(std::span(head_).first(skip))) return -EPERM;
    iovecs_[count++] = {head_.data(), skip};
  }
  for (const iovec& piece : frame.subspan(1)) {
    const size_t skipped = std::min(skip, piece.iov_len);
    skip -= skipped;
    if (skipped == piece.iov_len) continue;
    if (count == iovecs_.size()) return -EINVAL;
    iovecs_[count++] = {static_cast<uint8_t*>(piece.iov_base) + skipped, piece.iov_len - skipped};
  }
  msghdr message = {};
  message.msg_iov = iovecs_.data();
  message.msg_iovlen = count;
  const ssize_t sent = sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    const size_t total = sizeof(length) + bytes;
    if (static_cast<size_t>(sent) < total) {
      KeepRest(count, static_cast<size_t>(sent), total);
    }
    return 0;
  }
  const int error = errno;
  if (WouldBlock(error)) return -EAGAIN;
  // Nothing was sent. The kernel could not read the frame or had no memory for it.
  if (error == EFAULT || error == ENOMEM || error == ENOBUFS) return -error;
  Disconnect(strerrordesc_np(error));
  return -EPIPE;
}

// GUEST: a frame may lie in a window, whose memory only the kernel may read, since it may be gone.
// So the kernel copies, by way of a file.
bool StreamPort::CopyHead(std::span<const iovec> frame, size_t bytes) {
  std::array<iovec, kClassifiedBytes> pieces;
  size_t count = 0;
  size_t left = bytes;
  for (const iovec& piece : frame) {
    if (left == 0) break;
    if (piece.iov_len == 0) continue;
    pieces[count] = {piece.iov_base, std::min(piece.iov_len, left)};
    left -= pieces[count++].iov_len;
  }
  const auto wanted = static_cast<ssize_t>(bytes);
  return pwritev(copier_.get(), pieces.data(), static_cast<int>(count), 0) == wanted &&
         pread(copier_.get(), head_.data(), bytes, 0) == wanted;
}

void StreamPort::KeepRest(size_t count, size_t sent, size_t total) {
  const size_t left = total - sent;
  size_t first = 0;
  while (sent >= iovecs_[first].iov_len) sent -= iovecs_[first++].iov_len;
  iovecs_[first].iov_base = static_cast<uint8_t*>(iovecs_[first].iov_base) + sent;
  iovecs_[first].iov_len -= sent;
  // The kernel copies, as in CopyHead. If it cannot, the end of the frame is what the file had
  // before: other bytes of the same guest.
  if (pwritev(copier_.get(), iovecs_.data() + first, static_cast<int>(count - first), 0) < 0 ||
      pread(copier_.get(), rest_.data(), left, 0) != static_cast<ssize_t>(left)) {
    return Disconnect(absl::StrCat("cannot keep a frame: ", strerrordesc_np(errno)));
  }
  rest_begin_ = 0;
  rest_end_ = left;
  WatchReceive(EPOLL_CTL_MOD, true);
}

int32_t StreamPort::SendRest() {
  if (rest_begin_ == rest_end_) return 0;
  const ssize_t sent = send(socket_.get(), rest_.data() + rest_begin_, rest_end_ - rest_begin_,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    if (WouldBlock(errno)) return -EAGAIN;
    Disconnect(strerrordesc_np(errno));
    return -EPIPE;
  }
  rest_begin_ += static_cast<size_t>(sent);
  if (rest_begin_ < rest_end_) return -EAGAIN;
  WatchReceive(EPOLL_CTL_MOD, false);
  return connected_ ? 0 : -EPIPE;
}

// --- Receive -------------------------------------------------------------------------------------

size_t StreamPort::NextFrame() {
  if (end_ - begin_ < sizeof(Length)) return 0;
  Length length;
  std::memcpy(&length, buffer_.get() + begin_, sizeof(length));
  if (length.value() < kMinFrameBytes || length.value() > kMaxFrameBytes) {
    Disconnect(absl::StrCat("it announced a frame of ", length.value(), " bytes"));
    return 0;
  }
  return end_ - begin_ - sizeof(Length) >= length.value() ? length.value() : 0;
}

bool StreamPort::Fill() {
  std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const ssize_t received =
      recv(socket_.get(), buffer_.get() + end_, kBufferBytes - end_, MSG_DONTWAIT);
  if (received > 0) {
    end_ += static_cast<size_t>(received);
    return true;
  }
  if (received == 0) {
    Disconnect("it closed the connection");
  } else if (!WouldBlock(errno)) {
    Disconnect(strerrordesc_np(errno));
  }
  return false;
}

int32_t StreamPort::Receive(std::span<const iovec> to) {
  SendRest();
  if (!connected_) return -EAGAIN;
  size_t bytes = NextFrame();
  // At most one system call for each call: a peer that sends single bytes must not hold up the
  // loop.
  if (bytes == 0 && connected_ && Fill()) bytes = NextFrame();
  if (bytes == 0) return -EAGAIN;

  constexpr std::array<uint8_t, kVnetHeaderBytes> kHeader = {};
  const uint8_t* const frame = buffer_.get() + begin_ + sizeof(Length);
  size_t done = 0;  // of header and frame
  const auto copy = [&](const iovec& piece, size_t at, const uint8_t* from, size_t length) {
    const size_t copied = std::min(piece.iov_len - at, length);
    base::CopyToGuest(static_cast<uint8_t*>(piece.iov_base) + at, from, copied);
    done += copied;
    return copied;
  };
  for (const iovec& piece : to) {
    size_t at = 0;
    if (done < kHeader.size()) at = copy(piece, 0, kHeader.data() + done, kHeader.size() - done);
    if (done < kHeader.size()) continue;
    copy(piece, at, frame + (done - kHeader.size()), bytes - (done - kHeader.size()));
  }
  if (filter_.has_value()) filter_->OnArrival({frame, bytes});
  begin_ += sizeof(Length) + bytes;
  return static_cast<int32_t>(done);
}

}  // namespace net
