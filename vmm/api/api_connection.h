// One client of the control socket. Receives requests, passes them on one at a time and sends the
// answers. If a client hangs up while its request is executed, the connection is closed at once.
// Control loop only.
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
    // Executes a request. The connection waits for Reply(), which may be called from inside
    // OnRequest.
    virtual void OnRequest(ApiConnection& connection, const HttpRequest& request) = 0;
    // Says that no operation is pending any more. The connection must be destroyed, but not from
    // inside this function.
    virtual void OnClosed(ApiConnection& connection) = 0;

   protected:
    virtual ~Owner() = default;
  };

  // `fd` is a stream socket, which `loop` knows as `file`. A client gets `timeout` to send each
  // request, and again to take each answer; no time limit applies while a request is executed. A
  // client that closes only its sending half still gets the answer.
  ApiConnection(base::EventLoop& loop, Owner& owner, uint64_t id, base::UniqueFd fd,
                base::LoopFile file, std::chrono::nanoseconds timeout);
  // Destroy it only after OnClosed, or when the loop no longer runs.
  ~ApiConnection() = default;
  ApiConnection(const ApiConnection&) = delete;
  ApiConnection& operator=(const ApiConnection&) = delete;

  void Start();
  void Reply(const HttpResponse& response);
  // Like Reply, but closes the connection when the client has taken the answer.
  void ReplyAndClose(const HttpResponse& response);
  void Close();

  uint64_t id() const { return id_; }
  // Returns true while a request waits for its answer.
  bool executing() const { return state_ == State::kExecuting; }
  // Returns true if nothing more will be received or sent.
  bool closed() const { return state_ == State::kClosed; }
  // Returns true if the connection takes no further request.
  bool closing() const { return state_ == State::kLingering || closed(); }
  // Returns true while an answer waits for the client to take it.
  bool sending() const { return state_ == State::kSending; }
  // Returns when the last answer was sent, or when the client connected if there was none.
  std::chrono::nanoseconds waiting_since() const { return waiting_since_; }

 private:
  enum class State : uint8_t {
    kReceiving,  // receives a request
    kExecuting,  // waits for Reply()
    kSending,    // sends the answer
    kLingering,  // the last answer is sent; input is dropped until the client closes
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
  bool processing_ = false;  // Process() is on the stack, and continues by itself after a Reply()
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
