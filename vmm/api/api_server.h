// The control socket: HTTP/1.1 on a Unix socket, for a few clients at a time. [docs/api.md]
//
// Everything runs on the control loop. A client that is slow, silent or sends garbage delays
// neither the loop nor other clients: nothing waits for it, and it can make the server hold only a
// bounded amount.
#ifndef VMM_API_API_SERVER_H_
#define VMM_API_API_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unix_listener.h"
#include "vmm/api/api_connection.h"
#include "vmm/api/api_handler.h"

namespace vmm {

class ApiServer final : private ApiConnection::Owner {
 public:
  // Starts to accept clients. `loop` and `handler` must outlive the server. The loop must take
  // temporary files (UringEventLoop::Options::fixed_files is false). Errors: the loop's file table
  // is full.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Create(base::EventLoop& loop,
                                                           ApiHandler& handler,
                                                           base::UnixListener socket);
  // Destroy it only when the loop no longer runs. Removes the socket's name.
  ~ApiServer() override = default;
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  size_t client_count() const { return clients_.size(); }

 private:
  class AcceptStep final : public base::Operation {
   public:
    explicit AcceptStep(ApiServer& server) : server_(server) {}

   private:
    void OnComplete(int32_t result) override { server_.OnAccepted(result); }
    ApiServer& server_;
  };
  class RetryStep final : public base::Operation {
   public:
    explicit RetryStep(ApiServer& server) : server_(server) {}

   private:
    void OnComplete(int32_t /*result*/) override { server_.Accept(); }
    ApiServer& server_;
  };

  ApiServer(base::EventLoop& loop, ApiHandler& handler, base::UnixListener socket)
      : loop_(loop), handler_(handler), socket_(std::move(socket)) {}
  void Accept() { loop_.Accept(accept_, file_); }
  void OnAccepted(int32_t result);
  void AddClient(base::UniqueFd fd);
  // Closes the least useful client if there are too many.
  void MakeRoom();
  void OnRequest(ApiConnection& connection, const HttpRequest& request) override;
  void OnClosed(ApiConnection& connection) override;

  base::EventLoop& loop_;
  ApiHandler& handler_;
  base::UnixListener socket_;
  base::LoopFile file_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<ApiConnection>> clients_;
  AcceptStep accept_{*this};
  RetryStep retry_{*this};
};

}  // namespace vmm

#endif  // VMM_API_API_SERVER_H_
