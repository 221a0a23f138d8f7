#include "vmm/api/api_connection.h"

#include <errno.h>
#include <poll.h>

#include <utility>

#include "base/log.h"

namespace vmm {
namespace {

// How long a client may take to read an error and to hang up before it is cut off.
constexpr std::chrono::seconds kLinger{2};

}  // namespace

ApiConnection::ApiConnection(base::EventLoop& loop, Owner& owner, uint64_t id, base::UniqueFd fd,
                             base::LoopFile file, std::chrono::nanoseconds timeout)
    : loop_(loop),
      owner_(owner),
      id_(id),
      fd_(std::move(fd)),
      file_(file),
      timeout_(timeout),
      waiting_since_(loop.Now()) {}

void ApiConnection::Start() {
  // A multishot poll, because the end of one direction is reported too, before the hang-up or
  // instead of it.
  loop_.PollMultishot(hang_up_, file_, POLLHUP);
  SetDeadline(timeout_);
  Receive();
}

// --- Receiving -----------------------------------------------------------------------------------

void ApiConnection::Receive() {
  if (receive_.pending()) return;
  input_iov_ = {input_.data(), input_.size()};
  // There is no room for control data: no request takes descriptors yet, so the kernel drops them.
  input_message_ = {};
  input_message_.msg_iov = &input_iov_;
  input_message_.msg_iovlen = 1;
  loop_.RecvMsg(receive_, file_, input_message_);
}

void ApiConnection::OnReceived(int32_t result) {
  if (state_ == State::kClosed) return ReportClosed();
  if (result == -EINTR || result == -EAGAIN) return Receive();
  if (result <= 0) return Close();  // the client has gone, or will send no more
  if (state_ == State::kLingering) return Receive();
  parser_.Append(absl::string_view(input_.data(), static_cast<size_t>(result)));
  Process();
}

void ApiConnection::Process() {
  if (processing_) return;
  processing_ = true;
  while (state_ == State::kReceiving) {
    switch (parser_.Parse()) {
      case HttpRequestParser::Outcome::kNeedsMore:
        processing_ = false;
        return Receive();
      case HttpRequestParser::Outcome::kNeedsContinue: {
        // Best effort: a client that does not read it still sends its body after a while.
        static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        send(fd_.get(), kContinue.data(), kContinue.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
      }
      case HttpRequestParser::Outcome::kError:
        Send(parser_.error(), false);
        break;
      case HttpRequestParser::Outcome::kRequest: {
        const HttpRequest request = parser_.TakeRequest();
        keep_alive_ = request.keep_alive;
        state_ = State::kExecuting;
        owner_.OnRequest(*this, request);
        if (hung_up_ && state_ == State::kExecuting) Close();
        break;
      }
    }
  }
  processing_ = false;
}

void ApiConnection::OnHangUp(int32_t result) {
  if (state_ == State::kClosed) return ReportClosed();
  if (result < 0 || (result & (POLLHUP | POLLERR)) == 0) return;
  // A request that the client sent before is still executed.
  hung_up_ = true;
  if (state_ == State::kExecuting) Close();
}

// --- Sending -------------------------------------------------------------------------------------

void ApiConnection::Reply(const HttpResponse& response) {
  if (state_ == State::kClosed) return;
  CHECK(state_ == State::kExecuting);
  Send(response, keep_alive_);
}

void ApiConnection::ReplyAndClose(const HttpResponse& response) {
  keep_alive_ = false;
  Reply(response);
}

void ApiConnection::Send(const HttpResponse& response, bool keep_alive) {
  keep_alive_ = keep_alive;
  state_ = State::kSending;
  output_ = SerializeHttpResponse(response, keep_alive);
  output_sent_bytes_ = 0;
  SetDeadline(timeout_);
  Flush();
}

// Sends directly what the socket takes, and not through the loop: the answer to vmm.shutdown must
// be sent before the loop ends.
void ApiConnection::Flush() {
  while (output_sent_bytes_ < output_.size()) {
    const ssize_t sent = send(fd_.get(), output_.data() + output_sent_bytes_,
                              output_.size() - output_sent_bytes_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return loop_.Poll(writable_, file_, POLLOUT);
    if (sent < 0) return Close();
    output_sent_bytes_ += static_cast<size_t>(sent);
  }
  Sent();
}

void ApiConnection::OnWritable(int32_t result) {
  if (state_ == State::kClosed) return ReportClosed();
  if (result < 0) return Close();
  Flush();
}

void ApiConnection::Sent() {
  output_ = std::string();
  waiting_since_ = loop_.Now();
  if (keep_alive_) {
    state_ = State::kReceiving;
    return Process();
  }
  // Closing the socket while input is unread would break the connection before the client has the
  // answer.
  state_ = State::kLingering;
  shutdown(fd_.get(), SHUT_WR);
  SetDeadline(kLinger);
  Receive();
}

// --- Time and the end ----------------------------------------------------------------------------

void ApiConnection::SetDeadline(std::chrono::nanoseconds delay) {
  deadline_ = loop_.Now() + delay;
  // A pending timer notices the new deadline when it fires, unless it would fire too late.
  if (!timer_.pending()) {
    loop_.Timeout(timer_, delay);
  } else if (delay < timeout_) {
    loop_.Cancel(timer_);
  }
}

void ApiConnection::OnTimer(int32_t /*result*/) {
  if (state_ == State::kClosed) return ReportClosed();
  const std::chrono::nanoseconds now = loop_.Now();
  if (now < deadline_) return loop_.Timeout(timer_, deadline_ - now);
  if (state_ == State::kExecuting) return;  // the reply sets a new deadline
  Close();
}

void ApiConnection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  shutdown(fd_.get(), SHUT_RDWR);
  loop_.Cancel(receive_);
  loop_.Cancel(writable_);
  loop_.Cancel(hang_up_);
  loop_.Cancel(timer_);
  ReportClosed();
}

void ApiConnection::ReportClosed() {
  const bool pending =
      receive_.pending() || writable_.pending() || hang_up_.pending() || timer_.pending();
  if (reported_ || pending) return;
  reported_ = true;
  loop_.RemoveFile(file_);
  owner_.OnClosed(*this);
}

}  // namespace vmm
