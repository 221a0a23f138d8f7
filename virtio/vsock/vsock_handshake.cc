#include "virtio/vsock/vsock_handshake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/log.h"

namespace virtio {

std::optional<uint32_t> ParseConnectLine(absl::string_view line) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.size() != 2 || !absl::EqualsIgnoreCase(words[0], "CONNECT")) return std::nullopt;
  uint32_t port = 0;
  // SimpleAtoi would also take a sign.
  if (!std::ranges::all_of(words[1], absl::ascii_isdigit) || !absl::SimpleAtoi(words[1], &port)) {
    return std::nullopt;
  }
  return port;
}

VsockHandshake::VsockHandshake(base::EventLoop& loop, base::UniqueFd client, Done done)
    : loop_(loop), client_(std::move(client)), done_(std::move(done)) {}

VsockHandshake::~VsockHandshake() {
  CHECK(!pending());
  if (file_.valid()) loop_.RemoveFile(file_);
}

void VsockHandshake::Start() {
  const absl::StatusOr<base::LoopFile> file = loop_.LendFile(client_.get());
  if (!file.ok()) return Finish(base::UniqueFd(), 0);
  file_ = *file;
  loop_.Poll(*this, file_, POLLIN);
}

void VsockHandshake::Cancel() {
  cancelled_ = true;
  loop_.Cancel(*this);
}

void VsockHandshake::OnComplete(int32_t result) {
  if (cancelled_ || result < 0) return Finish(base::UniqueFd(), 0);
  if (!Look()) loop_.Poll(*this, file_, POLLIN);
}

bool VsockHandshake::Look() {
  // The bytes behind the line belong to the connection. So look first, and then take the line, or
  // what there is of it: a client that sends slowly does not make the descriptor readable for ever.
  const std::span<char> room = std::span(line_).subspan(line_bytes_);
  const ssize_t seen = recv(client_.get(), room.data(), room.size(), MSG_PEEK | MSG_DONTWAIT);
  if (seen < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  const absl::string_view arrived(room.data(), static_cast<size_t>(std::max<ssize_t>(seen, 0)));
  const size_t end = arrived.find('\n');
  const bool complete = end != absl::string_view::npos;
  const size_t taken = complete ? end + 1 : arrived.size();
  if (taken == 0 || recv(client_.get(), room.data(), taken, MSG_DONTWAIT) != ssize_t(taken) ||
      (!complete && taken == room.size())) {
    Finish(base::UniqueFd(), 0);
    return true;
  }
  line_bytes_ += taken;
  if (!complete) return false;
  const auto port = ParseConnectLine(absl::string_view(line_.data(), line_bytes_ - 1));
  loop_.RemoveFile(std::exchange(file_, base::LoopFile()));
  Finish(port.has_value() ? std::move(client_) : base::UniqueFd(), port.value_or(0));
  return true;
}

void VsockHandshake::Finish(base::UniqueFd client, uint32_t port) {
  done_(*this, std::move(client), port);
}

}  // namespace virtio
