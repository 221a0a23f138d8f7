#include "vmm/api/api_server.h"

#include <errno.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "vmm/api/api_router.h"

namespace vmm {
namespace {

// The delay after a failed accept (no descriptor left). Without it the loop would spin.
constexpr std::chrono::seconds kAcceptRetryDelay{1};
// The largest number of requests that wait for the VM or a device.
constexpr size_t kMaxWaiting = 16;
// The largest number of connections. It leaves room for requests that are answered at once.
constexpr size_t kMaxClients = 20;
constexpr std::chrono::seconds kClientTimeout{30};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Create(base::EventLoop& loop,
                                                             ApiHandler& handler,
                                                             base::UnixListener socket) {
  auto server = std::unique_ptr<ApiServer>(new ApiServer(loop, handler, std::move(socket)));
  ASSIGN_OR_RETURN(server->file_, loop.AddFile(server->socket_.fd()));
  server->Accept();
  return server;
}

void ApiServer::OnAccepted(int32_t result) {
  if (result == -ECANCELED) return;
  if (result < 0 && result != -ECONNABORTED && result != -EINTR && result != -EAGAIN) {
    LOG_EVERY_N_SEC(Warning, 10) << "api: cannot accept a client: errno " << -result;
    return loop_.Timeout(retry_, kAcceptRetryDelay);
  }
  if (result >= 0) AddClient(base::UniqueFd(result));
  Accept();
}

void ApiServer::AddClient(base::UniqueFd fd) {
  // Closed connections normally wait only for the end of a turn. More of them than this means that
  // a program floods the socket.
  if (clients_.size() >= 4 * kMaxClients) return;
  const absl::StatusOr<base::LoopFile> file = loop_.AddTemporaryFile(fd.get());
  if (!file.ok()) {
    LOG_EVERY_N_SEC(Warning, 10) << "api: cannot serve a client: " << file.status().message();
    return;
  }
  MakeRoom();
  const uint64_t id = next_id_++;
  auto& client = clients_[id];
  Owner& owner = *this;
  client = std::make_unique<ApiConnection>(loop_, owner, id, std::move(fd), *file, kClientTimeout);
  client->Start();
}

void ApiServer::MakeRoom() {
  // The order in which clients are closed: first those that have their last answer, then those that
  // have no request, then those that do not take their answer. In each group, the client that has
  // been silent for longest is first. At most kMaxWaiting clients execute, so a client can always
  // be found.
  const auto rank = [](const ApiConnection& client) {
    const int group = client.closing() ? 0 : client.sending() ? 2 : 1;
    return std::pair(group, client.waiting_since());
  };
  size_t open = 0;
  ApiConnection* first = nullptr;
  for (const auto& [id, client] : clients_) {
    if (client->closed()) continue;
    ++open;
    if (client->executing()) continue;
    if (first == nullptr || rank(*client) < rank(*first)) first = client.get();
  }
  if (open < kMaxClients) return;
  CHECK(first != nullptr);
  first->Close();
}

void ApiServer::OnRequest(ApiConnection& connection, const HttpRequest& request) {
  const auto executing =
      static_cast<size_t>(std::count_if(clients_.begin(), clients_.end(), [](const auto& client) {
        return client.second->executing();
      }));
  // `connection` is counted in `executing`.
  if (executing > kMaxWaiting && !IsAnsweredAtOnce(request)) {
    return connection.ReplyAndClose(
        ErrorResponse(503, absl::StrCat(kMaxWaiting, " requests are being executed already")));
  }
  // The client may be gone when the answer is known, so its id, which is never used again, is kept.
  RouteApiRequest(request, handler_, [this, id = connection.id()](const HttpResponse& response) {
    const auto client = clients_.find(id);
    if (client != clients_.end()) client->second->Reply(response);
  });
}

void ApiServer::OnClosed(ApiConnection& connection) {
  // Functions of `connection` are still on the stack, so it is destroyed later.
  loop_.Post([this, id = connection.id()] { clients_.erase(id); });
}

}  // namespace vmm
