// One client of the control socket: receives requests, hands them on one at a time, sends the
// answers. A client that hangs up while its request is executed is closed at once. Control loop
// only.
#ifndef VMM_API_API_CONNECTION_H_
#define VMM_API_API_CONNECTION_H_

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "vmm/api/http_message.h"

namespace vmm {

class ApiConnection {
 public:
  class Owner {
   public:
    // The connection waits for Reply(), which may be called at once.
    virtual void OnRequest(ApiConnection& connection, const HttpRequest& request) = 0;
    // Nothing is under way any more: the connection is to be destroyed, but not from inside this.
    virtual void OnClosed(ApiConnection& connection) = 0;

   protected:
    virtual ~Owner() = default;
  };

  // `fd`: a stream socket, known to `loop` as `file`. A client gets `timeout` for each request and
  // for taking each answer; no clock runs while its request is executed. Who closes its sending
  // half only still gets the answer.
  ApiConnection(base::EventLoop& loop, Owner& owner, uint64_t id, base::UniqueFd fd,
                base::LoopFile file, std::chrono::nanoseconds timeout);
  // Only after OnClosed, or when the loop does not run any more.
  ~ApiConnection() = default;
  ApiConnection(const ApiConnection&) = delete;
  ApiConnection& operator=(const ApiConnection&) = delete;

  void Start();
  void Reply(const HttpResponse& response);
  // As Reply, and closes when the client has taken the answer.
  void ReplyAndClose(const HttpResponse& response);
  void Close();

  uint64_t id() const { return id_; }
  // True while a request waits for its answer.
  bool executing() const { return state_ == State::kExecuting; }
  // True if nothing more will be received or sent.
  bool closed() const { return state_ == State::kClosed; }
  // True if it will not take another request.
  bool closing() const { return state_ == State::kLingering || closed(); }
  // True while the client is to take an answer.
  bool sending() const { return state_ == State::kSending; }
  // When the last answer was sent, or the client came.
  std::chrono::nanoseconds waiting_since() const { return waiting_since_; }

 private:
  enum class State : uint8_t {
    kReceiving,  // a request
    kExecuting,  // waits for Reply()
    kSending,    // the answer
    kLingering,  // the last answer is sent; what still arrives is dropped until the client closes
    kClosed,
  };
  template <void (ApiConnection::*kHandler)(int32_t)>
  class Step final : public base::Operation {
   public:
    explicit Step(ApiConnection& connection) : connection_(connection) {}

   private:
    void OnComplete(int32_t result) override { (connection_.*kHandler)(result); }
    ApiConnection& connection_;
  };

  void Receive();
  void OnReceived(int32_t result);
  void OnWritable(int32_t result);
  void OnHangUp(int32_t result);
  void OnTimer(int32_t result);
  void Process();
  void Send(const HttpResponse& response, bool keep_alive);
  void Flush();
  void Sent();
  void SetDeadline(std::chrono::nanoseconds delay);
  void ReportClosed();

  base::EventLoop& loop_;
  Owner& owner_;
  const uint64_t id_;
  const base::UniqueFd fd_;
  const base::LoopFile file_;
  const std::chrono::nanoseconds timeout_;

  State state_ = State::kReceiving;
  bool processing_ = false;  // Process() is on the stack: it goes on by itself after a Reply()
  bool hung_up_ = false;     // the client will take no answer
  bool keep_alive_ = true;
  bool reported_ = false;
  HttpRequestParser parser_;
  std::string output_;
  size_t output_sent_bytes_ = 0;
  std::chrono::nanoseconds deadline_{0};
  std::chrono::nanoseconds waiting_since_{0};

  std::array<char, 4096> input_;
  iovec input_iov_;
  msghdr input_message_ = {};
  Step<&ApiConnection::OnReceived> receive_{*this};
  Step<&ApiConnection::OnWritable> writable_{*this};
  Step<&ApiConnection::OnHangUp> hang_up_{*this};
  Step<&ApiConnection::OnTimer> timer_{*this};
};

}  // namespace vmm

#endif  // VMM_API_API_CONNECTION_H_
