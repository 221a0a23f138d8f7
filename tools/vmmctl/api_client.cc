#include "tools/vmmctl/api_client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "vmm/config/json_value.h"
#include "vmm/config/key_path.h"

namespace vmmctl {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

absl::Status NoAnswerInTime(const std::string& path) {
  return absl::DeadlineExceededError(absl::StrCat(path, ": no answer in time; see --timeout"));
}

absl::Status ConnectError(const std::string& path, const absl::Status& status) {
  struct stat file;
  if (absl::IsNotFound(status)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": no such socket; is vmm running with --api-socket ", path, "?"));
  }
  if (absl::IsPermissionDenied(status)) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": permission denied; only the user that runs vmm may connect"));
  }
  if (stat(path.c_str(), &file) == 0 && !S_ISSOCK(file.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a socket; name the one given to vmm --api-socket"));
  }
  if (absl::IsUnavailable(status)) {
    return absl::UnavailableError(
        absl::StrCat(path, ": no program listens; the vmm that made the socket has ended"));
  }
  return status;
}

absl::Status Send(int fd, const std::string& path, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    // The server may have answered an error and closed. Then the answer is still to be read.
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return absl::OkStatus();
    if (sent < 0 && errno == EAGAIN) return NoAnswerInTime(path);
    if (sent < 0) return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot send"));
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

// Returns the number of bytes that arrived, or 0 at the end of the connection.
absl::StatusOr<size_t> Receive(int fd, const std::string& path, Clock::time_point deadline,
                               char* buffer, size_t bytes) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (left <= milliseconds::zero()) return NoAnswerInTime(path);
    pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&entry, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t received = recv(fd, buffer, bytes, MSG_DONTWAIT);
    if (received >= 0) return static_cast<size_t>(received);
    if (errno == ECONNRESET) return size_t{0};
    if (errno != EINTR && errno != EAGAIN) {
      return base::ErrnoStatus(errno, absl::StrCat(path, ": cannot receive"));
    }
  }
}

// Returns the error chain in the body of a refusal, outermost first.
std::string ErrorText(const std::string& body) {
  const absl::StatusOr<vmm::JsonValue> json = vmm::ParseJson(body);
  const auto* chain = json.ok() ? json->get<vmm::JsonArray>() : nullptr;
  std::string text;
  for (size_t i = 0; chain != nullptr && i < chain->size(); ++i) {
    const auto* part = (*chain)[i].get<std::string>();
    absl::StrAppend(&text, i == 0 ? "" : ": ",
                    part != nullptr ? *part : vmm::PrintJson((*chain)[i], 0));
  }
  if (chain == nullptr) {
    const absl::string_view stripped = absl::StripAsciiWhitespace(body);
    text = std::string(stripped.data(), stripped.size());
  }
  if (text.empty()) return "no reason given";
  // An error is one line, whatever the server sends.
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> CallApi(const std::string& path, milliseconds timeout,
                                    const std::string& method, const std::string& endpoint,
                                    const std::string& body) {
  const Clock::time_point deadline = Clock::now() + timeout;
  const absl::StatusOr<base::UniqueFd> fd = base::ConnectUnix(path, timeout);
  if (!fd.ok()) {
    if (Clock::now() >= deadline) return NoAnswerInTime(path);
    return ConnectError(path, fd.status());
  }
  const std::string request = absl::StrCat(
      method, " /api/v1/", endpoint,
      " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ", body.size(),
      "\r\n\r\n", body);
  RETURN_IF_ERROR(Send(fd->get(), path, request));

  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswerBytes);
  parser.eager(true);
  std::string pending;
  char buffer[64 << 10];
  while (!parser.is_done()) {
    ASSIGN_OR_RETURN(const size_t received,
                     Receive(fd->get(), path, deadline, buffer, sizeof(buffer)));
    beast::error_code error;
    if (received == 0) {
      if (parser.got_some()) parser.put_eof(error);
      if (!parser.got_some() || error == http::error::partial_message) {
        return absl::UnavailableError(absl::StrCat(
            path, ": the connection was closed before the answer was complete; see vmm's log"));
      }
    } else {
      pending.append(buffer, received);
      pending.erase(0, parser.put(boost::asio::buffer(pending), error));
      if (error == http::error::need_more) continue;
    }
    if (error == http::error::body_limit) {
      return absl::OutOfRangeError(absl::StrCat(path, ": the answer is larger than ",
                                                kMaxAnswerBytes, " bytes; is this vmm's socket?"));
    }
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": the answer is not HTTP (", error.message(),
                       "); name the socket given to vmm --api-socket"));
    }
  }
  const auto& response = parser.get();
  if (response.result_int() >= 300) {
    return absl::FailedPreconditionError(absl::StrCat(endpoint, ": ", ErrorText(response.body()),
                                                      " (HTTP ", response.result_int(), ")"));
  }
  return response.body();
}

}  // namespace vmmctl
